"""Regimes as compositions: each combination of parts runs or says why not (N6 and N7)."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.auction import WelfareRouter
from hanse.market.regime import (
    Admission,
    Audits,
    Cadence,
    Incompatible,
    Plane,
    Pricing,
    Rail,
    Ranking,
    Regime,
    Release,
    Rule,
    Settlement,
    ladder,
    named_rungs,
    regimes,
    variants,
)
from hanse.market.reporting import (
    Asking,
    AtCost,
    Hurried,
    MarkedUp,
    Reporting,
    Scaled,
    Truthful,
)
from hanse.scenarios.draw import draw_world
from hanse.scenarios.regime_parts import PARTS as WORDS
from hanse.scenarios.run import run_world
from hanse.scenarios.scenario import load
from hanse.scenarios.selftest.checks import run_ledger

PARTS = (Plane, Admission, Cadence, Ranking, Rule, Pricing, Settlement, Audits)
PAID_AS_SAID = (Pricing.PAY_AS_BID, Pricing.PAY_AS_ASK)
COMBINATIONS = [
    dict(zip((part.__name__.lower() for part in PARTS), combination, strict=True))
    for combination in product(*PARTS)
]


@pytest.fixture(scope="module")
def world() -> World:
    """Draw a small loaded world with cheats, bounces and two-stage jobs."""
    settings = {
        "fleet.nodes": 12,
        "load.model_calls": 80,
        "load.batch_jobs": 8,
        "measurement.horizon_s": 400,
        "measurement.displacement_instants": 32,
        "verification.temptation_share": 0.3,
    }
    return draw_world(load("baseline").replace(settings), 5)


def composed(parts: dict[str, object]) -> Regime | None:
    """Compose a regime, or return nothing where its parts exclude each other for a reason."""
    try:
        return Regime(**parts)  # type: ignore[arg-type]  # names and types come from the parts
    except Incompatible:
        return None


def test_every_combination_of_parts_runs_or_gives_a_reason(world: World) -> None:
    composable = [composed(parts) for parts in COMBINATIONS]
    assert {rung.regime for rung in named_rungs} <= set(composable)
    ran = 0
    for regime in composable:
        if regime is None:
            continue
        result = run_world(world, regime, digest="-")
        measures = result.tables["measures"]
        welfare_usd = measures["value"][measures["measure"] == "welfare_usd"]
        assert np.isfinite(welfare_usd).all(), regime
        assert len(welfare_usd) == (0 if regime.pricing in PAID_AS_SAID else 3), regime
        ran += 1
    # Eight planes, and a hub with quotas; two cadences. Posted prices: two rankings, one pricing;
    # the welfare rule: one ranking, four pricings; each with two settlements and four policies.
    assert ran == (8 + 1) * 2 * (2 * 1 + 1 * 4) * 2 * 4


@pytest.mark.parametrize("rail", list(Rail))
@pytest.mark.parametrize("asking", [AtCost(), MarkedUp()])
@pytest.mark.parametrize("reporting", [Truthful(), Scaled(), Hurried()])
def test_whatever_is_said_and_however_it_is_settled_any_way_to_price_runs(
    world: World, reporting: Reporting, asking: Asking, rail: Rail
) -> None:
    said = {"reporting": reporting, "asking": asking, "rail": rail}
    own = replace(regimes["venues"], rule=Rule.FOREIGN, router=WelfareRouter(), **said)
    posted = replace(regimes["central"], settlement=Settlement.ESCROW, **said)
    for regime in (posted, *(replace(own, pricing=pricing) for pricing in Pricing)):
        measures = run_world(world, regime, digest="-").tables["measures"]
        is_told = "welfare_usd" in measures["measure"]
        is_honest = {
            Pricing.PAY_AS_BID: reporting == Truthful(),
            Pricing.PAY_AS_ASK: asking == AtCost(),
        }
        assert is_told != is_honest.get(regime.pricing, False)
        assert np.isfinite(measures["value"][measures["measure"] == "resource_cost_usd"]).all()


@pytest.mark.parametrize("release", list(Release))
def test_any_regime_may_have_any_release_rule(world: World, release: Release) -> None:
    for rung in named_rungs:
        measures = run_world(world, replace(rung.regime, release=release), digest="-").tables[
            "measures"
        ]
        assert np.isfinite(measures["value"][measures["measure"] == "welfare_usd"]).all()


def parts_that_differ(one: Regime, other: Regime) -> list[str]:
    """Name the parts in which two regimes differ."""
    first, second = one.parts(), other.parts()
    return [part for part in first if first[part] != second[part]]


def test_parts_are_told_in_the_words_that_experiments_take() -> None:
    for part, choices in WORDS.items():
        for word, choice in choices.items():
            try:
                regime = replace(regimes["locational-prices"], **{part: choice})
            except Incompatible:
                continue
            assert regime.parts()[part] == word


def test_each_rung_differs_from_the_one_before_in_one_part() -> None:
    steps = pairwise(rung.regime for rung in ladder)
    changed = [parts_that_differ(one, other) for one, other in steps]
    assert [len(parts) for parts in changed] == [1] * (len(ladder) - 1)


def test_each_variant_differs_from_dynamic_central_in_one_part() -> None:
    base = regimes["dynamic-central"]
    differing = {variant.name: parts_that_differ(base, variant.regime) for variant in variants}
    assert differing.pop("quotas") == ["admission"]
    assert set(map(tuple, differing.values())) == {("plane",)}
    assert {name: regimes[name].plane for name in differing} == {
        "shards": Plane.SHARDS,
        "tree": Plane.TREE,
        "peer-to-peer": Plane.PEERS,
        "federation": Plane.FEDERATION,
        "mixed": Plane.MIXED,
        "reserved": Plane.RESERVED,
    }


def test_no_two_regimes_have_one_name_and_none_has_two() -> None:
    names = [rung.name for rung in named_rungs]
    assert len(set(names)) == len(names) == len(regimes)
    assert len(set(regimes.values())) == len(regimes)
    assert list(regimes) == names


def test_what_excludes_each_other_says_why() -> None:
    with pytest.raises(
        Incompatible, match="ranking=FIRST_PARTY with rule=WELFARE: .* has no ranks"
    ):
        replace(ladder[0].regime, rule=Rule.WELFARE)
    with pytest.raises(Incompatible, match="pricing=LOCATIONAL with rule=POSTED: .* no clearing"):
        replace(ladder[1].regime, pricing=Pricing.LOCATIONAL)
    with pytest.raises(Incompatible, match="admission=QUOTA with plane=VENUES: .* kept by a plane"):
        replace(regimes["quotas"], plane=Plane.VENUES)


REAL = ("stage", "unit", "outcome", "accepted_us", "execution_us", "end_us", "final_us")


def real(ledger: Ledger) -> list[bytes]:
    """Return what happened to units and stages, money left out."""
    record = [np.ascontiguousarray(ledger.record[name]).tobytes() for name in REAL]
    return [*record, ledger.time_us.tobytes(), ledger.waiting.tobytes()]


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("cadence", list(Cadence))
def test_what_is_paid_to_whom_changes_nothing_real(
    world: World, plane: Plane, cadence: Cadence
) -> None:
    posted = replace(ladder[2].regime, plane=plane, cadence=cadence)
    located = replace(posted, pricing=Pricing.LOCATIONAL)
    one, other = run_ledger(world, posted), run_ledger(world, located)
    assert real(one) == real(other)
    assert one.record["payment_micro_usd"].sum() != other.record["payment_micro_usd"].sum()


def test_what_is_paid_can_matter_where_a_stake_hangs_on_it(world: World) -> None:
    # The stake is a multiple of the reward: this is how a transfer may change what is real.
    audited = ladder[-1].regime
    cheap, dear = (
        replace(world, terms=replace(world.terms, stake_multiple=multiple))
        for multiple in (0.0, 50.0)
    )
    assert real(run_ledger(cheap, audited)) != real(run_ledger(dear, audited))
