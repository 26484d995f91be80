"""Owners who learn whether to cheat from what it has paid them, instead of working out a rule.

In a run owners compare what a cheat saves with what being caught costs. Here nobody computes: in
each round a share of all attempts is a cheat, on a world of its own; what either way of working has
been paid moves that share for the next round. It is the discrete replicator dynamic, or exponential
weights [FreundSchapire]_, of a population that meets its market again and again.

References
----------
.. [FreundSchapire] Y. Freund and R. Schapire, Games and Economic Behavior 29 (1999): playing a
   repeated game by multiplicative weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hanse.agents.learning_rules import shift_odds
from hanse.agents.model import ComputeMarket, release
from hanse.agents.world import World
from hanse.market.accounts.ledger import Ledger
from hanse.market.engine.columns import Rows
from hanse.market.engine.states import CAUGHT, CHEATED, RIGHT, WRONG
from hanse.market.regime import AUDITED_MARKET, Regime
from hanse.market.units import MICRO_USD_PER_USD, Flags, Floats
from hanse.scenarios.draw import draw_world
from hanse.scenarios.drawing.shocks import ALWAYS_PAYS
from hanse.scenarios.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Payoffs:
    """What working and cheating have paid in one run, per USD of reward.

    Attributes
    ----------
    honest, cheating : means over settled executions; NaN where there were none.
    n_honest, n_cheats, n_caught : how many there were.
    """

    honest: float
    cheating: float
    n_honest: int
    n_cheats: int
    n_caught: int


def payoffs_of(
    ledger: Ledger, *, stake_multiple: float, saved_share: float, of_unit: Flags | None = None
) -> Payoffs:
    """Read from a ledger what honest and what cheated executions have left their owners with.

    An honest one earns its payment less the real cost of the work; a cheated one saves a share of
    that cost and is paid all the same, or loses its stake if it is caught. Only what is settled
    within the horizon counts, and only what pays anything. `of_unit` says whose units count.
    """
    record, reward, cost = settled_work(ledger)
    stands = np.isin(record["outcome"], (RIGHT, WRONG, CAUGHT))
    if of_unit is not None:
        stands &= of_unit[record["unit"]]
    record, reward, cost = record[stands], reward[stands], cost[stands]
    cheats, caught = record["is_wrong"] == CHEATED, record["outcome"] == CAUGHT
    stake = stake_multiple * reward if ledger.has_stakes else np.zeros(len(reward))
    paid = np.where(caught, -stake, reward)
    left = (paid - np.where(cheats, (1.0 - saved_share) * cost, cost)) / reward
    return Payoffs(
        honest=_mean(left[~cheats]),
        cheating=_mean(left[cheats]),
        n_honest=int((~cheats).sum()),
        n_cheats=int(cheats.sum()),
        n_caught=int(caught.sum()),
    )


def learn_to_cheat(
    scenario: Scenario,
    *,
    regime: Regime = AUDITED_MARKET,
    n_rounds: int = 12,
    first_share: float = 0.5,
    least_share: float = 0.01,
    learning_rate: float = 2.0,
    first_seed: int = 0,
) -> pd.DataFrame:
    """Let owners learn, round by round, from what the market has paid them.

    Parameters
    ----------
    first_share : of attempts that are cheats in the first round, in (0, 1).
    least_share : of attempts that are either, however badly it pays: somebody always tries.
    learning_rate : by how much log-odds move per USD earned per USD of reward, > 0.

    Returns
    -------
    A row per round: round, cheating_share, honest_usd and cheating_usd (per USD of reward),
    n_cheats, n_caught.
    """
    _check(least_share=least_share, first_share=first_share, learning_rate=learning_rate)
    share, rows = first_share, []
    for number in range(n_rounds):
        world = draw_world(scenario, first_seed + number)
        payoffs = _payoffs(world, regime, share)
        rows.append(
            {
                "round": number,
                "cheating_share": share,
                "honest_usd": payoffs.honest,
                "cheating_usd": payoffs.cheating,
                "n_cheats": payoffs.n_cheats,
                "n_caught": payoffs.n_caught,
            }
        )
        gain = payoffs.cheating - payoffs.honest
        share = shift_odds(share, gain, rate=learning_rate, least=least_share)
    return pd.DataFrame(rows)


def deterring_probability(
    ledger: Ledger, *, stake_multiple: float, saved_share: float, detection: float
) -> float:
    """Return the audit probability from which on cheating loses, for the work that a ledger shows.

    It is C / [d (S + R)] with the mean saving per USD of reward of all settled executions.
    """
    _, reward, cost = settled_work(ledger)
    saving = saved_share * cost / reward
    return float(saving.mean() / (detection * (stake_multiple + 1.0)))


def settled_work(ledger: Ledger) -> tuple[Rows, Floats, Floats]:
    """Return the executions settled within the horizon that pay, their rewards and real costs."""
    record = ledger.record[ledger.work]
    record = record[(record["final_us"] >= 0) & (record["payment_micro_usd"] > 0)]
    busy = ledger.sink["busy_usd_per_us"][ledger.unit["sink"][record["unit"]]]
    reward = record["payment_micro_usd"] / MICRO_USD_PER_USD
    return record, reward, busy * record["execution_us"]


def draw_learning(paths: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """Draw the share of attempts that are cheats, round by round, a line per path."""
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for label, path in paths:
        axes.plot(path["round"], path["cheating_share"], marker="o", markersize=3, label=label)
    axes.set(xlabel="round", ylabel="share of attempts that are cheats", ylim=(-0.03, 1.03))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False)
    return figure


def _payoffs(world: World, regime: Regime, share: float) -> Payoffs:
    terms = world.terms
    chosen = replace(terms, temptation_share=share, saved_share=ALWAYS_PAYS)
    model = ComputeMarket(replace(world, terms=chosen), regime, with_agents=False)
    ledger = model.run_to_horizon()
    found = payoffs_of(ledger, stake_multiple=terms.stake_multiple, saved_share=terms.saved_share)
    release(model)
    return found


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _check(*, least_share: float, first_share: float, learning_rate: float) -> None:
    if not 0.0 < least_share < 0.5:
        raise ValueError(f"least_share must be in (0, 0.5), got {least_share}")
    if not least_share <= first_share <= 1.0 - least_share:
        bounds = f"from least_share = {least_share} to {1.0 - least_share}"
        raise ValueError(f"first_share must be {bounds}, got {first_share}")
    if learning_rate <= 0.0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
