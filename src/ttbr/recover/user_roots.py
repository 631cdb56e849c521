"""Root tables of processes, found by structure: in memory that may have no list of them."""

import numpy as np
from numpy.typing import NDArray

from ttbr.memory.physical import PhysicalMemory
from ttbr.recover.finding import Finding, likely
from ttbr.recover.frames import WORDS
from ttbr.recover.kernel_map import Candidate
from ttbr.recover.roots_arm32 import ArmKernel, is_identity, lpae_process_roots
from ttbr.recover.table_pages import TABLE, TablePages, matches
from ttbr.recover.table_trees import ADDRESS_BITS, TreeLevel, user_trees

_EVIDENCE = "tables of processes that no other table points to; one that has ended may be among"


def arm64_user_roots(
    memory: PhysicalMemory, pages: TablePages, kernel: Candidate
) -> Finding[tuple[int, ...]]:
    """Roots of processes, ascending; TTBR0 translates as many bits as TTBR1 does.

    A root that is smaller than a page is one of many in a page (arch/arm64/mm/pgd.c), among words
    of other kinds: it is where a word points to a table that a root would point to.
    """
    whole = pages.of_size(kernel.granule)
    root = kernel.regime.levels[0]
    size = 8 * root.entries
    if size == kernel.granule:
        roots = _unused(whole, user_trees(memory, whole, size, root.number)[root.number])
    else:
        level = root.number + 1
        below = _unused(whole, user_trees(memory, whole, kernel.granule, level)[level])
        roots = np.unique(_pointers(memory, pages, below) & np.uint64(-size % (1 << 64)))
    return likely(tuple(roots.tolist()), _EVIDENCE)


def _unused(pages: TablePages, level: TreeLevel) -> NDArray[np.uint64]:
    return pages.addresses[(level.weight > 0) & ~level.used]


def _pointers(
    memory: PhysicalMemory, pages: TablePages, targets: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Where table descriptors lie that point to one of ``targets``, in any frame that is used."""
    found = [np.zeros(0, np.uint64)]
    address = np.uint64((1 << ADDRESS_BITS) - (1 << 12))
    for at in range(0, len(pages.addresses), WORDS):
        part = pages.addresses[at : at + WORDS]
        words, _ = memory.read_words(part, WORDS, 8)
        row, column = np.nonzero(matches(words, TABLE))
        points = np.isin(words[row, column] & address, targets)
        found.append(part[row[points]] + column[points].astype(np.uint64) * np.uint64(8))
    return np.concatenate(found)


def arm_user_roots(
    memory: PhysicalMemory, pages: TablePages, kernels: list[ArmKernel]
) -> tuple[Finding[tuple[int, ...]], Finding[int] | None]:
    """Roots of processes, ascending, and the identity map's; ``kernels``: the found, best first."""
    kernel = kernels[0]
    if kernel.lpae:
        every = lpae_process_roots(memory, kernel, pages.addresses)
        identity = [root for root in every if is_identity(memory, kernel, root)]
    else:
        others = [k for k in kernels[1:] if k.phys_offset == kernel.phys_offset and not k.lpae]
        every = [k.swapper for k in others if k.user]
        identity = [k.swapper for k in others if k.identity and not k.user]
    users = tuple(sorted(set(every) - set(identity)))
    evidence = (
        "tables that have the kernel's entries, too; one of a process that has ended may be among"
    )
    idmap = None
    if identity:
        idmap = likely(
            identity[0], "a table with the kernel's entries that maps code at its address"
        )
    return likely(users, evidence), idmap
