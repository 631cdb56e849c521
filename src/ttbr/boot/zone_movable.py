"""Where ZONE_MOVABLE begins in each node: find_zone_movable_pfns_for_nodes().

Source: mm/mm_init.c (6.1: mm/page_alloc.c). All figures are page frame numbers and pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.memblock import Flags, Memblock
from ttbr.boot.params import Params, memparse
from ttbr.kernel.pageblock import max_page_order

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

PfnRange = tuple[int, int, int]
"""(first page frame, the one behind the last, node) of a region of memory."""

G4 = 1 << 32


@dataclass(frozen=True, slots=True)
class CoreSizes:
    """What ``kernelcore=`` and ``movablecore=`` ask for: pages, or per cent of all memory."""

    kernelcore: int = 0
    kernelcore_percent: int = 0
    movablecore: int = 0
    movablecore_percent: int = 0
    mirror: bool = False


def core_sizes(params: Params, page_size: int) -> CoreSizes:
    """Read the two parameters (cmdline_parse_kernelcore, cmdline_parse_movablecore)."""
    mirror = False
    found: dict[str, tuple[int, int]] = {"kernelcore": (0, 0), "movablecore": (0, 0)}
    for name, value in params.arguments:
        if name not in found or value is None:
            continue
        if name == "kernelcore" and "mirror" in value.split(","):
            mirror = True
            continue
        number, rest = memparse(value)
        if rest.startswith("%") and not value[: -len(rest)][-1:].isalpha():
            found[name] = found[name][0], number
        else:
            found[name] = number // page_size, 0
    core, movable = found["kernelcore"], found["movablecore"]
    return CoreSizes(core[0], core[1], movable[0], movable[1], mirror)


class MovableFinder:
    """The starts of ZONE_MOVABLE by node, as they are being found.

    Args:
        ranges: the memory, ascending.
        max_order_pages: pages of a block of the largest order, to which the starts are aligned.
        word_bits: width of the kernel's unsigned long.
    """

    def __init__(self, ranges: Sequence[PfnRange], max_order_pages: int, word_bits: int) -> None:
        self.starts: dict[int, int] = {}
        self._ranges = ranges
        self._align = max_order_pages
        self._mask = (1 << word_bits) - 1
        self._total = sum(end - start for start, end, _ in ranges)

    def from_regions(self, regions: Sequence[PfnRange]) -> None:
        """Begin where the lowest of the given regions of the node does."""
        for start, _, node in regions:
            known = self.starts.get(node, 0)
            self.starts[node] = min(start, known) if known else start
        self._align_starts()

    def from_sizes(self, sizes: CoreSizes, usable_start: int) -> None:
        """Spread so much memory for the kernel over the nodes; the rest is movable.

        `usable_start` is the lowest frame of the highest zone, which ZONE_MOVABLE is carved from.
        """
        required = self._required(sizes)
        if not required or required >= self._total:
            return
        nodes = sorted({node for _, _, node in self._ranges})
        usable_nodes = len(nodes)
        while True:
            required = self._spread(nodes, usable_nodes, required, usable_start)
            usable_nodes -= 1
            if not usable_nodes or required <= usable_nodes:
                break
        self._align_starts()

    def _required(self, sizes: CoreSizes) -> int:
        """Pages that the kernel is to have, 0 for all."""
        kernelcore, movablecore = sizes.kernelcore, sizes.movablecore
        # An unsigned long holds the product, whether it fits or not.
        if sizes.kernelcore_percent:
            kernelcore = (self._total * 100 * sizes.kernelcore_percent & self._mask) // 10000
        if sizes.movablecore_percent:
            movablecore = (self._total * 100 * sizes.movablecore_percent & self._mask) // 10000
        if movablecore:
            movablecore = min(self._total, self._round_up(movablecore))
            kernelcore = max(kernelcore, self._total - movablecore)
        return kernelcore

    def _spread(
        self, nodes: Sequence[int], usable_nodes: int, required: int, usable_start: int
    ) -> int:
        """One pass over the nodes with an equal share for each; what is still required."""
        share = required // usable_nodes
        for node in nodes:
            if required < share:
                share = required // usable_nodes
            remaining = share
            for first, end, owner in self._ranges:
                start = max(first, self.starts.get(node, 0))
                if owner != node or start >= end:
                    continue
                if start < usable_start:  # memory of the lower zones is the kernel's anyway
                    pages = min(end, usable_start) - start
                    remaining -= min(pages, remaining)
                    required -= min(pages, required)
                    if end <= usable_start:
                        self.starts[node] = end
                        continue
                    start = usable_start
                pages = min(end - start, remaining)
                self.starts[node] = start + pages
                required -= min(required, pages)
                remaining -= pages
                if not remaining:
                    break
        return required

    def _align_starts(self) -> None:
        for node, found in list(self.starts.items()):
            start = self._round_up(found)
            node_end = max((end for _, end, owner in self._ranges if owner == node), default=0)
            self.starts[node] = 0 if start >= node_end else start

    def _round_up(self, pages: int) -> int:
        return -(-pages // self._align) * self._align


def find_zone_movable_pfns(
    machine: Machine, ranges: Sequence[PfnRange], usable_start: int
) -> dict[int, int]:
    """find_zone_movable_pfns_for_nodes(): the first frame of ZONE_MOVABLE by node.

    Nodes without one are absent. `ranges` is the memory; `usable_start` the lowest frame of the
    highest zone.
    """
    memblock, kernel = machine.memblock, machine.kernel
    sizes = core_sizes(machine.params, kernel.page_size)
    finder = MovableFinder(ranges, 1 << max_page_order(kernel), 32 if kernel.arch == "arm" else 64)
    if memblock.movable_node:
        finder.from_regions(_with_flag(memblock, Flags.HOTPLUG, True))
    elif not sizes.mirror:
        finder.from_sizes(sizes, usable_start)
    elif not any(region.flags & Flags.MIRROR for region in memblock.memory.list):
        machine.log.say("The system has no mirror memory, ignore kernelcore=mirror.")
    elif machine.elfcorehdr is not None:
        machine.log.say("The system is under kdump, ignore kernelcore=mirror.")
    else:
        plain = _with_flag(memblock, Flags.MIRROR, False)
        limit = G4 // memblock.page_size
        if any(start < limit for start, _, _ in plain):
            machine.log.say("This configuration results in unmirrored kernel memory.")
        finder.from_regions([region for region in plain if region[0] >= limit])
    return {node: start for node, start in finder.starts.items() if start}


def _with_flag(memblock: Memblock, flag: Flags, value: bool) -> list[PfnRange]:
    page = memblock.page_size
    return [
        (-(-region.base // page), region.end // page, region.nid if memblock.numa else 0)
        for region in memblock.memory.list
        if bool(region.flags & flag) == value and -(-region.base // page) < region.end // page
    ]
