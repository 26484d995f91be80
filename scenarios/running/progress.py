"""Progress: the one place for the bar, the time left, and the interval of what one waits for."""

from collections.abc import Sequence
from math import isnan, sqrt
from types import TracebackType

from scipy.special import stdtrit
from tqdm import tqdm

from hanse.market.regime import Rung
from hanse.scenarios.running.parts import Part


class Progress:
    """A bar on stderr that tells the last rung less the first, with its interval over worlds.

    With one rung it tells the level. Across the points of a design the interval is over all worlds
    run so far, whatever their point: it says how settled the number is, not what will come out.
    """

    def __init__(self, n_worlds: int, regimes: Sequence[Rung], *, is_shown: bool) -> None:
        self._bar = tqdm(total=n_worlds * len(regimes), unit="run", disable=not is_shown)
        self._names = [rung.name for rung in regimes]
        self._halves: dict[int, float] = {}
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

    def take(self, part: Part) -> None:
        """Count runs that have ended."""
        self._bar.update(len(part.runs))
        last = len(self._names) - 1
        for number, value in zip(part.runs.tolist(), part.watched, strict=True):
            world, rung = divmod(number, last + 1)
            if last == 0:
                self._count(value)
            elif rung in (0, last):
                signed = value if rung else -value
                if world in self._halves:
                    self._count(signed + self._halves.pop(world))
                else:
                    self._halves[world] = signed
        if not self._bar.disable:
            self._bar.set_postfix_str(self.text(), refresh=False)

    def text(self) -> str:
        """Tell the outcome of interest so far."""
        if self._n < 2:
            return ""
        half = stdtrit(self._n - 1, 0.975) * sqrt(self._squares / (self._n - 1) / self._n)
        first, last = self._names[0], self._names[-1]
        what = last if first == last else f"{last} - {first}"
        return f"welfare_usd, {what}: {self._mean:.4g} +- {half:.2g}"

    def _count(self, value: float) -> None:
        if isnan(value):
            return
        self._n += 1
        step = value - self._mean
        self._mean += step / self._n
        self._squares += step * (value - self._mean)
