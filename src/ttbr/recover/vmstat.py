"""Names of the kernel's memory counters, which it carries with it (mm/vmstat.c: vmstat_text).

The array names the counters of zones first, then with NUMA its events, then those of nodes: so
which counter is which needs no configuration.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.virtual_memory import VirtualMemory

_FIRST = b"nr_free_pages\0"
_EVENTS = ("numa_hit",)
_NODE_FIRST = "nr_inactive_anon"
_BEHIND = ("nr_dirty_threshold", "nr_memmap_pages")
_MOST = 256


@dataclass(frozen=True)
class CounterNames:
    """The names of zones' and nodes' counters, in their order."""

    zone: tuple[str, ...]
    node: tuple[str, ...]


def find_counter_names(
    kernel: VirtualMemory, image: bytes, text: int, symbol: int | None
) -> CounterNames | None:
    """The names, by the symbol vmstat_text, or by looking for them in the image."""
    for at in [symbol] if symbol is not None else _places(image, text, kernel.word):
        names: list[str] = []
        while len(names) < _MOST:
            where = kernel.number(at + len(names) * kernel.word)
            name = kernel.text(where, 64) if where else None
            if not name or name in _BEHIND:
                break
            names.append(name)
        if _NODE_FIRST in names:
            node = names.index(_NODE_FIRST)
            events = next((names.index(name) for name in _EVENTS if name in names), node)
            return CounterNames(tuple(names[: min(node, events)]), tuple(names[node:]))
    return None


def _places(image: bytes, text: int, word: int) -> list[int]:
    """Where in the image a pointer to the first name is."""
    words = np.frombuffer(image[: len(image) // word * word], f"<u{word}")
    found: list[int] = []
    at = image.find(_FIRST)
    while at >= 0:
        if at == 0 or image[at - 1] == 0:
            found += [text + hit * word for hit in np.flatnonzero(words == text + at).tolist()]
        at = image.find(_FIRST, at + 1)
    return found


def read_counters(kernel: VirtualMemory, at: int, count: int) -> NDArray[np.int64] | None:
    """``count`` signed counters at an address; None where they are not in memory."""
    data = kernel.try_read(at, count * kernel.word)
    return None if data is None else np.frombuffer(data, f"<i{kernel.word}").astype(np.int64)
