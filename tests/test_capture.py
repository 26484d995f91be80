"""Initial capital against a council: nothing without a stake, and what safeguards leave of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hanse.agents.council import PLAIN_MAJORITY, Safeguards
from hanse.scenarios.parameters import ScenarioError, Value, parameters
from hanse.scenarios.scenario import Scenario, load
from hanse.scenarios.studies.capture import (
    APATHY,
    WITH,
    WITHOUT,
    attack,
    attacks,
    candidates,
    constitution_of,
    constitutions,
    interests_of,
)
from hanse.scenarios.studies.governance import Constitution, outcomes_by_world
from hanse.scenarios.studies.interests import Interests

SEEDS = (0, 1, 2)
EQUAL: dict[str, Value] = {"governance.holdings": "heads", "governance.turnout": 1.0}


def small() -> Scenario:
    """Shrink the scenario of the library until a run takes some ten milliseconds."""
    sizes = {"fleet.nodes": 60, "load.model_calls": 700, "load.batch_jobs": 80}
    return load("capture").replace(sizes | {"measurement.displacement_instants": 16})


@pytest.fixture(scope="module")
def interests() -> dict[str, Interests]:
    scenario = small()
    return {name: interests_of(scenario, name, seeds=SEEDS) for name, _ in attacks(scenario)}


def paper() -> Interests:
    """Write down three voters in two worlds: the third value takes from all but the first."""
    payoff = np.array([[[1.0, 1, 1], [1, 1, 1]], [[2, 2, 2], [2, 2, 2]], [[5, 0, 0], [3, 0, 0]]])
    return Interests(
        parameter="audit rate",
        values=(0.0, 1.0, 2.0),
        status_quo=0,
        group=np.array([0, 1, 1]),
        payoff_usd=payoff,
        treasury_usd=np.zeros((3, 2)),
        welfare_usd=payoff.sum(axis=2),
        turnover_usd=np.ones(3),
    )


def test_rent_and_transfer_are_read_in_each_world_by_hand() -> None:
    captor = Constitution(initial_share=0.6, insiders="owners", holdings="heads")
    found = outcomes_by_world(paper(), captor, n_votes=5)
    # Welfare is 6 at the best value; 5 and 3 at the voted one. The insider goes from 2 to 5 and 3.
    assert found["rent_usd"].tolist() == [1.0, 3.0]
    assert found["transfer_usd"].tolist() == [3.0, 1.0]
    assert found["captured_share"].tolist() == [1.0, 1.0]
    assert found["power"].tolist() == [1.0, 1.0]


def test_without_a_stake_nothing_is_captured_and_the_best_value_stands_on_paper() -> None:
    nobody = Constitution(initial_share=0.0, insiders="owners", holdings="heads")
    found = outcomes_by_world(paper(), nobody, n_votes=5)
    assert (found == 0.0).all(axis=None)


@pytest.mark.parametrize("proposal", ["fee", "audit rate", "recognition"])
def test_equal_power_shows_no_capture(proposal: str, interests: dict[str, Interests]) -> None:
    """With as much stake as each of the others, initial capital changes no vote."""
    n_others = len(interests[proposal].group)
    equal = replace(
        constitution_of(small().replace(EQUAL), proposal),
        initial_share=1.0 / (n_others + 1),
        safeguards=PLAIN_MAJORITY,
    )
    found = outcomes_by_world(interests[proposal], equal, n_votes=10)
    assert (found["captured_share"] == 0.0).all()
    assert found["power"].to_numpy() == pytest.approx(1.0 / (n_others + 1), rel=0.1)
    without = outcomes_by_world(interests[proposal], replace(equal, initial_share=0.0), n_votes=10)
    assert (found["rent_usd"] == without["rent_usd"]).all()


@pytest.mark.parametrize("proposal", ["fee", "audit rate", "recognition"])
def test_a_majority_has_what_it_wants_whatever_the_others_want(
    proposal: str, interests: dict[str, Interests]
) -> None:
    own = replace(constitution_of(small(), proposal), safeguards=PLAIN_MAJORITY)
    found = outcomes_by_world(interests[proposal], replace(own, initial_share=0.6), n_votes=10)
    assert (found["power"] == 1.0).all()
    other = Constitution(initial_share=0.6, insiders=own.insiders, holdings="heads")
    again = outcomes_by_world(interests[proposal], other, n_votes=10)
    assert found["transfer_usd"].to_numpy() == pytest.approx(again["transfer_usd"].to_numpy())


def test_a_fee_has_a_transfer_and_no_rent(interests: dict[str, Interests]) -> None:
    own = replace(constitution_of(small(), "fee"), initial_share=0.6, safeguards=PLAIN_MAJORITY)
    found = outcomes_by_world(interests["fee"], own, n_votes=10)
    assert found["rent_usd"].to_numpy() == pytest.approx(np.zeros(len(SEEDS)), abs=1e-9)
    assert (found["transfer_usd"] > 0.0).all()


def test_power_rises_with_the_stake_over_five_levels_and_a_cap_holds_it_down(
    interests: dict[str, Interests],
) -> None:
    power = {}
    for cap in (1.0, 0.1):
        guards = Safeguards(cap_share=cap)
        power[cap] = [
            outcomes_by_world(
                interests["audit rate"],
                Constitution(initial_share=share, insiders="owners", safeguards=guards),
                n_votes=5,
            )["power"].iloc[0]
            for share in (0.0, 0.1, 0.25, 0.4, 0.6)
        ]
        assert (np.diff(power[cap]) >= 0.0).all()
        assert power[cap][-1] > power[cap][0]
    assert power[0.1][3] < power[1.0][3]


def test_every_proposal_meets_the_council_with_safeguards_on_and_off() -> None:
    tried = attack(small(), seeds=SEEDS[:2], initial_shares=(0.0, 0.3), n_votes=4)
    names = {"fee", "audit rate", "recognition"}
    assert set(tried["proposal"]) == names
    assert set(tried["constitution"]) == {WITHOUT, APATHY, WITH}
    assert len(tried) == 3 * 3 * 2 * 2
    assert (tried.loc[tried["initial_share"] == 0.0, "captured_share"] == 0.0).all()
    again = attack(small(), seeds=SEEDS[:2], initial_shares=(0.0, 0.3), n_votes=4)
    pd.testing.assert_frame_equal(tried, again, check_exact=True)


def test_what_stands_comes_first_among_the_candidates_and_only_once() -> None:
    scenario = small().replace({"verification.audit_probability": 0.15})
    assert candidates(scenario, "audit rate") == (0.15, 0.0, 0.05, 0.3)
    assert candidates(scenario, "fee")[0] == 0.0
    assert candidates(scenario, "recognition") == (0.5, 0.0, 1.0)


OTHERWISE: dict[str, Value] = {
    "initial_share": 0.4,
    "holdings": "heads",
    "turnout": 0.9,
    "delegated_share": 0.5,
    "delegates_to": "insiders",
    "cap_share": 0.3,
    "quadratic": True,
    "threshold": 0.7,
    "quorum": 0.5,
    "time_lock": False,
    "insiders": ("buyers", "owners", "verifiers"),
    "proposals": ("stake", "audit rate", "recognition"),
    "fee_values": (0.0, 0.5),
    "audit_values": (0.5,),
    "stake_values": (0.7,),
    "minimum_stake_values": (3.0,),
    "recognition_values": (0.7,),
}


def told(scenario: Scenario) -> object:
    """Return everything that a scenario says of its council."""
    return [
        (name, insiders, constitutions(scenario, name), candidates(scenario, name))
        for name, insiders in attacks(scenario)
    ]


@pytest.mark.parametrize("key", [k for k in parameters() if k.startswith("governance.")])
def test_every_parameter_of_governance_reaches_the_council(key: str) -> None:
    which = {"stake_values": "stake", "minimum_stake_values": "minimum stake"}
    name = key.partition(".")[2]
    scenario = small().replace({"governance.proposals": (which.get(name, "fee"),) * 3})
    if name in ("audit_values", "recognition_values"):
        scenario = small()
    assert told(scenario) != told(scenario.replace({key: OTHERWISE[name]}))


def test_proposals_without_an_insider_each_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"one group per proposal \(3\), got 1"):
        attacks(small().replace({"governance.insiders": ("owners",)}))
