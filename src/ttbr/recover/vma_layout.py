"""The layout of ``struct vm_area_struct``, recovered from the areas in the trees of mms.

What is taken for granted: an area says where it begins and ends, as its place in the tree does, and
to which mm it belongs; what may be done is among what could be allowed (VM_READ, VM_MAYREAD …); the
page offset of most anonymous areas is their address; and vm_ops, vm_pgoff, vm_file and
vm_private_data follow each other (include/linux/mm_types.h).
"""

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.finding import Finding, certain, likely
from ttbr.recover.layouts import Recovered
from ttbr.recover.maple_tree import Entries
from ttbr.recover.virtual_memory import VirtualMemory

_LONGEST = 192  # bytes of a vm_area_struct that are looked at
_MOST_COMPARED = 4096
_RWX, _MAY = 7, 4  # VM_READ, VM_WRITE, VM_EXEC; VM_MAYREAD and so on are four bits above
_REACHES = 12  # words between what is known and what is looked for


def find_vma_layout(
    kernel: VirtualMemory, mms: NDArray[np.uint64], areas: Entries, page_size: int
) -> Recovered:
    """The offsets, as far as they are found. ``mms``: those that ``areas.tree`` counts."""
    rows, present = kernel.records(areas.value[:_MOST_COMPARED], _LONGEST)
    here = np.flatnonzero(present)
    words = rows[here].view(f"<u{kernel.word}").astype(np.uint64)
    found: dict[str, Finding[int]] = {}
    if not len(words):
        return found
    word = kernel.word
    first, end = areas.first[here], areas.last[here] + np.uint64(1)
    text = f"as {len(words)} areas lie in their trees"
    start = _where(words == first[:, None])
    after = _where(words == (end & np.uint64((1 << 8 * word) - 1))[:, None])
    owner = _where(words == mms[areas.tree[here]][:, None])
    if start is None or after is None or owner is None:
        return found
    found["vm_start"], found["vm_end"] = certain(start * word, text), certain(after * word, text)
    found["vm_mm"] = certain(owner * word, f"the mm of {len(words)} areas")
    flags = _flags(words, owner)
    if flags is None:
        return found
    found["vm_flags"] = certain(flags * word, "no access that could not be allowed, in any area")
    offset = _page_offset(words, flags, first // np.uint64(page_size))
    if offset is not None:
        text = "the address of many areas that are no file's; vm_file follows it"
        for at, name in enumerate(("vm_ops", "vm_pgoff", "vm_file", "vm_private_data")):
            known = certain if name == "vm_pgoff" else likely
            found[name] = known((offset + at - 1) * word, text)
    return found


def _where(same: NDArray[np.bool_]) -> int | None:
    """The first column that holds in all rows."""
    columns = np.flatnonzero(same.all(axis=0))
    return int(columns[0]) if len(columns) else None


def _flags(words: NDArray[np.uint64], owner: int) -> int | None:
    """vm_flags follows vm_page_prot, which follows vm_mm."""
    for column in range(owner + 2, min(owner + 6, words.shape[1])):
        value = words[:, column]
        allowed = value >> np.uint64(_MAY) & np.uint64(_RWX)
        used = value & np.uint64(_RWX)
        if (used & ~allowed).any() or not (allowed != 0).all() or len(np.unique(used)) < 2:
            continue
        return column
    return None


def _page_offset(words: NDArray[np.uint64], flags: int, pages: NDArray[np.uint64]) -> int | None:
    """The word that is the page number of the address in many areas without a file.

    The stack, which moved since, and the kernel's own pages ([vdso]) have other numbers there.
    """
    last = min(flags + _REACHES + 4, words.shape[1] - 2)
    columns = range(flags + 2, last)
    same = [words[:, column] == pages for column in columns]
    counts = [
        int((hit & (words[:, column + 1] == 0)).sum())
        for column, hit in zip(columns, same, strict=True)
    ]
    best = int(np.argmax(counts))
    others = max(counts[:best] + counts[best + 1 :], default=0)
    anonymous = int((words[:, columns[best] + 1] == 0).sum())
    clear = 5 * counts[best] >= anonymous and counts[best] > 2 * others
    return columns[best] if clear else None
