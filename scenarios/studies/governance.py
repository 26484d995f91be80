"""Governance: who holds votes, what a council decides, and what capture costs everybody else.

Initial capital is one voter with a share of all stake and the interest of a group. Its rent has two
parts that must not be added: the welfare that the voted value loses against the best one, and what
it moves to the insiders, which is a transfer and no cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hanse.agents.council import PLAIN_MAJORITY, Council, Safeguards, power_of
from hanse.market.units import Flags, Floats, Integers
from hanse.scenarios import charts
from hanse.scenarios.streams import stream
from hanse.scenarios.studies.interests import GROUPS, Interests

_TO_INSIDERS: Final = "insiders"
_HEADS: Final = "heads"
_N_POWERS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Constitution:
    """How a council is set up; shares are of all stake or of all other voters.

    Attributes
    ----------
    initial_share : stake of the initial capital, one voter that always turns out, in [0, 1].
    insiders : group whose pay-off the initial capital has besides its part of the treasury; with
        "treasury" it has nothing besides.
    holdings : "heads" gives all others equal stake; "turnover" as much as they move money.
    turnout : chance that each of the others votes, in [0, 1].
    delegated_share : chance that one of the others delegates, in [0, 1].
    delegates_to : "largest", the largest of the others, or "insiders".
    """

    initial_share: float = 0.0
    insiders: str = "treasury"
    holdings: str = "turnover"
    turnout: float = 1.0
    delegated_share: float = 0.0
    delegates_to: str = "largest"
    safeguards: Safeguards = PLAIN_MAJORITY

    def __post_init__(self) -> None:
        for name in ("initial_share", "turnout", "delegated_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name, known in (
            ("insiders", GROUPS),
            ("holdings", (_HEADS, "turnover")),
            ("delegates_to", ("largest", _TO_INSIDERS)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )


def seat(interests: Interests, constitution: Constitution, worlds: Integers) -> Council:
    """Seat a council: the voters of the market, then the initial capital as the last one.

    Parameters
    ----------
    worlds : indices of those over which voters take means of what they would have.
    """
    others = _others(interests, constitution)
    stake = np.append((1.0 - constitution.initial_share) * others, constitution.initial_share)
    own = interests.payoff_usd[:, worlds].mean(axis=1)
    is_insider = interests.group == GROUPS.index(constitution.insiders)
    payoff = np.column_stack([own, own[:, is_insider].sum(axis=1)])
    # Whoever holds stake has that part of the treasury; it decides nothing where it is empty.
    treasury = interests.treasury_usd[:, worlds].mean(axis=1)
    return Council(
        stake=stake,
        payoff_usd=payoff + treasury[:, None] * (stake / stake.sum()),
        status_quo=interests.status_quo,
        delegate=np.arange(len(stake)),
        safeguards=constitution.safeguards,
    )


def hold_votes(
    interests: Interests,
    constitution: Constitution,
    *,
    n_votes: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Hold many votes, each with its own turnout, delegations and resample of the worlds.

    Returns
    -------
    A row per vote: voted (the value), rent_usd (mean welfare of the best value less that of the
    voted one, in the vote's own resample; it may be negative there, as the best one is best over
    all worlds), transfer_usd (what the initial capital has at the voted value beyond what it has at
    the best one), and power (its Banzhaf share among those who turn out).
    """
    rng = stream(seed, "council.votes")
    n_worlds = interests.welfare_usd.shape[1]
    best, rows = interests.best(), []
    for _ in range(n_votes):
        worlds = np.asarray(rng.integers(n_worlds, size=n_worlds), np.int64)
        council = _with_delegates(seat(interests, constitution, worlds), constitution, rng)
        turns_out = _turnout(council, constitution, rng)
        voted = council.elect(turns_out)
        welfare = interests.welfare_usd[:, worlds].mean(axis=1)
        insider = council.payoff_usd[:, -1]
        rows.append(
            {
                "voted": interests.values[voted],
                "rent_usd": float(welfare[best] - welfare[voted]),
                "transfer_usd": float(insider[voted] - insider[best]),
                "power": float(power_of(council, turns_out[0])[-1]),
            }
        )
    return pd.DataFrame(rows)


def outcomes_by_world(
    interests: Interests, constitution: Constitution, *, n_votes: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Hold votes by those who know the mean over all worlds, and see what follows in each.

    Returns
    -------
    A row per world, each a mean over the votes, which differ by who turns out and who delegates:
    rent_usd (welfare of the value that is best in the mean less that of the voted one),
    transfer_usd (what the initial capital has beyond what it would have at the best one),
    captured_share (of votes by which another value stands than without any initial capital, which
    that capital prefers), and power, counted exactly in the first votes alone, as it takes long.
    """
    rng = stream(seed, "council.worlds")
    every = np.arange(interests.welfare_usd.shape[1])
    council = seat(interests, constitution, every)
    nobody = seat(interests, replace(constitution, initial_share=0.0), every)
    insider, voted, power, n_captured = council.payoff_usd[:, -1], [], [], 0
    for number in range(n_votes):
        with_delegates = _with_delegates(council, constitution, rng)
        turns_out = _turnout(with_delegates, constitution, rng)
        voted.append(with_delegates.elect(turns_out))
        otherwise = replace(with_delegates, stake=nobody.stake).elect(turns_out)
        n_captured += int(insider[voted[-1]] > insider[otherwise])
        if number < _N_POWERS:
            power.append(float(power_of(with_delegates, turns_out[0])[-1]))
    share = np.bincount(voted, minlength=len(interests.values)) / n_votes
    welfare, gained = interests.welfare_usd, _insiders_usd(interests, constitution)
    best = interests.best()
    return pd.DataFrame(
        {
            "rent_usd": share @ (welfare[best] - welfare),
            "transfer_usd": share @ (gained - gained[best]),
            "captured_share": n_captured / n_votes,
            "power": float(np.mean(power)),
        }
    )


def capture_map(
    interests: Interests,
    constitutions: Mapping[str, Constitution],
    *,
    initial_shares: Sequence[float],
    n_votes: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Hold votes under several constitutions, each at several stakes of the initial capital.

    Returns
    -------
    A row per constitution and share: constitution, initial_share, turnout, power, voted, rent_usd
    with rent_low and rent_high (2.5 and 97.5 % of the votes), transfer_usd, and captured_share: how
    often the value best for the initial capital was voted where another one is best for all.
    """
    rows = []
    pairs = product(constitutions.items(), initial_shares)
    for (name, set_up), share in pairs:
        constitution = replace(set_up, initial_share=share)
        votes = hold_votes(interests, constitution, n_votes=n_votes, seed=seed)
        every = np.arange(interests.welfare_usd.shape[1])
        wanted = int(seat(interests, constitution, every).payoff_usd[:, -1].argmax())
        is_captured = (votes["voted"] == interests.values[wanted]) & (wanted != interests.best())
        low, high = np.quantile(votes["rent_usd"], (0.025, 0.975))
        rows.append(
            {
                "constitution": name,
                "initial_share": constitution.initial_share,
                "turnout": constitution.turnout,
                "power": votes["power"].mean(),
                "voted": votes["voted"].mode().iloc[0],
                "rent_usd": votes["rent_usd"].mean(),
                "rent_low": low,
                "rent_high": high,
                "transfer_usd": votes["transfer_usd"].mean(),
                "captured_share": float(is_captured.mean()),
            }
        )
    return pd.DataFrame(rows)


def draw_capture(mapped: pd.DataFrame) -> Figure:
    """Draw power, rent and transfer over the initial capital's share, a line per constitution.

    Bands are 95 % of the votes, over turnout, delegation and resampled worlds.
    """
    panels = (
        ("power", "Banzhaf share of power"),
        ("rent_usd", "capture rent, USD per run"),
        ("transfer_usd", "transfer to insiders, USD per run"),
    )
    with charts.style():
        figure, axes = charts.panels(len(panels), row_inch=2.0)
        for axis, (column, label) in zip(axes, panels, strict=True):
            for k, (name, line) in enumerate(mapped.groupby("constitution", sort=False)):
                colour = charts.PALETTE[k % len(charts.PALETTE)]
                share = 100.0 * line["initial_share"]
                axis.plot(share, line[column], "o-", ms=3, color=colour, label=str(name))
                if column == "rent_usd":
                    low, high = line["rent_low"], line["rent_high"]
                    axis.fill_between(share, low, high, color=colour, alpha=0.12, lw=0)
            axis.set_title(label, loc="left")
            axis.set_xlim(-2.0, 102.0)
        axes[0].plot([0, 100], [0, 1], color=charts.GREY, lw=0.8, ls=":")
        axes[-1].set_xlabel("stake of the initial capital, %")
        handles, labels = charts.legend(axes[:1])
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _insiders_usd(interests: Interests, constitution: Constitution) -> Floats:
    """Return what the initial capital has at each value in each world."""
    is_insider = interests.group == GROUPS.index(constitution.insiders)
    own = interests.payoff_usd[:, :, is_insider].sum(axis=2)
    return np.asarray(own + constitution.initial_share * interests.treasury_usd)


def _others(interests: Interests, constitution: Constitution) -> Floats:
    """Return the stake of all other voters, adding up to 1."""
    turnover = interests.turnover_usd
    if constitution.holdings == _HEADS or turnover.sum() == 0:
        return np.full(len(turnover), 1.0 / len(turnover))
    return np.asarray(turnover / turnover.sum())


def _with_delegates(
    council: Council, constitution: Constitution, rng: np.random.Generator
) -> Council:
    """Draw who of the others delegates; the one who is delegated to votes for itself."""
    n_others = len(council.stake) - 1
    target = n_others
    if constitution.delegates_to != _TO_INSIDERS:
        target = int(council.stake[:-1].argmax())
    delegates = rng.random(n_others) < constitution.delegated_share
    delegate = np.where(np.append(delegates, False), target, council.delegate)
    delegate[target] = target
    return replace(council, delegate=delegate)


def _turnout(council: Council, constitution: Constitution, rng: np.random.Generator) -> Flags:
    """Draw who of the others votes, in a first and in a second vote; the last always does."""
    others = rng.random((2, len(council.stake) - 1)) < constitution.turnout
    return np.column_stack([others, np.ones((2, 1), bool)])
