"""The one place that asks of a parameter what each of its values leaves to whom.

A parameter that binds all is tried at several values on the same worlds, and everybody's pay-off is
read from the ledgers, so that nobody's interest is assumed. Transfers are not costs: welfare stands
beside the pay-offs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from hanse.agents.model import ComputeMarket, release
from hanse.market.regime import AUDITED_MARKET, Regime
from hanse.market.units import Floats, Integers
from hanse.scenarios.draw import draw_world
from hanse.scenarios.experiment import checked_seeds
from hanse.scenarios.measuring.measures import measure
from hanse.scenarios.running.batches import run_in_order
from hanse.scenarios.scenario import Scenario
from hanse.scenarios.studies.payoffs import Payoffs, payoffs_of
from hanse.scenarios.tables import read_owners

FEE: Final = "fee"
PARAMETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        FEE: "",
        "audit rate": "verification.audit_probability",
        "stake": "verification.stake_multiple",
        "minimum stake": "verification.minimum_stake_nodes",
        "recognition": "law.recognition_share",
    }
)
"""What a council may vote on. The fee is a share of each payment, from the owner to the treasury:
it moves money and nothing else, and so needs no run of its own."""

GROUPS: Final = ("owners", "buyers", "verifiers", "treasury")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interests:
    """What a parameter is worth to whom, over the same worlds for every value.

    Attributes
    ----------
    parameter, values : what is voted on, and the candidates.
    status_quo : index of the value that stands.
    group : shape (n_voters,), index into `GROUPS` but the last.
    payoff_usd : shape (n_values, n_worlds, n_voters), without any share of the treasury.
    treasury_usd, welfare_usd : shape (n_values, n_worlds).
    turnover_usd : shape (n_voters,), mean money moved at the status quo.
    """

    parameter: str
    values: tuple[float, ...]
    status_quo: int
    group: Integers
    payoff_usd: Floats
    treasury_usd: Floats
    welfare_usd: Floats
    turnover_usd: Floats

    def best(self) -> int:
        """Return the value with the greatest mean welfare; ties go to the lowest index."""
        return int(self.welfare_usd.mean(axis=1).argmax())

    def of_group(self) -> pd.DataFrame:
        """Tabulate mean pay-offs in USD per run: a row per value, a column per group."""
        mean = self.payoff_usd.mean(axis=1)
        columns = {
            name: mean[:, self.group == number].sum(axis=1)
            for number, name in enumerate(GROUPS[:-1])
        }
        treasury = self.treasury_usd.mean(axis=1)
        welfare = self.welfare_usd.mean(axis=1)
        return pd.DataFrame(
            {"value": self.values, **columns, "treasury": treasury, "welfare": welfare}
        )


def read_interests(
    scenario: Scenario,
    parameter: str,
    values: Sequence[float],
    *,
    seeds: Iterable[int],
    regime: Regime = AUDITED_MARKET,
    status_quo: int = 0,
    workers: int | None = None,
) -> Interests:
    """Run every candidate value on the same worlds, and read everybody's pay-off from the ledgers.

    Owners without a name of their own are one voter, as their number differs between worlds.

    Raises `ValueError` if the parameter is unknown or there are no values.
    """
    if parameter not in PARAMETERS:
        raise ValueError(f"parameter must be one of {', '.join(PARAMETERS)}, got {parameter!r}")
    if not values:
        raise ValueError("values must hold at least one candidate, got none")
    work = partial(
        _payoffs_of_seed,
        scenario=scenario,
        parameter=parameter,
        values=tuple(values),
        regime=regime,
    )
    worlds = run_in_order(work, checked_seeds(seeds), workers=workers)
    turnover = np.mean([world.turnover_usd[status_quo] for world in worlds], axis=0)
    return Interests(
        parameter=parameter,
        values=tuple(values),
        status_quo=status_quo,
        group=worlds[0].group,
        payoff_usd=np.stack([world.payoff_usd for world in worlds], axis=1),
        treasury_usd=np.stack([world.treasury_usd for world in worlds], axis=1),
        welfare_usd=np.stack([world.welfare_usd for world in worlds], axis=1),
        turnover_usd=turnover,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """One world at every value; arrays lead with the value."""

    group: Integers
    payoff_usd: Floats
    treasury_usd: Floats
    welfare_usd: Floats
    turnover_usd: Floats


def _payoffs_of_seed(
    seed: int, *, scenario: Scenario, parameter: str, values: tuple[float, ...], regime: Regime
) -> _World:
    """Run one world at every value; the fee alone needs one run for all of them."""
    key = PARAMETERS[parameter]
    if parameter == FEE:
        whole = _run(scenario, seed, regime)
        found = [whole] * len(values)
        fees = list(values)
    else:
        found = [_run(_with_value(scenario, key, value), seed, regime) for value in values]
        fees = [0.0] * len(values)
    own = [_own_usd(one, fee) for one, fee in zip(found, fees, strict=True)]
    treasury = [
        one.treasury + fee * one.owner_paid.sum() for one, fee in zip(found, fees, strict=True)
    ]
    return _World(
        group=_groups(found[0]),
        payoff_usd=np.array(own),
        treasury_usd=np.array(treasury),
        welfare_usd=np.array([one.total for one in found]),
        turnover_usd=np.array([_turnover_usd(one) for one in found]),
    )


def _with_value(scenario: Scenario, key: str, value: float) -> Scenario:
    is_whole = isinstance(scenario.values[key], int)
    return scenario.replace({key: round(value) if is_whole else value})


def _run(scenario: Scenario, seed: int, regime: Regime) -> Payoffs:
    world = draw_world(scenario, seed)
    model = ComputeMarket(world, regime, with_agents=False)
    payoffs = payoffs_of(measure(world, model.run_to_horizon()))
    release(model)
    return payoffs


def _groups(payoffs: Payoffs) -> Integers:
    """Return the group of each voter: named owners and the others as one, buyers, verifiers."""
    sizes = (len(read_owners().owner), len(payoffs.buyer), len(payoffs.verifier))
    return np.repeat(np.arange(len(sizes)), sizes)


def _own_usd(payoffs: Payoffs, fee: float) -> Floats:
    """Return what each voter has without the treasury, after a fee on what owners are paid."""
    owner = _owners_as_voters(payoffs.owner - fee * payoffs.owner_paid)
    return np.concatenate([owner, payoffs.buyer, payoffs.verifier])


def _turnover_usd(payoffs: Payoffs) -> Floats:
    owner = _owners_as_voters(payoffs.owner_paid)
    return np.concatenate([owner, payoffs.buyer_paid, payoffs.verifier_paid])


def _owners_as_voters(of_owner: Floats) -> Floats:
    n_named = len(read_owners().owner) - 1
    return np.append(of_owner[:n_named], of_owner[n_named:].sum())
