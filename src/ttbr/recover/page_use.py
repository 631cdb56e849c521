"""Who uses a frame: its struct page, and every address of the kernel and of processes that maps it.

The entries of all processes are put side by side once and sorted by frame, so that a question about
one frame, or about all of them, is a look-up.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.page_flags import flag_bits, page_types
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux_reading import KINDS
from ttbr.recover.memory_map import Pages


@dataclass(frozen=True)
class UserEntries:
    """Entries of processes that name a page, as columns sorted by physical address.

    ``pid`` (of the first task that has the mm): int64. ``va``, ``pa``, ``size`` (bytes): uint64.
    ``kind``: uint8, index into `KINDS`: present, PROT_NONE, old …
    """

    pid: NDArray[np.int64]
    va: NDArray[np.uint64]
    pa: NDArray[np.uint64]
    size: NDArray[np.uint64]
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pid)

    def covering(self, pa: int) -> NDArray[np.intp]:
        """The rows whose page has the byte at ``pa``, by pid and address."""
        if not len(self):
            return np.zeros(0, np.intp)
        largest = int(self.size.max())
        low = max(0, pa - largest + 1)
        first, last = np.searchsorted(self.pa, np.array([low, pa + 1], np.uint64))
        rows = np.arange(int(first), int(last))
        rows = rows[np.uint64(pa) - self.pa[rows] < self.size[rows]]
        return rows[np.lexsort((self.va[rows], self.pid[rows]))]


class PageUse:
    """Answers for one image."""

    def __init__(self, memory: KernelMemory) -> None:
        self.memory = memory

    @cached_property
    def entries(self) -> UserEntries:
        """All pages of all processes."""
        linux = self.memory.linux
        tasks = linux.tasks
        columns: list[list[NDArray[np.uint64]]] = [[], [], []]
        pids: list[NDArray[np.int64]] = []
        kinds: list[NDArray[np.uint8]] = []
        roots, first = np.unique(tasks.pgd, return_index=True)
        for root, row in zip(roots.tolist(), first.tolist(), strict=True):
            if not root:
                continue
            view = linux.processes.of(root).view
            named = view.readings.has_page
            for column, values in zip(columns, (view.va, view.readings.pa, view.size), strict=True):
                column.append(values[named])
            kinds.append(view.readings.kind[named])
            pids.append(np.full(int(named.sum()), tasks.pid[row], np.int64))
        none = np.zeros(0, np.uint64)
        va, pa, size = (np.concatenate([none, *column]) for column in columns)
        pid = np.concatenate([none.astype(np.int64), *pids])
        kind = np.concatenate([none.astype(np.uint8), *kinds])
        order = np.argsort(pa, kind="stable")
        return UserEntries(pid[order], va[order], pa[order], size[order], kind[order])

    def users(self, pa: int) -> list[tuple[int, int, str]]:
        """(pid, virtual address, kind of entry) of every process page with the byte at ``pa``."""
        found = self.entries
        return [
            (
                int(found.pid[row]),
                int(found.va[row]) + pa - int(found.pa[row]),
                KINDS[int(found.kind[row])],
            )
            for row in found.covering(pa).tolist()
        ]

    def kernel_addresses(self, pa: int) -> list[int]:
        """Every address of the kernel's own tables that is mapped to ``pa``."""
        return [int(va) for va in self.memory.linux.memory.mappings.reverse(pa).tolist()]

    def page(self, pfn: int) -> Pages | None:
        """The struct page of a frame (one row, or none), None where pages are not found."""
        return self.memory.pages(np.array([pfn], np.uint64))

    @cached_property
    def flag_bits(self) -> dict[str, int]:
        """Which bit of page->flags is what."""
        linux = self.memory.linux
        constants = {} if linux.types is None else linux.types.enumerators("pageflags")
        return flag_bits(linux.vmcoreinfo.numbers, constants)

    def types_of(self, pages: Pages) -> NDArray[np.object_]:
        """buddy, slab, table … of each page, "" for those that have no type."""
        info = self.memory.linux.vmcoreinfo
        found = page_types(pages.mapcount, info.number("PAGE_BUDDY_MAPCOUNT_VALUE"))
        slab = self.flag_bits.get("slab")
        if slab is not None:
            found[pages.flags >> np.uint64(slab) & np.uint64(1) != 0] = "slab"
        return found

    def flags_of(self, flags: int) -> list[str]:
        """The names of the bits that are set, by bit; without those of zone and node."""
        return [name for name, bit in self.flag_bits.items() if flags >> bit & 1]

    def free_block(self, pfn: int) -> tuple[int, int] | None:
        """(first frame, order) of the free block that a frame is in, or None."""
        found = self.memory.free_blocks
        if found is None or not len(found):
            return None
        inside = (found.pfn <= pfn) & (np.uint64(pfn) - found.pfn < 1 << found.order.astype("u8"))
        rows = np.flatnonzero(inside)
        return None if not len(rows) else (int(found.pfn[rows[0]]), int(found.order[rows[0]]))
