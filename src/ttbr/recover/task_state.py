"""What state a task is in, as the letter that /proc/PID/status has (fs/proc/array.c)."""

import numpy as np
from numpy.typing import NDArray

_LETTERS = "RSDTtXZP"  # by the highest bit of those that are shown; none is R
_SHOWN = 0x7F  # include/linux/sched.h: TASK_REPORT
_UNINTERRUPTIBLE, _NOLOAD, _RTLOCK_WAIT, _FROZEN = 0x2, 0x400, 0x1000, 0x8000
UNKNOWN = "?"


def state_letters(
    state: NDArray[np.uint64], exit_state: NDArray[np.uint64], known: NDArray[np.bool_]
) -> tuple[str, ...]:
    """The letters of tasks by ``__state`` and ``exit_state``; ``?`` where ``known`` is not set."""
    rows = zip(state.tolist(), exit_state.tolist(), known.tolist(), strict=True)
    return tuple(_letter(own, ended) if there else UNKNOWN for own, ended, there in rows)


def _letter(state: int, ended: int) -> str:
    if state & (_UNINTERRUPTIBLE | _NOLOAD) == _UNINTERRUPTIBLE | _NOLOAD:
        return "I"
    if state & (_RTLOCK_WAIT | _FROZEN):
        return "D"
    return _LETTERS[((state | ended) & _SHOWN).bit_length()]
