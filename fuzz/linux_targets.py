"""Targets for what reads Linux's own structures: symbols, types, trees, lists and layouts."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import make_regime
from ttbr.errors import TtbrError
from ttbr.kernel.btf import Btf
from ttbr.kernel.release import Release
from ttbr.kernel.types import Member, Types
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.address_space import AddressSpace
from ttbr.recover.kallsyms import find_tables
from ttbr.recover.kernel_image import find_btf, find_config
from ttbr.recover.layouts import Layouts
from ttbr.recover.maple_tree import read_trees
from ttbr.recover.memblock import find_memblock
from ttbr.recover.modules import find_modules
from ttbr.recover.recovered_layouts import RecoveredLayouts
from ttbr.recover.task_layout import names_of_idle
from ttbr.recover.tasks import read_tasks
from ttbr.recover.virtual_memory import VirtualMemory
from ttbr.recover.vmalloc import find_vmalloc
from ttbr.recover.vmas import read_vmas
from ttbr.recover.vmcoreinfo import VmcoreInfo
from ttbr.recover.vmstat import find_counter_names
from ttbr.recover.zones import find_nodes, find_zone_layout, read_zones

PA = 0x40000000
VA = {4: 0xC0000000, 8: 0xFFFF000000000000}
PAGE = 4096
OLD = Release.parse("5.15.100")
FIRST = 64  # bytes at the start of memory: what the roots and heads of the rest are taken from
USER = {4: make_regime("short", va_bits=32), 8: make_regime("arm64-4k", va_bits=39)}
STRUCTS = ("task_struct", "mm_struct", "list_head", "file", "zone")
MEMBERS = ("mm", "comm", "context.id", "f_path.dentry", "tasks", "vm_stat", "next")


class Linear(VirtualMemory):
    """The input as memory, which the kernel sees in one piece."""

    def __init__(self, word: int, data: bytes) -> None:
        self.data = data.ljust(-(-max(1, len(data)) // PAGE) * PAGE, b"\0")
        pieces = [Piece(PA, len(self.data), np.frombuffer(self.data, np.uint8))]
        space = SimpleNamespace(memory=BankedMemory(pieces))
        super().__init__(cast("AddressSpace", space), word)

    @property
    def extents(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
        """All of it, as one piece."""
        start = VA[self.word]
        columns = [start], [start + len(self.data) - 1], [PA]
        first, last, pa = (np.array(column, np.uint64) for column in columns)
        return first, last, pa

    def heads(self) -> NDArray[np.uint64]:
        """The words at the start."""
        count = min(FIRST, len(self.data)) // self.word
        return np.frombuffer(self.data, f"<u{self.word}", count).astype(np.uint64)


def kallsyms(data: bytes) -> None:
    """Symbol tables in memory, of both sizes of pointers."""
    for word in (4, 8):
        for table in find_tables(Linear(word, data).space.memory, word):
            assert len(table.names) == len(table.types) == len(table.address)


def btf(data: bytes) -> None:
    """Types: found in an image, and as a file of their own."""
    for word in (4, 8):
        find_btf(data, word, PA)
        try:
            types = Btf(data, word)
        except TtbrError:
            continue
        for struct in STRUCTS:
            types.size(struct)
            types.enumerators(struct)
            for member in MEMBERS:
                types.member(struct, member)
        types.enumerator("PG_locked")


def built_in_config(data: bytes) -> None:
    """A configuration in a kernel's image."""
    find_config(data)
    find_config(b"IKCFG_ST" + data)


def maple_tree(data: bytes) -> None:
    """Trees whose roots are the first words."""
    for word in (4, 8):
        kernel = Linear(word, data)
        found = read_trees(kernel, kernel.heads())
        assert (found.first <= found.last).all()


class FewTypes:
    """Every member is one of a few words, and every struct has 256 bytes: if the input has none."""

    source = "few types"

    def member(self, struct: str, path: str) -> Member | None:
        """A member's place, the same for the same name."""
        if struct == "mm_struct" and path == "mm_mt":
            return None  # areas are in a list
        return Member(sum((struct + path).encode()) % 31 * 8, 8)

    def size(self, struct: str) -> int | None:
        """Bytes."""
        return 256

    def enumerator(self, name: str) -> int | None:
        """None is known."""

    def enumerators(self, enum: str) -> dict[str, int]:
        """None is known."""
        return {}


def lists(data: bytes) -> None:
    """Tasks, areas, files, zones and vmalloc areas by types, wherever lists and pointers lead."""
    for word in (4, 8):
        kernel = Linear(word, data)
        types = find_btf(data, word, PA) or cast("Types", FewTypes())
        layouts = Layouts(types, VmcoreInfo(), lambda struct: {})
        start = VA[word]
        first = names_of_idle(data, start)
        comm = layouts.offset("task_struct", "comm") or 0
        tasks = read_tasks(kernel, layouts, first[0] - comm if first else start, 0xFFFF)
        mms = np.unique(np.concatenate([tasks.mm, kernel.heads()]))
        for release in (OLD, None):
            read_vmas(kernel, layouts, mms[mms != 0], PAGE, release).permissions()
        read_zones(kernel, layouts, [int(at) for at in kernel.heads()], 8)
        for head, nodes in ((start, None), (None, start)):
            find_vmalloc(kernel, layouts, head, nodes, word, PAGE)


def layouts(data: bytes) -> None:
    """Layouts that are recovered from the data, for kernels that say nothing of themselves."""
    for word in (4, 8):
        kernel, start = Linear(word, data), VA[word]
        names = names_of_idle(data, start)
        found = RecoveredLayouts(kernel, USER[word], PAGE, names, None, None)
        for struct in ("task_struct", "mm_struct", "vm_area_struct", "file", "inode"):
            found.of(struct)
        find_counter_names(kernel, data, start, None)
        find_memblock(kernel, data, start, None)
        find_modules(kernel, start, None)
        find_modules(kernel, start, start)
        offsets = {"pglist_data.node_zones": 0, "pglist_data.node_id": 64, "zone.spanned_pages": 32}
        for table in (start, None):
            for node in find_nodes(kernel, data, table, offsets, None, 128, 32):
                find_zone_layout(kernel, offsets, node, 128)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "kallsyms": kallsyms,
    "btf": btf,
    "config": built_in_config,
    "maple-tree": maple_tree,
    "lists": lists,
    "layouts": layouts,
}
