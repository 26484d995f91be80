"""What exact clearing costs beside other exact solvers: same process, same books, turn by turn.

Run it with `python -m benchmarks.bench_clearing`. Books are in whole micro-dollars, of which our
clearing counts a thousand nano-dollars each; OR-tools gets them as micro-dollars, which is what it
likes best. All peers are spared what cannot matter: arcs that gain nothing, and all units of a sink
but as many of the cheapest as there are requests of its class, and one. It prints medians with
quartiles, and ratios; it asserts only that all solvers find the same welfare to the micro-dollar.

OR-tools comes with `pip install -c constraints.txt --group bench`; without it, it is left out.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import csr_array

from hanse.market.augmenting_paths import AuctionScratch, auction_scratch
from hanse.market.call_auction import auction_certificate, call_auction, net_values
from hanse.market.supply_curves import SupplyCurves, give_back, supply_curves
from hanse.market.units import Floats, Integers

try:
    from ortools.graph.python import min_cost_flow
except ModuleNotFoundError:
    min_cost_flow = None

N_REGIONS, N_CLASSES = 24, 8
N_SINKS: Final = N_REGIONS * N_CLASSES
N_UNITS: Final = 100_000
NANO_PER_MICRO: Final = 1_000
OURS, COLD = "ours, live curves", "ours, curves from scratch"
FLOW, HIGHS, LSA = "OR-tools min-cost flow", "HiGHS, job x region", "scipy assignment, per class"
FEW, MANY = 1_000, 10_000
TOO_SLOW: Final = {
    (MANY, HIGHS): "its program takes tens of seconds to minutes; --slow runs it once",
    (MANY, LSA): "a dense matrix of some 300 MB for each class, and minutes; --slow runs it once",
}
TURNS_OF_OURS: Final = 5


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
class Pruned:
    """What a peer solves, in micro-dollars: pairs of request and sink, and the units of sinks."""

    request: Integers
    sink: Integers
    worth: Integers
    unit: Integers
    unit_sink: Integers
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
    parser.add_argument("--slow", action="store_true", help="run the slow peers, too, once")
    arguments = parser.parse_args()
    if min_cost_flow is None:
        print("OR-tools is not installed, and is left out: pip install --group bench")
    for n_requests in (FEW, MANY):
        compare(n_requests, arguments.repetitions, is_patient=arguments.slow)


def compare(n_requests: int, repetitions: int, *, is_patient: bool) -> None:
    """Let all solvers take turns on one book, and print what each needed."""
    book = draw(n_requests)
    curves = supply_curves(book.unit_sink, book.unit_ask, n_sinks=N_SINKS)
    scratch = auction_scratch(n_requests, n_regions=N_REGIONS, n_classes=N_CLASSES)
    for _ in range(3):
        clear_live(book, curves, scratch)
    peers: dict[str, Callable[[], Solved]] = {
        COLD: lambda: clear_cold(book, scratch),
        HIGHS: lambda: solve_program(book),
        LSA: lambda: solve_assignment(book),
    }
    if min_cost_flow is not None:
        peers[FLOW] = lambda: solve_flow(book, 1)
        peers[f"{FLOW}, in nano-dollars"] = lambda: solve_flow(book, NANO_PER_MICRO)
    print(f"\n{n_requests:,} requests, {N_UNITS:,} units, {N_REGIONS} regions, {N_CLASSES} classes")
    rounds: dict[str, list[Solved]] = {OURS: []}
    for turn in range(repetitions):
        rounds[OURS] += [clear_live(book, curves, scratch) for _ in range(TURNS_OF_OURS)]
        for name, solve in peers.items():
            is_slow = (n_requests, name) in TOO_SLOW
            if not is_slow or (is_patient and turn == 0):
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
    started = perf_counter()
    net_value = book.net_values()
    sold = call_auction(curves, net_value, hardware_class=book.hardware_class, scratch=scratch)
    cleared = perf_counter()
    auction_certificate(
        curves, net_value, book.hardware_class, sold.unit, sold.prices.least_nano_usd
    )
    checked = perf_counter()
    give_back(curves, sold.unit[sold.unit >= 0])
    ended = perf_counter()
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
    started = perf_counter()
    curves = supply_curves(book.unit_sink, book.unit_ask, n_sinks=N_SINKS)
    sold = call_auction(
        curves, book.net_values(), hardware_class=book.hardware_class, scratch=scratch
    )
    seconds = {"all": perf_counter() - started}
    return Solved(
        welfare_micro_usd=sold.certificate.primal_nano_usd / NANO_PER_MICRO, seconds=seconds
    )


def prune(book: Book) -> Pruned:
    """Select what can matter: pairs that gain, and the cheapest units of each sink."""
    net_value = book.net_values() // NANO_PER_MICRO
    request, region = np.nonzero(net_value > 0)
    wanted = np.repeat(np.bincount(book.hardware_class, minlength=N_CLASSES) + 1, N_REGIONS)
    ranked = np.lexsort((book.unit_ask, book.unit_sink))
    sink = book.unit_sink[ranked]
    rank = np.arange(N_UNITS) - np.searchsorted(sink, np.arange(N_SINKS))[sink]
    unit = ranked[rank < wanted[sink]]
    return Pruned(
        request=request,
        sink=book.hardware_class[request] * N_REGIONS + region,
        worth=net_value[request, region],
        unit=unit,
        unit_sink=book.unit_sink[unit],
        ask=book.unit_ask[unit] // NANO_PER_MICRO,
    )


def solve_flow(book: Book, scale: int) -> Solved:
    """Send each request through a sink and one of its units, or past all of them."""
    started = perf_counter()
    pruned, n_requests = prune(book), len(book.value)
    end = n_requests + N_SINKS
    everybody = np.arange(n_requests)
    tail = np.concatenate([pruned.request, n_requests + pruned.unit_sink, everybody])
    head = np.concatenate([n_requests + pruned.sink, np.full(len(pruned.unit) + n_requests, end)])
    cost = np.concatenate([-pruned.worth, pruned.ask, 0 * everybody]) * scale
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(tail, head, np.ones_like(tail), cost)
    supply = np.append(np.ones(n_requests, np.int64), np.zeros(N_SINKS + 1, np.int64))
    supply[end] = -n_requests
    flow.set_nodes_supplies(np.arange(end + 1), supply)
    built = perf_counter()
    status = flow.solve()
    ended = perf_counter()
    assert status == flow.OPTIMAL, status
    return Solved(
        welfare_micro_usd=-flow.optimal_cost() / scale,
        seconds={"the solver's call alone": ended - built, "all": ended - started},
    )


def solve_program(book: Book) -> Solved:
    """Solve the linear program over shares of requests in regions and shares of units sold."""
    started = perf_counter()
    pruned, n_requests = prune(book), len(book.value)
    n_pairs, n_units = len(pruned.worth), len(pruned.unit)
    pair, unit = np.arange(n_pairs), n_pairs + np.arange(n_units)
    row = np.concatenate([pruned.request, n_requests + pruned.sink, n_requests + pruned.unit_sink])
    entry = np.append(np.ones(2 * n_pairs), -np.ones(n_units))
    shape = (n_requests + N_SINKS, n_pairs + n_units)
    limits = csr_array((entry, (row, np.concatenate([pair, pair, unit]))), shape=shape)
    room = np.append(np.ones(n_requests), np.zeros(N_SINKS))
    cost = np.append(-pruned.worth, pruned.ask) / 1e6
    built = perf_counter()
    program = linprog(cost, A_ub=limits, b_ub=room, bounds=(0, 1), method="highs")
    ended = perf_counter()
    assert program.success, program.message
    return Solved(
        welfare_micro_usd=-program.fun * 1e6,
        seconds={"the solver's call alone": ended - built, "all": ended - started},
    )


def solve_assignment(book: Book) -> Solved:
    """Assign requests to units class by class, over a dense matrix of what each pair gains."""
    started = perf_counter()
    pruned, net_value = prune(book), book.net_values() // NANO_PER_MICRO
    welfare, in_solver = 0, 0.0
    for hardware in range(N_CLASSES):
        units = np.flatnonzero(pruned.unit_sink // N_REGIONS == hardware)
        rows = np.flatnonzero(book.hardware_class == hardware)
        worth = net_value[rows][:, pruned.unit_sink[units] % N_REGIONS] - pruned.ask[units]
        gain = np.maximum(worth, 0).astype(np.float64)
        called = perf_counter()
        chosen = linear_sum_assignment(gain, maximize=True)
        in_solver += perf_counter() - called
        welfare += int(gain[chosen].sum())
    seconds = {"the solver's call alone": in_solver, "all": perf_counter() - started}
    return Solved(welfare_micro_usd=welfare, seconds=seconds)


if __name__ == "__main__":
    main()
