"""One run: a world under a regime, measured, with its sample of receipts really signed."""

from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from hanse.agents.lower_crossings import capability_scope
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.states import CAUGHT, CHEATED, FAILED
from hanse.market.regime import Pricing, Regime, ladder, regimes
from hanse.market.units import Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.traces import Trace
from hanse.scenarios.measuring.measures import Table, measure
from hanse.scenarios.measuring.run_tables import tables_of
from hanse.scenarios.real_tasks import play_tasks
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.yardstick import Yardstick, measure_yardstick, with_losses
from hanse.verification.audits import Claims, SignatureTally, sign_and_check
from hanse.verification.border_checks import Uses, show_and_admit

_OF_WELFARE: Final = ("welfare_usd", "coordination_loss_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What one run leaves: its tables, none of which names the regime, and where time went."""

    scenario: str
    regime: str
    seed: int
    world_digest: str
    tables: dict[str, Table]
    seconds: dict[str, float]


def run_world(
    world: World,
    regime: Regime,
    *,
    name: str = "",
    digest: str = "",
    yardstick: Yardstick | None = None,
    with_agents: bool = False,
) -> RunResult:
    """Run a world under a regime and measure it.

    Parameters
    ----------
    name : what the result calls the regime; the name it is known by, if it has one.
    digest : digest of the world, where it is known already.
    yardstick : of this world; with it, the measures say what the run loses against the reference.
    with_agents : whether to register Mesa agents; it changes no result.
    """
    started = perf_counter()
    lowered = None if yardstick is None else yardstick.facts
    model = ComputeMarket(world, regime, with_agents=with_agents, lowered=lowered)
    built = perf_counter()
    ledger = model.run_to_horizon()
    advanced = perf_counter()
    measures = measure(world, ledger)
    tables = tables_of(measures)
    if yardstick is not None:
        tables["measures"] = with_losses(tables["measures"], yardstick, measures)
    if not tells_welfare(regime):
        tables["measures"] = _without_welfare(tables["measures"])
    measured = perf_counter()
    tables["receipts"] = sign_receipts(world, ledger)
    real = play_tasks(world, regime, ledger)
    if real.table is not None:
        tables["real_tasks"] = real.table
    verified = perf_counter()
    release(model)
    return RunResult(
        scenario=world.scenario,
        regime=name or _name_of(regime),
        seed=world.seed,
        world_digest=digest or world.digest(),
        tables=tables,
        seconds={
            "build": built - started,
            "advance": advanced - built,
            "measure": measured - advanced,
            "verify": verified - measured,
            **real.seconds,
        },
    )


def tells_welfare(regime: Regime) -> bool:
    """Say whether the welfare of a regime means anything.

    Where bids or asks are paid as they are, nobody has a reason to tell the truth: what would come
    of it if all did so is no result.
    """
    if regime.pricing is Pricing.PAY_AS_BID:
        return not regime.reporting.is_truthful
    return regime.pricing is not Pricing.PAY_AS_ASK or not regime.asking.is_truthful


def _without_welfare(measures: Table) -> Table:
    is_told = ~np.isin(measures["measure"], _OF_WELFARE)
    return {name: column[is_told] for name, column in measures.items()}


def run(
    scenario: Scenario | str, regime: Regime | str, seed: int, *, trace: Trace | None = None
) -> RunResult:
    """Draw the world of a scenario and a seed, and run a regime on it.

    Raises
    ------
    ScenarioError
        If the scenario is unknown or impossible.
    KeyError
        If the regime is named and there is none of that name.
    """
    question = load(scenario) if isinstance(scenario, str) else scenario
    chosen = regimes[regime] if isinstance(regime, str) else regime
    started = perf_counter()
    world = draw_world(question, seed, trace=trace)
    drawn = perf_counter() - started
    yardstick = measure_yardstick(world)
    result = run_world(world, chosen, yardstick=yardstick)
    result.seconds["draw"] = drawn
    result.seconds["reference"] = yardstick.seconds
    return result


def warm_up() -> float:
    """Compile every kernel, or load it from the cache, by tiny runs; return the seconds."""
    started = perf_counter()
    tiny = load("baseline").replace(
        {"load.model_calls": 20, "load.batch_jobs": 5, "fleet.nodes": 30}
    )
    world = draw_world(tiny, 0)
    for rung in (ladder[0], ladder[-1]):
        run_world(world, rung.regime)
    return perf_counter() - started


def _name_of(regime: Regime) -> str:
    names = [name for name, known in regimes.items() if known == regime]
    return names[0] if names else "custom"


def sign_receipts(world: World, ledger: Ledger) -> Table:
    """Really sign and check the receipts of sampled and of disputed executions."""
    record = ledger.record
    ended = ledger.work[record["end_us"][ledger.work] <= ledger.horizon_us]
    ended = ended[record["outcome"][ended] != FAILED]
    disputed = record["outcome"][ended] == CAUGHT
    chosen = ended[disputed | world.workload.stage_is_sampled[record["stage"][ended]]]
    tally = _signed(world, ledger, chosen)
    counts = {
        "n_signed": tally.n_signed,
        "n_checked": tally.n_checked,
        "n_rejected": tally.n_rejected,
        "n_modelled": len(ended) - tally.n_signed,
        "n_audited": ledger.n_audits,
        "n_disputed": tally.n_disputed,
        **_show_capabilities(world, ledger),
    }
    return {name: np.array([count]) for name, count in counts.items()}


def _show_capabilities(world: World, ledger: Ledger) -> dict[str, int]:
    """Really show the capabilities of sampled stages at the last border that each has crossed.

    What has crossed again since, into a place that its capability does not name, is left out.
    """
    jurisdiction = world.geography.region_jurisdiction
    names = capability_scope(world)[:, jurisdiction]
    is_shown = world.workload.stage_is_sampled & (ledger.tally["capability_uses"] > 0)
    stage = np.flatnonzero(is_shown & (ledger.stage["record"] >= 0))
    region = world.fleet.node_region[ledger.record[ledger.stage["record"][stage]]["unit"]]
    is_named = names[ledger.stage_fact["buyer"][stage], region]
    stage = stage[is_named | (ledger.stage["attempt"][stage] == 0)]
    record = ledger.record[ledger.stage["record"][stage]]
    fact = ledger.stage_fact[stage]
    tally = show_and_admit(
        world.seed,
        Uses(
            task=stage,
            buyer=fact["buyer"].astype(np.int64),
            home=jurisdiction[world.workload.buyer_region[fact["buyer"]]],
            region=world.fleet.node_region[record["unit"]],
            used_us=record["accepted_us"].astype(np.int64),
            is_invalid=ledger.tally["invalid_uses"][stage] > 0,
        ),
        scope=[np.flatnonzero(row).tolist() for row in names[fact["buyer"]]],
    )
    return {
        "n_uses_shown": tally.n_shown,
        "n_uses_admitted": tally.n_admitted,
        "n_uses_found_later": tally.n_found_later,
    }


def _signed(world: World, ledger: Ledger, chosen: Integers) -> SignatureTally:
    row = ledger.record[chosen]
    claims = Claims(
        task=row["stage"].astype(np.int64),
        solver=world.fleet.node_owner[row["unit"]],
        region=world.fleet.node_region[row["unit"]],
        started_us=row["accepted_us"].astype(np.int64),
        ended_us=row["end_us"].astype(np.int64),
        work_us=row["execution_us"].astype(np.int64),
        is_right=row["is_wrong"] != CHEATED,
        is_disputed=row["outcome"] == CAUGHT,
    )
    return sign_and_check(world.seed, claims)
