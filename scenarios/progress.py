"""Progress: the one place for the bar, the time left, and the interval of what one waits for."""

from collections.abc import Iterable, Sequence
from math import isnan, sqrt
from types import TracebackType

from scipy.special import stdtrit
from tqdm import tqdm

from hanse.market.regime import Rung
from hanse.scenarios.parts import Mark


class Progress:
    """A bar on stderr that tells the last rung less the first, with its interval over worlds.

    With one rung it tells the level. Across the points of a design the interval is over all worlds
    run so far, whatever their point: it says how settled the number is, not what will come out.
    """

    def __init__(self, n_tasks: int, regimes: Sequence[Rung], *, is_shown: bool) -> None:
        self._bar = tqdm(total=n_tasks, unit="world", disable=not is_shown)
        self._first, self._last = regimes[0].name, regimes[-1].name
        self._n, self._mean, self._squares = 0, 0.0, 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def take(self, marks: Iterable[Mark]) -> None:
        """Count worlds that are done."""
        for mark in marks:
            self._bar.update()
            value = mark.watched.get(self._last, float("nan"))
            if self._first != self._last:
                value -= mark.watched.get(self._first, float("nan"))
            if isnan(value):
                continue
            self._n += 1
            step = value - self._mean
            self._mean += step / self._n
            self._squares += step * (value - self._mean)
        self._bar.set_postfix_str(self.text(), refresh=False)

    def text(self) -> str:
        """Tell the outcome of interest so far."""
        if self._n < 2:
            return ""
        half = stdtrit(self._n - 1, 0.975) * sqrt(self._squares / (self._n - 1) / self._n)
        what = self._last if self._first == self._last else f"{self._last} - {self._first}"
        return f"welfare_usd, {what}: {self._mean:.4g} +- {half:.2g}"
