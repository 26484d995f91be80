"""Owners who learn whether to cheat: they come to what the inequality says, without knowing it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hanse.agents.model import ComputeMarket
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.regime import AUDITED_MARKET, MARKET, Regime
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.shocks import ALWAYS_PAYS
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.studies.learned_cheating import (
    deterring_probability,
    draw_learning,
    learn_to_cheat,
    payoffs_of,
)

SIZES = {"fleet.nodes": 60, "load.model_calls": 600, "load.batch_jobs": 40}
STAKE, SAVED = 0.5, 1.0


def scenario(probability: float) -> Scenario:
    """Return a small loaded scenario, whose stakes are half of the reward."""
    settings = {
        "verification.audit_probability": probability,
        "verification.stake_multiple": STAKE,
        "verification.saved_share": SAVED,
    }
    return load("baseline").replace(SIZES | settings)


def finished(world: World, regime: Regime, *, share: float) -> Ledger:
    """Run a world in which a share of attempts is a cheat."""
    terms = replace(world.terms, temptation_share=share, saved_share=ALWAYS_PAYS)
    return ComputeMarket(replace(world, terms=terms), regime, with_agents=False).run_to_horizon()


@pytest.fixture(scope="module")
def threshold() -> float:
    """Work out from an honest run from which audit probability on cheating loses."""
    ledger = finished(draw_world(scenario(0.3), 0), AUDITED_MARKET, share=0.0)
    return deterring_probability(ledger, stake_multiple=STAKE, saved_share=SAVED, detection=1.0)


def test_owners_learn_to_cheat_below_the_threshold_and_to_work_above_it(threshold: float) -> None:
    assert 0.2 < threshold < 0.8
    for probability, last in ((threshold - 0.2, 0.99), (threshold + 0.2, 0.01)):
        path = learn_to_cheat(scenario(probability), n_rounds=14)
        assert path["cheating_share"].iloc[0] == 0.5
        assert path["cheating_share"].iloc[-1] == pytest.approx(last, abs=0.05)


def test_pay_offs_are_those_of_the_inequality(threshold: float) -> None:
    """E[cheat] - E[honest] = C/R - q (1 + S/R), q what was caught of what was tried."""
    ledger = finished(draw_world(scenario(0.3), 0), AUDITED_MARKET, share=0.5)
    found = payoffs_of(ledger, stake_multiple=STAKE, saved_share=SAVED)
    caught = found.n_caught / found.n_cheats
    cost_over_reward = threshold * (1.0 + STAKE)
    assert found.honest == pytest.approx(1.0 - cost_over_reward, abs=0.1)
    assert found.cheating == pytest.approx(1.0 - caught * (1.0 + STAKE), abs=1e-9)
    # Caught is who is audited, by lot.
    assert caught == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / found.n_cheats))


def test_where_nobody_checks_cheating_earns_what_it_saves() -> None:
    ledger = finished(draw_world(scenario(0.3), 0), MARKET, share=0.5)
    half = payoffs_of(ledger, stake_multiple=STAKE, saved_share=0.5)
    whole = payoffs_of(ledger, stake_multiple=STAKE, saved_share=1.0)
    assert whole.n_caught == 0
    assert whole.cheating == 1.0
    assert 0.0 < half.cheating - half.honest < whole.cheating - whole.honest


def test_without_any_of_one_kind_nothing_is_learned_from_it() -> None:
    ledger = finished(draw_world(scenario(0.3), 0), AUDITED_MARKET, share=0.0)
    found = payoffs_of(ledger, stake_multiple=STAKE, saved_share=SAVED)
    assert found.n_cheats == 0
    assert np.isnan(found.cheating)
    assert np.isfinite(found.honest)


def test_the_same_seeds_teach_the_same() -> None:
    first, again = (learn_to_cheat(scenario(0.3), n_rounds=3, first_seed=5) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least_share": 0.5}, r"least_share must be in \(0, 0.5\), got 0.5"),
        ({"first_share": 1.0}, r"first_share must be from least_share = 0.01 to 0.99, got 1.0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn_to_cheat(scenario(0.3), n_rounds=1, **settings)  # type: ignore[arg-type]


def test_the_figure_has_a_line_and_a_name_for_each_path(tmp_path: Path) -> None:
    path = pd.DataFrame({"round": [0, 1], "cheating_share": [0.5, 0.4]})
    figure = draw_learning([("p = 0.1", path), ("p = 0.2", path)])
    assert [line.get_label() for line in figure.axes[0].lines] == ["p = 0.1", "p = 0.2"]
    figure.savefig(tmp_path / "learning.png")
    assert (tmp_path / "learning.png").stat().st_size > 0
