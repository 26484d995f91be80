"""What exact clearing costs beside other exact solvers: same process, same books, turn by turn.

Run it with `python -m benchmarks.bench_clearing`. Books are in whole micro-dollars, of which our
clearing counts a thousand nano-dollars each. Peers get what is best for them: micro-dollars, one
problem for each class, and neither pairs that gain nothing nor more units of a sink than there are
requests of its class, and one. It prints medians of processor time, quartiles and ratios, and
asserts only that all solvers find the same welfare to the micro-dollar. For gangs there is no exact
peer at this size: it prints times, and how far from their bound they end.

OR-tools comes with `pip install -c constraints.txt --group bench`; without it, it is left out.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import process_time
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import csr_array

from hanse.market.exchange.augmenting_paths import AuctionScratch, auction_scratch
from hanse.market.exchange.call_auction import auction_certificate, call_auction, net_values
from hanse.market.exchange.gangs import Nodes, clear_gangs
from hanse.market.exchange.supply_curves import SupplyCurves, give_back, supply_curves
from hanse.market.units import MICRO_USD_PER_USD, Floats, Integers

try:
    from ortools.graph.python import min_cost_flow
except ModuleNotFoundError:
    min_cost_flow = None

N_REGIONS, N_CLASSES = 24, 8
N_SINKS: Final = N_REGIONS * N_CLASSES
N_UNITS: Final = 100_000
NANO_PER_MICRO: Final = 1_000
OURS, COLD = "ours, live curves", "ours, curves from scratch"
FLOW, HIGHS, LSA = "OR-tools min-cost flow", "HiGHS, job x region", "scipy assignment"
CALL: Final = "its call alone"
FEW, MANY = 1_000, 10_000
ONCE: Final = ((MANY, HIGHS), (MANY, LSA))
"""What takes seconds and more is run in the first turn alone."""
TOO_SLOW: Final = {
    (MANY, LSA): "dense matrices of 300 MB, and more than a minute; --slow runs it once"
}
TURNS_OF_OURS: Final = 5
GANG_BOOKS: Final = ((100, 200), (300, 600), (1_000, 2_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Requests by origin, value and latency weight, and units by sink and ask."""

    hardware_class: Integers
    value: Integers
    origin: Integers
    weight: Floats
    rtt_us: Integers
    unit_sink: Integers
    unit_ask: Integers

    def net_values(self) -> Integers:
        """Return what each request is worth in each region."""
        return net_values(
            self.value,
            origin=self.origin,
            weight_nano_usd_per_us=self.weight,
            rtt_us=self.rtt_us,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OneClass:
    """What a peer solves, in micro-dollars: requests of a class, pairs that gain, units by region.

    `request` and `region` are those of each pair, `worth` is what it is worth before the ask.
    """

    n_requests: int
    request: Integers
    region: Integers
    worth: Integers
    unit_region: Integers
    ask: Integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """One solver's welfare, and seconds by part of its work."""

    welfare_micro_usd: float
    seconds: Mapping[str, float]


def main() -> None:
    """Print a table for each size of book."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--slow", action="store_true", help="run the slowest peer, too")
    arguments = parser.parse_args()
    if min_cost_flow is None:
        print("OR-tools is not installed, and is left out: pip install --group bench")
    for n_requests in (FEW, MANY):
        compare(n_requests, arguments.repetitions, is_patient=arguments.slow)
    for n_gangs, n_nodes in GANG_BOOKS:
        clear_gang_books(n_gangs, n_nodes, arguments.repetitions)


def compare(n_requests: int, repetitions: int, *, is_patient: bool) -> None:
    """Let all solvers take turns on one book, and print what each needed."""
    book = draw(n_requests)
    curves = supply_curves(book.unit_sink, book.unit_ask, n_sinks=N_SINKS)
    scratch = auction_scratch(n_requests, n_regions=N_REGIONS, n_classes=N_CLASSES)
    for _ in range(3):
        clear_live(book, curves, scratch)
    peers: dict[str, Callable[[], Solved]] = {
        COLD: lambda: clear_cold(book, scratch),
        HIGHS: lambda: solve_by_class(book, solve_program),
        LSA: lambda: solve_by_class(book, solve_assignment),
    }
    if min_cost_flow is not None:
        peers[FLOW] = lambda: solve_by_class(book, solve_flow)
    print(f"\n{n_requests:,} requests, {N_UNITS:,} units, {N_REGIONS} regions, {N_CLASSES} classes")
    rounds: dict[str, list[Solved]] = {OURS: []}
    for turn in range(repetitions):
        rounds[OURS] += [clear_live(book, curves, scratch) for _ in range(TURNS_OF_OURS)]
        for name, solve in peers.items():
            is_out = (n_requests, name) in TOO_SLOW and not is_patient
            if not is_out and (turn == 0 or (n_requests, name) not in ONCE):
                rounds.setdefault(name, []).append(solve())
    assert_equal_welfare(rounds)
    report(rounds)
    for (size, name), reason in TOO_SLOW.items():
        if size == n_requests and name not in rounds:
            print(f"  {name}: left out: {reason}")


def report(rounds: Mapping[str, list[Solved]]) -> None:
    """Print milliseconds of each part, and how many times ours they are."""
    ours = np.median([solved.seconds["all"] for solved in rounds[OURS]])
    print(f"  {'':46s} {'median':>9s}  {'quartiles':>19s} {'x ours':>8s}   ms")
    for name, solutions in rounds.items():
        for part in solutions[0].seconds:
            ms = np.array([solved.seconds[part] for solved in solutions]) * 1e3
            low, middle, high = np.quantile(ms, [0.25, 0.5, 0.75])
            label = name if part == "all" else f"{name}: {part}"
            ratio = middle / 1e3 / ours
            print(f"  {label:46s} {middle:9.3f}  {low:9.3f} {high:9.3f} {ratio:8.2f}   n={len(ms)}")


def assert_equal_welfare(rounds: Mapping[str, list[Solved]]) -> None:
    """Assert that each solver found the same welfare, each time, to the micro-dollar."""
    found = {name: {round(s.welfare_micro_usd) for s in solved} for name, solved in rounds.items()}
    assert len(set().union(*found.values())) == 1, found


def draw(n_requests: int) -> Book:
    """Draw a book: places on a map, asks dearer in some regions, lognormal values."""
    rng = np.random.default_rng(20)
    place = rng.random((N_REGIONS, 2))
    rtt_ms = np.rint(np.hypot(*(place[:, None] - place).T) * 200).astype(np.int64) + 2
    region = rng.integers(0, N_REGIONS, N_UNITS)
    dear = 1 + 0.3 * rng.random(N_REGIONS)[region]
    hardware = rng.integers(0, N_CLASSES, N_UNITS)
    return Book(
        hardware_class=rng.integers(0, N_CLASSES, n_requests),
        value=(rng.lognormal(0.7, 0.5, n_requests) * 1e6).astype(np.int64) * NANO_PER_MICRO,
        origin=rng.integers(0, N_REGIONS, n_requests),
        # Whole nano-dollars per microsecond, by whole milliseconds: costs in whole micro-dollars.
        weight=np.rint(rng.exponential(3e3, n_requests)),
        rtt_us=rtt_ms * 1_000,
        unit_sink=hardware * N_REGIONS + region,
        unit_ask=(rng.lognormal(0.0, 0.4, N_UNITS) * dear * 1e6).astype(np.int64) * NANO_PER_MICRO,
    )


def clear_live(book: Book, curves: SupplyCurves, scratch: AuctionScratch) -> Solved:
    """Hold the auction on curves that live on, and give the units back."""
    started = process_time()
    net_value = book.net_values()
    sold = call_auction(curves, net_value, hardware_class=book.hardware_class, scratch=scratch)
    cleared = process_time()
    auction_certificate(
        curves, net_value, book.hardware_class, sold.unit, sold.prices.least_nano_usd
    )
    checked = process_time()
    give_back(curves, sold.unit[sold.unit >= 0])
    ended = process_time()
    return Solved(
        welfare_micro_usd=sold.certificate.primal_nano_usd / NANO_PER_MICRO,
        seconds={
            "all": cleared - started,
            "of which the certificate": checked - cleared,
            "units given back, not counted": ended - checked,
        },
    )


def clear_cold(book: Book, scratch: AuctionScratch) -> Solved:
    """Set up the curves from the columns of units, and hold the auction."""
    started = process_time()
    curves = supply_curves(book.unit_sink, book.unit_ask, n_sinks=N_SINKS)
    sold = call_auction(
        curves, book.net_values(), hardware_class=book.hardware_class, scratch=scratch
    )
    seconds = {"all": process_time() - started}
    return Solved(
        welfare_micro_usd=sold.certificate.primal_nano_usd / NANO_PER_MICRO, seconds=seconds
    )


def solve_by_class(book: Book, solve: Callable[[OneClass], tuple[float, float]]) -> Solved:
    """Let a peer solve class after class, and add up its welfare and the time of its calls."""
    started = process_time()
    answers = [solve(problem) for problem in prune(book)]
    ended = process_time()
    return Solved(
        welfare_micro_usd=sum(welfare for welfare, _ in answers),
        seconds={CALL: sum(in_call for _, in_call in answers), "all": ended - started},
    )


def prune(book: Book) -> list[OneClass]:
    """Select what can matter: pairs that gain, and the cheapest units of each sink."""
    net_value = book.net_values() // NANO_PER_MICRO
    wanted = np.repeat(np.bincount(book.hardware_class, minlength=N_CLASSES) + 1, N_REGIONS)
    ranked = np.lexsort((book.unit_ask, book.unit_sink))
    sink = book.unit_sink[ranked]
    rank = np.arange(N_UNITS) - np.searchsorted(sink, np.arange(N_SINKS))[sink]
    unit = ranked[rank < wanted[sink]]
    problems = []
    for hardware in range(N_CLASSES):
        worth = net_value[book.hardware_class == hardware]
        request, region = np.nonzero(worth > 0)
        own = unit[book.unit_sink[unit] // N_REGIONS == hardware]
        problems.append(
            OneClass(
                n_requests=len(worth),
                request=request,
                region=region,
                worth=worth[request, region],
                unit_region=book.unit_sink[own] % N_REGIONS,
                ask=book.unit_ask[own] // NANO_PER_MICRO,
            )
        )
    return problems


def solve_flow(problem: OneClass) -> tuple[float, float]:
    """Send each request through a region and one of its units, or past all of them."""
    everybody = np.arange(problem.n_requests)
    end = problem.n_requests + N_REGIONS
    tail = np.concatenate([problem.request, problem.n_requests + problem.unit_region, everybody])
    to_end = np.full(len(problem.ask) + problem.n_requests, end)
    head = np.concatenate([problem.n_requests + problem.region, to_end])
    cost = np.concatenate([-problem.worth, problem.ask, 0 * everybody])
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(tail, head, np.ones_like(tail), cost)
    supply = np.append(np.ones_like(everybody), np.zeros(N_REGIONS + 1, np.int64))
    supply[end] = -problem.n_requests
    flow.set_nodes_supplies(np.arange(end + 1), supply)
    called = process_time()
    status = flow.solve()
    in_call = process_time() - called
    assert status == flow.OPTIMAL, status
    return -flow.optimal_cost(), in_call


def solve_program(problem: OneClass) -> tuple[float, float]:
    """Solve the linear program over shares of requests in regions and shares of units sold."""
    n_pairs, n_units = len(problem.worth), len(problem.ask)
    pair, unit = np.arange(n_pairs), n_pairs + np.arange(n_units)
    in_region = [problem.n_requests + problem.region, problem.n_requests + problem.unit_region]
    row, column = np.concatenate([problem.request, *in_region]), np.concatenate([pair, pair, unit])
    entry = np.append(np.ones(2 * n_pairs), -np.ones(n_units))
    shape = (problem.n_requests + N_REGIONS, n_pairs + n_units)
    limits = csr_array((entry, (row, column)), shape=shape)
    room = np.append(np.ones(problem.n_requests), np.zeros(N_REGIONS))
    cost = np.append(-problem.worth, problem.ask) / MICRO_USD_PER_USD
    called = process_time()
    program = linprog(cost, A_ub=limits, b_ub=room, bounds=(0, 1), method="highs")
    in_call = process_time() - called
    assert program.success, program.message
    return -program.fun * MICRO_USD_PER_USD, in_call


def solve_assignment(problem: OneClass) -> tuple[float, float]:
    """Assign requests to units, over a dense matrix of what each pair gains."""
    worth = np.zeros((problem.n_requests, N_REGIONS))
    worth[problem.request, problem.region] = problem.worth
    gain = np.maximum(worth[:, problem.unit_region] - problem.ask, 0)
    called = process_time()
    chosen = linear_sum_assignment(gain, maximize=True)
    in_call = process_time() - called
    return float(gain[chosen].sum()), in_call


def clear_gang_books(n_gangs: int, n_nodes: int, repetitions: int) -> None:
    """Clear gangs of 1 to 8 units, about as many as there are units, and print gaps and times."""
    ms, gap, whole = [], [], []
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        size = rng.choice([1, 2, 4, 8], n_gangs)
        worth = size * rng.lognormal(1.2, 0.5, n_gangs)
        distance = size * rng.exponential(1.0, n_gangs) * rng.random((N_REGIONS, n_gangs))
        nodes = Nodes(
            sink=rng.integers(0, N_REGIONS, n_nodes),
            n_units=rng.choice([0, 2, 4], n_nodes),
            ask_nano_usd=(rng.lognormal(0.0, 0.4, n_nodes) * 1e9).astype(np.int64),
        )
        nodes.n_units[: n_nodes // 10] = 8
        net_value = ((worth - distance).T * 1e9).astype(np.int64)
        started = process_time()
        cleared = clear_gangs(
            nodes, net_value, n_units=size, hardware_class=np.zeros(n_gangs, np.int64)
        )
        ms.append((process_time() - started) * 1e3)
        gap.append(100 * cleared.gap_nano_usd / cleared.bound_nano_usd)
        due = cleared.gang_made_whole_nano_usd.sum() + cleared.node_made_whole_nano_usd.sum()
        whole.append(100 * due / cleared.bound_nano_usd)
    print(f"\n{n_gangs:,} gangs of 1 to 8 units, {n_nodes:,} nodes, {N_REGIONS} regions")
    print(f"  median {np.median(ms):.0f} ms, from {min(ms):.0f} to {max(ms):.0f}")
    print(
        f"  gap to the bound: median {np.median(gap):.3f} %, from {min(gap):.3f} to {max(gap):.3f}"
    )
    print(f"  made whole, of the bound: median {np.median(whole):.3f} %, at most {max(whole):.3f}")


if __name__ == "__main__":
    main()
