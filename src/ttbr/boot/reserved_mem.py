"""/reserved-memory: drivers/of/fdt.c and drivers/of/of_reserved_mem.c up to paging_init.

The two generations of the order of things are told apart by ``reserved_mem_two_pass``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ttbr.boot.cma import early_fixup
from ttbr.boot.fdt import Node
from ttbr.boot.heapsort import heapsort
from ttbr.boot.machine import MAX_RESERVED_REGIONS, Machine, ReservedRegion
from ttbr.boot.reserved_mem_kinds import init_node, is_reusable_pool
from ttbr.kernel.pageblock import pageblock_bytes

M = 1 << 20
K = 1 << 10
SCAN = "early_init_fdt_scan_reserved_mem"


def early_init_fdt_scan_reserved_mem(machine: Machine) -> None:
    """``early_init_fdt_scan_reserved_mem``: everything that the device tree reserves."""
    if machine.kernel.release.has("reserved_mem_two_pass"):
        _reserve_elfcorehdr(machine)
        ReservedMemory(machine).scan_two_pass()
        _memreserve(machine)
    else:
        _memreserve(machine)
        nodes = ReservedMemory(machine)
        nodes.scan()
        _reserve_elfcorehdr(machine)
        nodes.init_all()


def _memreserve(machine: Machine) -> None:
    """The /memreserve/ entries of the tree's header, up to one without a size."""
    mask = machine.memblock.address_max
    for base, size in machine.tree.reserve_map:
        machine.memblock.reserve(base & mask, size & mask, SCAN)


def _reserve_elfcorehdr(machine: Machine) -> None:
    if machine.elfcorehdr is None or not machine.elfcorehdr[1]:
        return
    base, size = machine.elfcorehdr
    if machine.memblock.is_region_reserved(base, size):
        machine.log.say("OF: fdt: elfcorehdr is overlapped")
        return
    function = machine.kernel.caller("fdt_reserve_elfcorehdr", SCAN)
    machine.memblock.reserve(base, size, function)
    machine.log.say(f"OF: fdt: Reserving {size // K} KiB of memory at {base:#x} for elfcorehdr")


class ReservedMemory:
    """The children of /reserved-memory, and the array of those that Linux keeps."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.memblock = machine.memblock
        self.cells = machine.tree.root.address_cells, machine.tree.root.size_cells
        self.saved = machine.reserved_mem.saved
        self.two_pass = machine.kernel.release.has("reserved_mem_two_pass")

    # The order of steps, by generation.

    def scan(self) -> None:
        """``fdt_scan_reserved_mem`` before two passes: reserve, and save every node."""
        for node in self.children():
            if node.prop("reg") is not None:
                self._reserve_reg(node)
            elif node.prop("size") is not None:
                self._save(node, 0, 0)

    def init_all(self) -> None:
        """``fdt_init_reserved_mem``: place and initialise by ascending address."""
        self.check_for_overlap()
        for index, (node, base, size) in enumerate(self.saved):
            placed = (base, size) if size else self._alloc_size(node)
            if placed is not None:
                self.saved[index] = node, *placed
                self._init(node, *placed, "fdt_init_reserved_mem")

    def scan_two_pass(self) -> None:
        """``fdt_scan_reserved_mem``: all 'reg' nodes, then the others, in the tree's order."""
        dynamic: list[Node] = []
        count = 0
        for node in self.children():
            if node.prop("reg") is not None:
                count += self._reserve_reg(node)
            elif node.prop("size") is None:
                continue
            elif len(dynamic) == MAX_RESERVED_REGIONS:
                self.say(f"too many defined dynamic regions, skip '{node.name}'")
            else:
                dynamic.append(node)
        for node in dynamic:
            placed = self._alloc_size(node)
            if placed is None:
                continue
            count += 1
            if is_reusable_pool(node) and self._fixup_at_reserve:
                early_fixup(self.machine, *placed)
            self.save_and_init(node, *placed, "__reserved_mem_alloc_size", self._scanner)
        if self.well_formed:
            self.machine.reserved_mem.room = count

    # One node.

    @property
    def parent(self) -> Node | None:
        """The node /reserved-memory, or None."""
        return self.machine.tree.find("/reserved-memory")

    def children(self) -> list[Node]:
        """The available children, or none if the parent is not as Linux wants it."""
        if self.parent is None:
            return []
        if not self.well_formed:
            self.say("Reserved memory: unsupported node format, ignoring", self._file)
            return []
        return [node for node in self.parent.children if node.available]

    @property
    def well_formed(self) -> bool:
        """``__reserved_mem_check_root``: whether there is a parent with the root's cell counts."""
        parent = self.parent
        if parent is None:
            return False
        sizes, addresses = parent.prop("#size-cells"), parent.prop("#address-cells")
        return (
            addresses is not None
            and sizes is not None
            and (_cell(addresses.data), _cell(sizes.data)) == self.cells
            and parent.prop("ranges") is not None
        )

    def reg_ranges(self) -> Iterator[tuple[Node, int, int]]:
        """(node, base, bytes) of every static range, whatever becomes of it, in the tree's order.

        Without those of children that Linux skips, and nothing if the parent is not well formed.
        """
        if self.parent is None or not self.well_formed:
            return
        for node in self.parent.children:
            found = node.prop("reg")
            if found is None or not node.available or len(found.data) % (4 * sum(self.cells) or 1):
                continue
            for base, size in self.pairs(found.data):
                yield node, base, size

    def _reserve_reg(self, node: Node) -> bool:
        """``__reserved_mem_reserve_reg``: every range of a node; False if its ``reg`` is bad."""
        found = node.prop("reg")
        entry = 4 * sum(self.cells)
        if found is None:
            return False
        if found.data and (not entry or len(found.data) % entry):
            self.say_bad_reg(node)
            return False
        nomap = node.prop("no-map") is not None
        for index, (base, size) in enumerate(self.pairs(found.data)):
            if not size or not self._reserve(base, size, nomap):
                self.say(
                    f"Reserved memory: failed to reserve memory for node '{node.name}': "
                    f"base {self.machine.kernel.pa(base)}, size {size // M} MiB",
                    self._file,
                )
            elif is_reusable_pool(node) and self._fixup_at_reserve:
                early_fixup(self.machine, base, size)
            if index == 0 and not self.two_pass:
                self._save(node, base, size)
        return True

    def _reserve(self, base: int, size: int, nomap: bool) -> bool:
        """``early_init_dt_reserve_memory``: NOMAP, or reserved; False if it may not be NOMAP."""
        # Its last call is a jump where the compiler may make it one.
        chain = "early_init_dt_reserve_memory", "__reserved_mem_reserve_reg", self._scanner
        function = self.machine.kernel.caller(*chain, tail=1)
        if not nomap:
            return self.memblock.reserve(base, size, function)
        taken = self.memblock.is_region_reserved(base, size)
        if taken and self.memblock.memory.overlaps(base, size):
            return False
        return self.memblock.mark_nomap(base, size, function)

    def _alloc_size(self, node: Node) -> tuple[int, int] | None:
        """``__reserved_mem_alloc_size``: place a node that has only a size; None if it fails."""
        addresses, sizes = self.cells
        wanted = node.prop("size")
        if wanted is None:
            return None
        if len(wanted.data) != 4 * sizes:
            self.say(f"invalid size property in '{node.name}' node.")
            return None
        size = int.from_bytes(wanted.data, "big") & self.memblock.address_max
        align = 0
        asked = node.prop("alignment")
        if asked is not None:
            if len(asked.data) != 4 * addresses:
                self.say(f"invalid alignment property in '{node.name}' node.")
                return None
            align = int.from_bytes(asked.data, "big") & self.memblock.address_max
        nomap = node.prop("no-map") is not None
        if self.machine.kernel.config.enabled("CMA") and is_reusable_pool(node) and not nomap:
            align = max(align, pageblock_bytes(self.machine.kernel))
        ranges = node.prop("alloc-ranges")
        base = 0
        if ranges is None:
            base = self._alloc(size, align, 0, 0, nomap)
        elif len(ranges.data) % (4 * sum(self.cells)):
            self.say(f"invalid alloc-ranges property in '{node.name}', skipping node.")
            return None
        else:
            for start, length in self.pairs(ranges.data):
                end = (start + length) & self.memblock.address_max
                base = self._alloc_in_range(size, align, start, end, nomap)
                if base:
                    break
        if not base:
            self.say(f"failed to allocate memory for node '{node.name}': size {size // M} MiB")
            return None
        return base, size

    def _alloc_in_range(self, size: int, align: int, start: int, end: int, nomap: bool) -> int:
        """``__reserved_mem_alloc_in_range``: next to a saved region at one end of the range."""
        if not self.machine.kernel.release.has("alloc_ranges_near_reserved"):
            return self._alloc(size, align, start, end, nomap)
        regions = [(low, low + length) for _, low, length in self.saved if length]
        bottom_up = any(low <= start <= high for low, high in regions)
        top_down = any(low <= end <= high for low, high in regions)
        before = self.memblock.bottom_up
        if bottom_up != top_down:
            self.memblock.bottom_up = bottom_up
        base = self._alloc(size, align, start, end, nomap)
        self.memblock.bottom_up = before
        return base

    def _alloc(self, size: int, align: int, start: int, end: int, nomap: bool) -> int:
        """``early_init_dt_alloc_reserved_memory_arch``: the address, or 0."""
        kernel = self.machine.kernel
        placer = "__reserved_mem_alloc_in_range", "__reserved_mem_alloc_size", self._scanner
        function = kernel.caller("early_init_dt_alloc_reserved_memory_arch", *placer)
        align = align or self.memblock.cache_line
        base = self.memblock.phys_alloc_range(
            size, align, start, end or self.memblock.address_max, function
        )
        if base and nomap:
            self.memblock.mark_nomap(base, size, function)
        return base

    def _save(self, node: Node, base: int, size: int) -> bool:
        """``fdt_reserved_mem_save_node``: enter a region; False if the array is full."""
        if len(self.saved) == self.machine.reserved_mem.room:
            self.say("not enough space for all defined regions.")
            return False
        self.saved.append((node, base, size))
        return True

    def save_and_init(self, node: Node, base: int, size: int, *callers: str) -> None:
        """The same where that initialises the region, too; ``callers`` as for `Kernel.caller`."""
        if self._save(node, base, size):
            saving = "fdt_init_reserved_mem_node", "fdt_reserved_mem_save_node"
            self._init(node, base, size, self.machine.kernel.caller(*saving, *callers))

    def _init(self, node: Node, base: int, size: int, function: str) -> None:
        """Hand a region to the driver for its kind; what that refuses is given back."""
        nomap = node.prop("no-map") is not None
        if init_node(self.machine, node, base, size):
            region = ReservedRegion(node.path, base, size)
            self.machine.reserved_regions.append(region)
            if self.machine.kernel.release.has("reserved_mem_reported"):
                self._report(node, base, size, nomap=nomap)
            return
        self.say(f"node {node.name} compatible matching fail")
        if nomap:
            self.memblock.clear_nomap(base, size, function)
        else:
            self.memblock.phys_free(base, size, function)

    def _report(self, node: Node, base: int, size: int, *, nomap: bool) -> None:
        pa = self.machine.kernel.pa
        end = (base + size - 1) & self.memblock.address_max
        mapped = "nomap" if nomap else "map"
        reusable = "reusable" if node.prop("reusable") is not None else "non-reusable"
        self.say(f"{pa(base)}..{pa(end)} ({size // K} KiB) {mapped} {reusable} {node.name}")

    def check_for_overlap(self) -> None:
        """``__rmem_check_for_overlap``: sort the array, as the kernel's own sort does."""
        heapsort(self.saved, _address)
        pa = self.machine.kernel.pa
        for (node, base, size), (after, start, length) in pairwise(self.saved):
            if base + size > start:
                self.say(
                    f"OVERLAP DETECTED!\n{node.name} ({pa(base)}--{pa(base + size)}) overlaps with "
                    f"{after.name} ({pa(start)}--{pa(start + length)})"
                )

    @property
    def _fixup_at_reserve(self) -> bool:
        return self.machine.kernel.release.has("cma_fixup_at_reserve")

    @property
    def _file(self) -> str:
        """How the file announces itself that reserves the nodes with ``reg``."""
        return "OF: reserved mem" if self.two_pass else "OF: fdt"

    @property
    def _scanner(self) -> str:
        """The outermost function that a scan can be inlined into."""
        return "fdt_scan_reserved_mem" if self.two_pass else SCAN

    def pairs(self, data: bytes) -> list[tuple[int, int]]:
        """The (base, size) of whole entries, in the root's cells."""
        addresses, sizes = self.cells
        split, step, mask = 4 * addresses, 4 * (addresses + sizes), self.memblock.address_max
        return [
            (
                int.from_bytes(data[at : at + split], "big") & mask,
                int.from_bytes(data[at + split : at + step], "big") & mask,
            )
            for at in range(0, len(data) // step * step, step)
        ]

    def say_bad_reg(self, node: Node) -> None:
        """A ``reg`` that is no whole number of entries."""
        self.say(
            f"Reserved memory: invalid reg property in '{node.name}', skipping node.", self._file
        )

    def say(self, text: str, prefix: str = "OF: reserved mem") -> None:
        """A message about reserved memory."""
        self.machine.log.say(f"{prefix}: {text}")


def _address(saved: tuple[Node, int, int]) -> tuple[int, int]:
    """What ``__rmem_cmp`` compares: base, then size."""
    return saved[1:]


def _cell(data: bytes) -> int:
    return int.from_bytes(data[:4], "big")
