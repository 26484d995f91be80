"""The event calendar of the engine: a heap of (instant, key) with four branches, compiled.

Simultaneous events are ordered by the rank in the key (physics, refresh, report, decision,
dispatch, settlement), then by kind, then by the index of what they concern, so that the order of
insertion never matters.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hanse.market.engine.clock import HEAP_SIZE
from hanse.market.engine.columns import State
from hanse.market.kernels import kernel

EVENT = np.dtype([("at_us", "i8"), ("key", "i8")])

_KIND_SHIFT: Final = 40
_INDEX_MASK: Final = (1 << _KIND_SHIFT) - 1

# The kind is rank * 16 + position: physics 0, report 2, decision 3, dispatch 4, settlement 5.
FINISH: Final = 0
DELIVERED: Final = 1
READY: Final = 2
AUDIT_ARRIVES: Final = 3
EXPIRE: Final = 4
NOTICE: Final = 5
TIMEOUT: Final = 6
RETRY: Final = 7
BREAK: Final = 8
WAKE: Final = 32
REQUEST: Final = 48
TICK: Final = 49
SERVE: Final = 50
LAND: Final = 64
RECEIPT: Final = 80
VERDICT: Final = 81
FINAL: Final = 82


@kernel
def key_of(kind: int, index: int) -> int:
    """Return the key by which simultaneous events are ordered."""
    return (kind << _KIND_SHIFT) | int(index)


@kernel
def push(heap: NDArray[np.void], size: int, at_us: int, kind: int, index: int) -> int:
    """Insert an event and return the new size of the heap."""
    assert size < len(heap), "the event calendar is full"
    key = key_of(kind, index)
    child = size
    while child > 0:
        parent = (child - 1) >> 2
        above = heap[parent]
        if above["at_us"] < at_us or (above["at_us"] == at_us and above["key"] <= key):
            break
        heap[child]["at_us"] = above["at_us"]
        heap[child]["key"] = above["key"]
        child = parent
    heap[child]["at_us"] = at_us
    heap[child]["key"] = key
    return size + 1


@kernel
def _is_before(heap: NDArray[np.void], one: int, other: int) -> int:
    """Return 1 if one event comes before another, else 0; computed so that nothing branches."""
    first, second = heap[one], heap[other]
    is_tie = int(first["at_us"] == second["at_us"]) & int(first["key"] < second["key"])
    return int(first["at_us"] < second["at_us"]) | is_tie


@kernel
def _first_child(heap: NDArray[np.void], child: int, size: int) -> int:
    """Return the first event of four siblings from `child` on, or of as many as there are."""
    if child + 4 <= size:
        left = child + _is_before(heap, child + 1, child)
        right = child + 2 + _is_before(heap, child + 3, child + 2)
        return left + (right - left) * _is_before(heap, right, left)
    first = child
    for other in range(child + 1, size):
        if _is_before(heap, other, first) == 1:
            first = other
    return first


@kernel
def pop(heap: NDArray[np.void], size: int) -> int:
    """Remove the first event and return the new size; read `heap[0]` before calling."""
    size -= 1
    at_us, key = heap[size]["at_us"], heap[size]["key"]
    parent = 0
    while 4 * parent + 1 < size:
        child = _first_child(heap, 4 * parent + 1, size)
        below = heap[child]
        if at_us < below["at_us"] or (at_us == below["at_us"] and key <= below["key"]):
            break
        heap[parent]["at_us"] = below["at_us"]
        heap[parent]["key"] = below["key"]
        parent = child
    heap[parent]["at_us"] = at_us
    heap[parent]["key"] = key
    return size


@kernel
def kind_of(key: int) -> int:
    """Return what happens."""
    return key >> _KIND_SHIFT


@kernel
def index_of(key: int) -> int:
    """Return the stage, unit or plane it happens to."""
    return key & _INDEX_MASK


_EPOCHS: Final = 1024


@kernel
def of_epoch(stage: int, epoch: int) -> int:
    """Return the index of an event that concerns one beginning of a stage, and no later one."""
    assert epoch < _EPOCHS, "a stage was begun anew too often"
    return int(stage) * _EPOCHS + int(epoch)


@kernel
def stage_of(index: int) -> int:
    """Return the stage of such an event."""
    return index // _EPOCHS


@kernel
def epoch_of(index: int) -> int:
    """Return the beginning of the stage that such an event concerns."""
    return index % _EPOCHS


@kernel
def is_current(state: State, index: int) -> bool:
    """Say whether the stage has not been begun anew since the event was scheduled."""
    return bool(state.stage[index // _EPOCHS]["epoch"] == index % _EPOCHS)


@kernel
def schedule(state: State, at_us: int, kind: int, index: int) -> None:
    """Put an event on the calendar."""
    state.clock[HEAP_SIZE] = push(state.heap, state.clock[HEAP_SIZE], at_us, kind, index)
