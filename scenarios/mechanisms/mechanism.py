"""Mechanism: the one place for what the figure of a scenario consists of, and for running it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd
from matplotlib.figure import Figure

from hanse.scenarios import charts
from hanse.scenarios.mechanisms.studies import Case, Evidence, Reading, observe
from hanse.scenarios.scenario import Scenario

Draw = Callable[[pd.DataFrame], Figure]


class Shown(Protocol):
    """Whatever has a figure: a small experiment, and how what it says is drawn."""

    @property
    def title(self) -> str: ...
    @property
    def caption(self) -> str: ...
    @property
    def n_seeds(self) -> int: ...
    def run(self, scenario: Scenario, seeds: Sequence[int]) -> Evidence: ...
    def levels(self, evidence: Evidence) -> pd.DataFrame: ...
    def picture(self, evidence: Evidence) -> Figure: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A small experiment on a scenario, and how what it says is drawn.

    Attributes
    ----------
    title : what to look for.
    caption : what is drawn, and how sure it is.
    cases : what is run, given the scenario.
    read : what is read from each ledger.
    draw : makes a figure of the levels.
    n_seeds : how many worlds, unless told otherwise.
    versus : key from whose first value differences are taken, paired by seed; "" for none.
    """

    title: str
    caption: str
    cases: Callable[[Scenario], list[Case]]
    read: Reading
    draw: Draw
    n_seeds: int
    versus: str = ""

    def run(self, scenario: Scenario, seeds: Sequence[int]) -> Evidence:
        """Run every case on every seed."""
        return observe(self.cases(scenario), seeds, self.read)

    def levels(self, evidence: Evidence) -> pd.DataFrame:
        """Return what is drawn and told of it."""
        return evidence.levels(self.versus)

    def picture(self, evidence: Evidence) -> Figure:
        """Draw what was found, under its title."""
        return _titled(self.draw, self.levels(evidence), self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """An experiment of more than single runs, such as of seasons or votes, and how it is drawn.

    Attributes
    ----------
    title, caption, draw, n_seeds, versus : as of a `Mechanism`.
    observe : runs it on some seeds.
    """

    title: str
    caption: str
    observe: Callable[[Scenario, Sequence[int]], Evidence]
    draw: Draw
    n_seeds: int
    versus: str = ""

    def run(self, scenario: Scenario, seeds: Sequence[int]) -> Evidence:
        """Run the experiment on every seed."""
        return self.observe(scenario, seeds)

    def levels(self, evidence: Evidence) -> pd.DataFrame:
        """Return what is drawn and told of it."""
        return evidence.levels(self.versus)

    def picture(self, evidence: Evidence) -> Figure:
        """Draw what was found, under its title."""
        return _titled(self.draw, self.levels(evidence), self.title)


def _titled(draw: Draw, levels: pd.DataFrame, title: str) -> Figure:
    with charts.style():
        figure = draw(levels)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure
