"""Integrity: the one place that proves replications distinct, and worlds the same for all regimes.

Engines that draw from a generator of the process repeat replications without a word when workers
are forked, and intervals shrink for no reason. Here a world says in a digest what was drawn for it,
its seed left out; two seeds of one point with the same digest end the experiment.
"""

import json
from collections.abc import Mapping, Sequence

from hanse.scenarios.running.tasks import Task


class ReplicationsRepeat(ValueError):
    """Two seeds drew the same world, so that the second adds nothing."""


class Replications:
    """What was drawn so far, at each point of a design.

    Parameters
    ----------
    tasks : of the design, in order; two with the same keys and seed are refused at once.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._points = [_point(task.keys) for task in tasks]
        self._drawn: dict[tuple[str, str], int] = {}
        seen: set[tuple[str, int]] = set()
        for task, point in zip(tasks, self._points, strict=True):
            place = (point, task.seed)
            if place in seen:
                raise ReplicationsRepeat(f"seed {task.seed} comes twice at {_told(task.keys)}")
            seen.add(place)

    def check(self, number: int, luck: str) -> None:
        """Take in one world; raise `ReplicationsRepeat` if another seed of its point drew it.

        Parameters
        ----------
        luck : digest of what was drawn; empty where no world was.
        """
        if not luck:
            return
        task = self._tasks[number]
        before = self._drawn.setdefault((self._points[number], luck), number)
        if before != number:
            raise ReplicationsRepeat(
                f"seeds {self._tasks[before].seed} and {task.seed} drew the same world at "
                f"{_told(task.keys)}: they are one replication, and an interval over both is false"
            )


def _point(keys: Mapping[str, object]) -> str:
    return json.dumps(dict(keys), sort_keys=True)


def _told(keys: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in keys.items())
