"""Mechanism: the one place for what the figure of a scenario consists of, and for running it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from hanse.scenarios import charts
from hanse.scenarios.mechanism_studies import Case, Evidence, Reading, observe
from hanse.scenarios.scenario import Scenario


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
    draw: Callable[[pd.DataFrame], Figure]
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
        with charts.style():
            figure = self.draw(self.levels(evidence))
            figure.suptitle(self.title, x=0.01, ha="left", fontsize=10, fontweight="bold")
        return figure
