"""The root tables of a 32-bit ARM kernel, found by structure in memory.

The linear map begins at PAGE_OFFSET, one of a few addresses, with sections that map RAM from
PHYS_OFFSET on without a gap (arch/arm/mm/mmu.c: map_lowmem, map_kernel); every process's table
has the kernel's entries, too. swapper_pg_dir lies just below _text (arch/arm/kernel/head.S), so
at a place that no allocator gives away.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.kernel.arm_layout import VMSPLIT
from ttbr.memory.physical import PhysicalMemory
from ttbr.recover.frames import FRAME, WORDS, Frames

M = 1 << 20
SHORT_ROOT, LPAE_ROOT, LPAE_ENTRIES = 0x4000, 0x5000, 4
# arch/arm/Makefile: TEXT_OFFSET is 0x8000 above a multiple of 1M, of which 3M is the largest.
_TEXT_OFFSETS = tuple(0x8000 + n * M for n in range(4))
# Sections from PAGE_OFFSET on that have to be there: no kernel is smaller than 4M.
_FIRST = 4
_IDMAP_WITHIN = 32 * M  # of PHYS_OFFSET: the kernel, and so the code that turns the MMU on
_MODULES = 16 * M  # MODULES_VADDR below PAGE_OFFSET
_TABLES_AT_ONCE = 64
_L_PGD_SWAPPER = 1 << 55
_LPAE_ADDRESS = (1 << 40) - FRAME


@dataclass(frozen=True, slots=True)
class ArmKernel:
    """A kernel's tables: ``swapper`` (physical), virtual ``page_offset``, ``phys_offset``.

    ``lpae``: long descriptors. ``section``: the descriptor that maps PAGE_OFFSET. ``placed``:
    whether the root lies where head.S puts it. ``entries``: descriptors of the kernel's half;
    ``user``: those below that are not identity sections; ``identity``: those that are.
    """

    swapper: int
    page_offset: int
    phys_offset: int
    lpae: bool
    section: int
    placed: bool
    entries: int
    user: int
    identity: int

    @property
    def linear_bytes(self) -> int:
        """Bytes that the kernel's half maps, if all of it are sections."""
        return self.entries * (2 * M if self.lpae else M)


def find_arm_kernels(memory: PhysicalMemory, frames: Frames) -> list[ArmKernel]:
    """Every table with a kernel's half, the one that is swapper_pg_dir first."""
    found = [*_lpae_kernels(memory, frames), *_short_kernels(memory, frames)]
    return sorted(found, key=_order)


def _order(kernel: ArmKernel) -> tuple[bool, bool, int, int]:
    """Nothing of a process, the right place, then most entries: others get theirs from it."""
    return kernel.user > 0, not kernel.placed, -kernel.entries, kernel.swapper


def _splits(lpae: bool) -> list[int]:
    return sorted(va for va in VMSPLIT.values() if not lpae or va % (1 << 30) == 0)


def _is_placed(root: int, size: int, phys_offset: int) -> bool:
    return root + size - phys_offset in _TEXT_OFFSETS


def _linear(
    memory: PhysicalMemory, words: NDArray[np.uint64], size: int, kind: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which rows map RAM without a gap: sections of ``size`` bytes, of ``kind`` (mask, value).

    The first word of a row is the one before the map begins.
    """
    mask, value = kind
    section = words & np.uint64(mask) == np.uint64(value)
    base = words & np.uint64(_LPAE_ADDRESS & -size)
    step = base[:, 1:] == base[:, :-1] + np.uint64(size)
    begins = ~(section[:, 0] & step[:, 0]) & (base[:, 1] % np.uint64(2 * M) == 0)
    all_sections = section[:, 1:].all(axis=1) & step[:, 1:].all(axis=1)
    kept: NDArray[np.bool_] = begins & all_sections & memory.contains(base[:, 1])
    return kept


_SHORT_SECTION = (1 << 18 | 2, 2)
_LPAE_SECTION = (3, 1)


def _short_kernels(memory: PhysicalMemory, frames: Frames) -> Iterator[ArmKernel]:
    blocks = np.unique(frames.addresses & np.uint64(-SHORT_ROOT % (1 << 64)))
    for page_offset in _splits(lpae=False):
        first = page_offset // M
        words, _ = memory.read_words(blocks + np.uint64(4 * (first - 1)), 1 + _FIRST, 4)
        rows = np.flatnonzero(_linear(memory, words, M, _SHORT_SECTION))
        for at in range(0, len(rows), _TABLES_AT_ONCE):
            part = blocks[rows[at : at + _TABLES_AT_ONCE]]
            tables, present = memory.read_words(part, SHORT_ROOT // 4, 4)
            for root, table in zip(part[present].tolist(), tables[present], strict=True):
                kernel = _short_kernel(root, table, page_offset)
                if kernel is not None:
                    yield kernel


def _short_kernel(root: int, table: NDArray[np.uint64], page_offset: int) -> ArmKernel | None:
    """The kernel whose table this is, if the table maps itself in its linear map."""
    first, user = page_offset // M, (page_offset - _MODULES) // M
    base = table & np.uint64(-M % (1 << 32))
    phys_offset = int(base[first])
    own = first + (root - phys_offset) // M
    if not first <= own < len(table) or base[own] != root & -M or table[own] & np.uint64(3) != 2:
        return None
    here = np.arange(user, dtype=np.uint64) * np.uint64(M)
    identity = (base[:user] == here) & (table[:user] & np.uint64(_SHORT_SECTION[0]) == 2)
    return ArmKernel(
        swapper=root,
        page_offset=page_offset,
        phys_offset=phys_offset,
        lpae=False,
        section=int(table[first]),
        placed=_is_placed(root, SHORT_ROOT, phys_offset),
        entries=int(np.count_nonzero(table[user:])),
        user=int(np.count_nonzero(table[:user][~identity])),
        identity=int(np.count_nonzero(identity)),
    )


def _lpae_kernels(memory: PhysicalMemory, frames: Frames) -> Iterator[ArmKernel]:
    """A page whose first four words point to the four pages behind it is the whole directory."""
    words, _ = memory.read_words(frames.addresses, LPAE_ENTRIES, 8)
    behind = frames.addresses[:, None] + np.arange(1, 1 + LPAE_ENTRIES, dtype=np.uint64) * FRAME
    same = (words & np.uint64(_L_PGD_SWAPPER ^ (1 << 64) - 1)) == behind + np.uint64(3)
    for root in frames.addresses[same.all(axis=1)].tolist():
        for page_offset in _splits(lpae=True):
            first = page_offset // (2 * M)
            at = np.array([root + FRAME + 8 * (first - 1)], np.uint64)
            linear, _ = memory.read_words(at, 1 + _FIRST, 8)
            phys_offset = int(linear[0, 1]) & _LPAE_ADDRESS & -2 * M
            if not _linear(memory, linear, 2 * M, _LPAE_SECTION)[0] or not (
                phys_offset <= root < phys_offset + 2 * M * _FIRST
            ):
                continue
            tables, _ = memory.read_words(np.array([root + FRAME], np.uint64), 4 * WORDS, 8)
            user = (page_offset - _MODULES) // (2 * M)
            yield ArmKernel(
                swapper=root,
                page_offset=page_offset,
                phys_offset=phys_offset,
                lpae=True,
                section=int(linear[0, 1]),
                placed=_is_placed(root, LPAE_ROOT, phys_offset),
                entries=int(np.count_nonzero(tables[0, user:])),
                user=0,
                identity=int(np.count_nonzero(tables[0, :user])),
            )
            break


def lpae_process_roots(
    memory: PhysicalMemory, kernel: ArmKernel, used: NDArray[np.uint64]
) -> list[int]:
    """Roots of processes: four words, the last of which are swapper_pg_dir's, in frames ``used``.

    Such a root is an object of 32 bytes (arch/arm/mm/pgd.c: pgd_alloc).
    """
    entries, _ = memory.read_words(np.array([kernel.swapper], np.uint64), LPAE_ENTRIES, 8)
    first = kernel.page_offset >> 30
    found: list[int] = []
    for at in range(0, len(used), WORDS):
        part = used[at : at + WORDS]
        words, _ = memory.read_words(part, WORDS, 8)
        objects = words.reshape(len(part), -1, LPAE_ENTRIES)
        same = (objects[:, :, first:] == entries[0, first:]).all(axis=2)
        lower = objects[:, :, :first]
        table = (lower == 0) | (lower & np.uint64(0xFFF) == 3) & memory.contains(
            lower & np.uint64(_LPAE_ADDRESS)
        )
        page, index = np.nonzero(same & table.all(axis=2) & lower.any(axis=2))
        found += (part[page] + index.astype(np.uint64) * np.uint64(32)).tolist()
    return [root for root in found if root != kernel.swapper]


def is_identity(memory: PhysicalMemory, kernel: ArmKernel, root: int) -> bool:
    """Whether a process's root is in truth the identity map (arch/arm/mm/idmap.c): LPAE only.

    Where RAM is at or above PAGE_OFFSET that map is among the kernel's own entries, and not told.
    """
    start = kernel.phys_offset
    if start >= kernel.page_offset:
        return False
    entry, _ = memory.read_words(np.array([root + 8 * (start >> 30)], np.uint64), 1, 8)
    table = (int(entry[0, 0]) & _LPAE_ADDRESS) + 8 * (start // (2 * M) % WORDS)
    count = min(_IDMAP_WITHIN // (2 * M), WORDS - start // (2 * M) % WORDS)
    words, _ = memory.read_words(np.array([table], np.uint64), count, 8)
    here = np.arange(count, dtype=np.uint64) * np.uint64(2 * M) + np.uint64(start)
    base = words[0] & np.uint64(_LPAE_ADDRESS & -2 * M)
    return bool(((base == here) & (words[0] & np.uint64(3) == 1)).any())
