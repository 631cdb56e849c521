"""The modules that a kernel has loaded, and their symbols, found by what a module looks like.

``struct module`` (include/linux/module.h) begins with its state, its place in the list of modules
and its name; its pointer ``kallsyms`` points to the table behind itself (`core_kallsyms`).
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.recover.virtual_memory import VirtualMemory

NAME_ROOM = 64  # bytes of name and one pointer: MODULE_NAME_LEN
_NAME = re.compile(rb"([A-Za-z0-9_\-.]{1,63})\0")
_STATES = 4
_LONGEST = 4096  # bytes of a struct module that are looked at
_MOST_MODULES = 1 << 14
_MOST_SYMBOLS = 1 << 20
_NEAR = {4: 32 << 20, 8: 2 << 30}  # modules lie within reach of a branch or a PLT of the kernel
_MOST_SEARCHED = 256 << 20


@dataclass(frozen=True)
class Modules:
    """Loaded modules, the newest first as the kernel's list has them; columns of equal length.

    ``address``: of each struct module, uint64. ``symbols``: the tables of the same modules.
    """

    address: NDArray[np.uint64]
    names: tuple[str, ...]
    symbols: tuple["ModuleSymbols", ...]
    evidence: str


@dataclass(frozen=True)
class ModuleSymbols:
    """A module's symbols as /proc/kallsyms lists them."""

    address: NDArray[np.uint64]
    types: str
    names: tuple[str, ...]


def find_modules(kernel: VirtualMemory, text: int, head: int | None) -> Modules:
    """Modules by the list at ``head``, or without one by looking for them around the kernel.

    ``text``: where the kernel begins.
    """
    if head is not None:
        nodes = _chain(kernel, head)
        evidence = f"the kernel's list at {head:#x}"
    else:
        nodes = _searched(kernel, text)
        evidence = "structures near the kernel in one list, each with a name and symbols"
    found, names, tables = [], [], []
    for node in nodes:
        name = _name(kernel, node)
        if name is not None:
            found.append(node - kernel.word)
            names.append(name)
            tables.append(_symbols(kernel, node))
    return Modules(np.array(found, np.uint64), tuple(names), tuple(tables), evidence)


def _name(kernel: VirtualMemory, node: int) -> str | None:
    """The name of the module whose list node this is, if it is one."""
    data = kernel.try_read(node - kernel.word, 3 * kernel.word + NAME_ROOM)
    if data is None or int.from_bytes(data[:4], "little") >= _STATES:
        return None
    name = _NAME.match(data[3 * kernel.word :])
    return None if name is None else name[1].decode("ascii")


def _chain(kernel: VirtualMemory, head: int) -> list[int]:
    """The nodes of a list behind its head."""
    nodes: list[int] = []
    seen = {head}
    at = kernel.number(head)
    while at is not None and at not in seen and len(nodes) < _MOST_MODULES:
        nodes.append(at)
        seen.add(at)
        at = kernel.number(at)
    return nodes


def _searched(kernel: VirtualMemory, text: int) -> list[int]:
    """Nodes of modules around the kernel, in the order of their list."""
    first, last, _ = kernel.extents
    word = kernel.word
    low = max(0, text - _NEAR[word])
    top = text if word == 4 else text + _NEAR[word]
    rows = np.flatnonzero((first >= np.uint64(low)) & (last < np.uint64(min(top, (1 << 64) - 1))))
    nodes: list[int] = []
    searched = 0
    for row in rows.tolist():
        start, size = int(first[row]), int(last[row] - first[row]) + 1
        searched += size
        data = kernel.try_read(start, size) if searched <= _MOST_SEARCHED else None
        if data is None:
            continue
        words = np.frombuffer(data, f"<u{word}").astype(np.uint64)
        if len(words) < 4:
            continue
        following, before = words[1:-1], words[2:]
        plausible = (words[:-2] & np.uint64(0xFFFFFFFF)) < _STATES
        plausible &= (following >= np.uint64(low)) & (before >= np.uint64(low))
        plausible &= (following % np.uint64(word) == 0) & (before % np.uint64(word) == 0)
        at = np.flatnonzero(plausible)
        place = np.uint64(start) + (at.astype(np.uint64) + np.uint64(1)) * np.uint64(word)
        back, there = kernel.words(following[at] + np.uint64(word), 1, word)
        forth, here = kernel.words(before[at], 1, word)
        same = there & here & (back[:, 0] == place) & (forth[:, 0] == place)
        # Other structures have a list and a name, too; only a module has symbols
        nodes += [
            node
            for node in place[same].tolist()
            if _name(kernel, node) is not None and _symbols(kernel, node).names
        ]
    return _in_order(kernel, nodes)


def _in_order(kernel: VirtualMemory, nodes: list[int]) -> list[int]:
    """The longest list of them: what follows the head, the one node that is no module."""
    best: list[int] = []
    left = set(nodes)
    while left:
        start = next(iter(left))
        around = [start, *_chain(kernel, start)]
        heads = [k for k, node in enumerate(around) if _name(kernel, node) is None]
        if len(heads) == 1:
            around = [*around[heads[0] + 1 :], *around[: heads[0]]]
            if len(around) > len(best):
                best = around
        left -= set(around)
    return best


def _symbols(kernel: VirtualMemory, node: int) -> ModuleSymbols:
    """The symbols of the module at a list node; none where its table is not found."""
    word = kernel.word
    none = ModuleSymbols(np.zeros(0, np.uint64), "", ())
    data = kernel.try_read(node, _LONGEST) or kernel.try_read(node, _LONGEST // 4)
    if data is None:
        return none
    words = np.frombuffer(data, f"<u{word}").astype(np.uint64)
    here = np.uint64(node) + np.arange(1, 1 + len(words), dtype=np.uint64) * np.uint64(word)
    for at in (np.flatnonzero(words == here) + 1).tolist():
        if at + 4 > len(words):
            continue
        table, count, text, kinds = words[at : at + 4].tolist()
        count &= 0xFFFFFFFF
        if 0 < count <= _MOST_SYMBOLS:
            found = _table(kernel, table, count, text, kinds)
            if found is not None:
                return found
    return none


def _table(
    kernel: VirtualMemory, table: int, count: int, text: int, kinds: int
) -> ModuleSymbols | None:
    """An ELF symbol table (with st_name, st_info, st_value), its strings and letters."""
    size = 24 if kernel.word == 8 else 16
    rows, letters = kernel.try_read(table, size * count), kernel.try_read(kinds, count)
    if rows is None or letters is None or any(rows[:size]):
        return None
    record = np.frombuffer(rows, np.uint8).reshape(count, size)
    name_at = record[:, :4].copy().view("<u4")[:, 0].astype(np.int64)
    place = slice(8, 16) if kernel.word == 8 else slice(4, 8)
    address = record[:, place].copy().view(f"<u{kernel.word}")[:, 0].astype(np.uint64)
    if kernel.word == 4:
        # Bit 0 of a function's address says Thumb and is no part of it (asm/module.h).
        function = record[:, 12] & 15 == 2
        address = np.where(function, address & ~np.uint64(1), address)
    names, kept = [], []
    for row, offset in enumerate(name_at.tolist()):
        name = kernel.text(text + offset, 512)
        if name is None:
            return None
        if name:
            names.append(name)
            kept.append(row)
    types = bytes(letters[row] for row in kept).decode("latin-1")
    return ModuleSymbols(address[kept], types, tuple(names))
