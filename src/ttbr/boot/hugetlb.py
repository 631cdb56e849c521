"""``hugepages=`` of gigantic pages, which only memblock can give (mm/hugetlb.c).

The parameters are read in order: ``hugepages=`` speaks of the size named before it. Sizes that the
page allocator has blocks for get their pages from it, when the kernel is up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ttbr.boot.machine import HugePages
from ttbr.boot.params import memparse
from ttbr.boot.regions import Flags
from ttbr.kernel.pageblock import PAGE_SHIFTS, max_page_order

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

FUNCTION = "__alloc_bootmem_huge_page"
# log2 of the entries that the contiguous bit joins at the last two levels, by log2 of the page
# size (arch/arm64/include/asm/pgtable-hwdef.h: CONT_PTE_SHIFT, CONT_PMD_SHIFT).
CONT_PTE = {12: 4, 14: 7, 16: 5}
CONT_PMD = {12: 4, 14: 5, 16: 5}
PUD_SIZE_4K = 1 << 30


def huge_page_sizes(machine: Machine) -> set[int]:
    """The sizes in bytes that a kernel accepts (arch_hugetlb_valid_size)."""
    kernel = machine.kernel
    if not kernel.config.enabled("HUGETLB_PAGE"):
        return set()
    if kernel.arch == "arm":
        return {2 << 20} if kernel.config.enabled("ARM_LPAE") else set()
    shift = PAGE_SHIFTS[kernel.page_size]
    pmd = 2 * shift - 3
    sizes = {1 << shift + CONT_PTE[shift], 1 << pmd, 1 << pmd + CONT_PMD[shift]}
    return sizes | ({PUD_SIZE_4K} if kernel.page_size == 4096 else set())


@dataclass
class _Parser:
    """The static variables between the parameters' handlers."""

    machine: Machine
    valid_sizes: set[int]
    sizes: dict[int, HugePages] = field(default_factory=dict)
    parsed: HugePages | None = None
    valid: bool = True
    default: HugePages | None = None
    pending: int = 0
    last: object = None

    def say(self, text: str) -> None:
        self.machine.log.say(f"HugeTLB: {text}")

    def add(self, size: int) -> None:
        """hugetlb_add_hstate()"""
        if size not in self.sizes:
            self.parsed = self.sizes[size] = HugePages(size)

    def hugepagesz(self, text: str) -> None:
        self.valid = False
        size, _ = memparse(text)
        if size not in self.valid_sizes:
            self.say(f"unsupported hugepagesz={text}")
            return
        known = self.sizes.get(size)
        if known is not None and (known is not self.default or known.pages):
            self.say(f"hugepagesz={text} specified twice, ignoring")
            return
        self.add(size)
        self.parsed = self.sizes[size]
        self.valid = True

    def default_hugepagesz(self, text: str) -> None:
        self.valid = False
        if self.default is not None:
            self.say(f"default_hugepagesz previously specified, ignoring {text}")
            return
        size, _ = memparse(text)
        if size not in self.valid_sizes:
            self.say(f"unsupported default_hugepagesz={text}")
            return
        self.add(size)
        self.valid = True
        self.default = self.sizes[size]
        if self.pending:
            self.default.pages, self.pending = self.pending, 0
            self.allocate(self.default)

    def hugepages(self, text: str) -> None:
        if not self.valid:
            self.say(f"hugepages={text} does not follow a valid hugepagesz, ignoring")
            self.valid = True
            return
        target = self.parsed if self.parsed is not None else self
        if target is self.last:
            self.say(
                "hugepages= specified twice without interleaving hugepagesz=, "
                f"ignoring hugepages={text}"
            )
            return
        by_node: dict[int, int] = {}
        for part in text.split(","):
            node, colon, count = part.rpartition(":")
            if not count.isdecimal() or (colon and not node.isdecimal()):
                self.say(f"Invalid hugepages parameter {part}")
                return
            if colon:
                by_node[int(node)] = int(count)
            elif part != text:
                self.say(f"Invalid hugepages parameter {part}")
                return
        pages = sum(by_node.values()) if by_node else int(text)
        if self.parsed is None:
            self.pending = pages
        else:
            self.parsed.pages, self.parsed.by_node = pages, by_node
            self.allocate(self.parsed)
        self.last = target

    def allocate(self, size: HugePages) -> None:
        """hugetlb_hstate_alloc_pages() of a gigantic size; nothing for others."""
        kernel = self.machine.kernel
        if size.bytes // kernel.page_size < 2 << max_page_order(kernel):
            return
        if any(area.name.startswith("hugetlb") for area in self.machine.cma.areas):
            self.say("hugetlb_cma is enabled, skip boot time allocation")
            return
        for node, pages in sorted(size.by_node.items()):
            got = sum(1 for _ in range(pages) if self.take(size, node))
            if got < pages:
                self.say(
                    f"allocating {pages} of page size {_words(size.bytes)} failed node{node}.  "
                    f"Only allocated {got} hugepages."
                )
        if size.by_node or not size.pages:
            return
        nodes = [node.number for node in self.machine.nodes if node.present]
        got = 0
        while got < size.pages and self.take(size, nodes[size.turn % len(nodes)]):
            size.turn += 1
            got += 1
        if got < size.pages:
            self.say(
                f"allocating {size.pages} of page size {_words(size.bytes)} failed.  "
                f"Only allocated {got} hugepages."
            )

    def take(self, size: HugePages, node: int) -> bool:
        """__alloc_bootmem_huge_page(): a node is only preferred."""
        memblock, page = self.machine.memblock, self.machine.kernel.page_size
        place = memblock.alloc_try_nid_raw(size.bytes, size.bytes, FUNCTION, nid=node)
        if place and self.machine.kernel.release.has("hugetlb_tail_pages_later"):
            rest = size.bytes - page
            memblock.reserved.set_flag(place + page, rest, Flags.RSRV_NOINIT, True)
        if place:
            size.places.append(place)
        return bool(place)

    def default_size(self) -> None:
        """What hugetlb_init() does later with ``hugepages=`` that no size was named for."""
        if self.pending and self.default is None:
            size = default_huge_page_size(self.machine)
            found = self.sizes.setdefault(size, HugePages(size))
            found.pages = self.pending


def default_huge_page_size(machine: Machine) -> int:
    """HPAGE_SIZE: bytes that a table of the last level maps."""
    kernel = machine.kernel
    return 2 << 20 if kernel.arch == "arm" else 1 << 2 * PAGE_SHIFTS[kernel.page_size] - 3


def hugetlb_parameters(machine: Machine) -> None:
    """What ``hugepagesz=``, ``default_hugepagesz=`` and ``hugepages=`` do, in their order."""
    parser = _Parser(machine, huge_page_sizes(machine))
    if not parser.valid_sizes:
        return
    handlers = {
        "hugepagesz": parser.hugepagesz,
        "default_hugepagesz": parser.default_hugepagesz,
        "hugepages": parser.hugepages,
    }
    for name, value in machine.params.arguments:
        if name in handlers and value:
            handlers[name](value)
    parser.default_size()
    machine.hugepages = parser.sizes


def _words(size: int) -> str:
    """A power of two as string_get_size() writes it: three digits and a unit."""
    power = (size.bit_length() - 1) // 10
    number = size >> 10 * power
    digits = 3 - len(str(number))
    unit = ("B", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{number}.{'0' * digits} {unit}" if digits else f"{number} {unit}"
