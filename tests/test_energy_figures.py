"""No bar of the figure of energy is cut off by the limits of the axis that it shares."""

import pandas as pd

from hanse.scenarios.energy_figures import draw_energy


def test_a_longer_bar_in_the_second_row_is_shown_whole() -> None:
    rows = [
        (regime, "us-va", label, "context", joules)
        for regime, joules in (("short", 1e6), ("long", 9e6))
        for label in ("U", "C")
    ]
    energy = pd.DataFrame(rows, columns=["regime", "region", "label", "operation", "joules"])
    figure = draw_energy(energy, {"short": "Short", "long": "Long"}, n_worlds=1)
    assert figure is not None
    for axis in figure.axes:
        ends = [patch.get_x() + patch.get_width() for patch in axis.patches]
        assert max(ends) <= axis.get_xlim()[1]
        assert axis.get_xlim()[0] == 0.0
