"""Picture: the one place for what a figure carries with it onto a page."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure, with a title that says what to look for and a caption that says how sure it is."""

    name: str
    title: str
    caption: str
    figure: Figure
