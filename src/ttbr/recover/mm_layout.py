"""The layout of ``struct mm_struct``, recovered from the mms that tasks have.

What is taken for granted: the tree of areas names itself as its root node's parent; the root table
is one; eleven words say where code, data, heap, stack, arguments and environment are (each that
exists lies in an area); and what counts areas and pages counts right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.format import Kind
from ttbr.arch.regime import TranslationRegime
from ttbr.recover.finding import Finding, certain, likely
from ttbr.recover.layouts import Recovered
from ttbr.recover.maple_tree import NODE, Entries, looks_like_root, read_trees
from ttbr.recover.virtual_memory import VirtualMemory

_LONGEST = 1536  # bytes of an mm_struct that are looked at
_TREE_LOCKED_BY_MM = 0x300  # MT_FLAGS_LOCK_EXTERN
_LIMITS = (
    *("start_code", "end_code", "start_data", "end_data", "start_brk", "brk", "start_stack"),
    *("arg_start", "arg_end", "env_start", "env_end"),
)


@dataclass(frozen=True)
class MmLayout:
    """The offsets found in mms, and those of the maple tree within; the areas in the trees."""

    mm: Recovered
    tree: Recovered
    areas: Entries


def find_mm_layout(
    kernel: VirtualMemory,
    mms: NDArray[np.uint64],
    user: TranslationRegime,
    asid_generation: int | None,
    page_size: int,
) -> MmLayout | None:
    """The layout by the ``mms`` of tasks; None where no tree of areas is in them.

    ``user``: the regime of processes. ``asid_generation``: the value of that variable, if known.
    """
    rows, present = kernel.records(mms, _LONGEST)
    mms, rows = mms[present], rows[present]
    if not len(mms):
        return None
    words = rows.view(f"<u{kernel.word}").astype(np.uint64)
    found: dict[str, Finding[int]] = {}
    tree = _tree(kernel, mms, words, rows, found)
    if tree is None:
        return None
    root = found["mm_mt"].value + tree["ma_root"].value
    areas = read_trees(kernel, words[:, root // kernel.word])
    _pgd(kernel, words, user, found)
    _limits(words, areas, kernel.word, found)
    _counters(words, rows, areas, page_size, found)
    _asid(rows, asid_generation, found)
    return MmLayout(found, tree, areas)


def _tree(
    kernel: VirtualMemory,
    mms: NDArray[np.uint64],
    words: NDArray[np.uint64],
    rows: NDArray[np.uint8],
    found: dict[str, Finding[int]],
) -> dict[str, Finding[int]] | None:
    word = kernel.word
    for column in np.flatnonzero(looks_like_root(words).all(axis=0)).tolist():
        node = words[:, column] & np.uint64(-NODE % (1 << 64))
        parent, there = kernel.words(node, 1, word)
        # The parent of a root is the tree itself, with bit 0 set (MA_ROOT_PARENT).
        inside = (parent[:, 0] & ~np.uint64(1)) - mms
        rooted = there.all() and (parent[:, 0] & np.uint64(1) == 1).all()
        if not rooted or (inside != inside[0]).any():
            continue
        at = int(inside[0])
        place = column * word - at
        if not 0 < place <= 4 * word:
            continue
        text = f"the trees of {len(mms)} mms have it as their root's parent"
        found["mm_mt"] = certain(at, text)
        layout = {"ma_root": certain(place, text)}
        halves = rows.view("<u4")
        for flags in (4, place - 4, place + word):
            value = halves[:, (at + flags) // 4]
            if flags > 0 and (value & _TREE_LOCKED_BY_MM == _TREE_LOCKED_BY_MM).all():
                layout["ma_flags"] = certain(flags, "it says who locks the tree")
                break
        return layout
    return None


def _pgd(
    kernel: VirtualMemory,
    words: NDArray[np.uint64],
    user: TranslationRegime,
    found: dict[str, Finding[int]],
) -> None:
    """The pointer to a root table: all entries are tables or nothing, and some are tables."""
    fmt, level = user.format, user.levels[0]
    size = level.entries * fmt.entry_size
    memory = kernel.space.memory
    for column in range(words.shape[1]):
        values = words[:, column]
        if (values % np.uint64(min(size, 64))).any():  # a root is aligned to its own size
            continue
        if len(np.unique(values)) < len(values):
            continue
        pa, left = kernel.locate(values)
        if (left < np.uint64(size)).any():
            continue
        entries, there = memory.read_words(pa, level.entries, fmt.entry_size)
        if not there.all():
            continue
        kinds = fmt.kinds(entries, level.number)
        tables = kinds == Kind.TABLE
        allowed = tables | (kinds == Kind.INVALID) | (kinds == Kind.BLOCK)
        targets = fmt.table_address(entries[tables], level.number)
        if allowed.all() and tables.any(axis=1).all() and memory.contains(targets).all():
            text = f"it points to root tables, other ones in each of {len(values)} mms"
            found["pgd"] = certain(column * kernel.word, text)
            return


def _limits(
    words: NDArray[np.uint64], areas: Entries, word: int, found: dict[str, Finding[int]]
) -> None:
    owners = len(words)
    for column in range(words.shape[1] - len(_LIMITS) + 1):
        part = words[:, column : column + len(_LIMITS)]
        code, code_end, data, data_end, brk, brk_end, stack, arg, arg_end, env, env_end = part.T
        ordered = (code < code_end) & (data <= data_end) & (brk <= brk_end) & (stack <= arg)
        ordered &= (arg <= arg_end) & (arg_end <= env) & (env <= env_end) & (code_end <= stack)
        if not ordered.all():
            continue
        in_code, in_stack = _area_of(areas, code, owners), _area_of(areas, stack, owners)
        if (in_code >= 0).all() and (in_stack >= 0).all():
            same = (in_stack == _area_of(areas, arg, owners)).all()
            if same and (in_stack != in_code).all():
                text = f"the addresses of {owners} mms lie in their areas, in order"
                for at, name in enumerate(_LIMITS):
                    found[name] = certain((column + at) * word, text)
                return


def _area_of(areas: Entries, address: NDArray[np.uint64], owners: int) -> NDArray[np.intp]:
    """For the address of each owner the row of the area that it lies in, or -1."""
    row = np.full(owners, -1)
    for owner in range(owners):
        first, last = np.searchsorted(areas.tree, (owner, owner + 1))
        at = int(np.searchsorted(areas.first[first:last], address[owner], side="right")) - 1
        if at >= 0 and address[owner] <= areas.last[first + at]:
            row[owner] = first + at
    return row


def _counters(
    words: NDArray[np.uint64],
    rows: NDArray[np.uint8],
    areas: Entries,
    page_size: int,
    found: dict[str, Finding[int]],
) -> None:
    """map_count (int) and total_vm (pages), by what the trees hold."""
    owners = len(words)
    count = np.bincount(areas.tree, minlength=owners).astype(np.uint64)
    pages = (areas.last - areas.first + np.uint64(1)) // np.uint64(page_size)
    total = np.zeros(owners, np.uint64)
    np.add.at(total, areas.tree, pages)
    word = rows.shape[1] // words.shape[1]
    halves = rows.view("<u4")
    same = np.flatnonzero((halves == count[:, None]).all(axis=0)).tolist()
    if len(same) == 1:
        found["map_count"] = certain(4 * same[0], f"the number of areas in {owners} mms")
    same = np.flatnonzero((words == total[:, None]).all(axis=0)).tolist()
    if len(same) == 1:
        found["total_vm"] = certain(word * same[0], f"the pages of all areas in {owners} mms")


def _asid(rows: NDArray[np.uint8], generation: int | None, found: dict[str, Finding[int]]) -> None:
    """context.id: 64 bits, of which those above the ASID's count generations.

    Where asid_generation is not known, all generations have to be one or two in a row.
    """
    behind = found.get("env_end")
    if behind is None:
        return
    longs = rows.view("<u8")
    columns = np.arange(longs.shape[1])
    for bits in (16, 8):  # asm/mmu.h: an ASID has 16 or 8 bits, and a generation starts above
        if generation is not None and generation % (1 << bits):
            continue
        count = longs >> np.uint64(bits)
        asid = longs & np.uint64((1 << bits) - 1)
        fits = (count > 0) & (count < 1 << 40) & (asid > 0)
        if generation is not None:
            fits &= count <= np.uint64(generation >> bits)
        spread = count.max(axis=0) - count.min(axis=0)
        known = fits.all(axis=0) & (8 * columns > behind.value)
        if generation is None:
            known &= spread <= 1
        different = [
            column
            for column in np.flatnonzero(known).tolist()
            if len(np.unique(longs[:, column])) == len(longs)
        ]
        if len(different) == 1 or (different and generation is not None):
            text = "different numbers of " + (
                "one or two generations" if generation is None else "at most asid_generation"
            )
            found["context.id"] = likely(8 * different[0], text)
            return
