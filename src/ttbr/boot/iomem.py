"""/proc/iomem: what the kernel enters there about RAM, itself and what it has reserved.

Source: arch/arm64/kernel/setup.c: request_standard_resources, reserve_memblock_reserved_regions;
arch/arm/kernel/setup.c: request_standard_resources; kernel/resource.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ttbr.boot.regions import Flags

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

RAM, RESERVED = "System RAM", "reserved"
CODE, DATA, CRASH = "Kernel code", "Kernel data", "Crash kernel"


@dataclass(slots=True)
class Resource:
    """A line: ``start`` and ``end`` (inclusive) in bytes, and the lines nested below it."""

    start: int
    end: int
    name: str
    children: list[Resource] = field(default_factory=list)

    def holds(self, other: Resource) -> bool:
        """Whether another one lies in this one's range."""
        return self.start <= other.start and other.end <= self.end


def iomem(machine: Machine) -> list[Resource]:
    """The resources of RAM, ascending, as they are when the kernel is up.

    What memblock reserves after the hand-over, and areas of drivers, are not among them.
    """
    found = _arm64(machine) if machine.kernel.arch == "arm64" else _arm(machine)
    return sorted(found, key=lambda resource: resource.start)


def _arm64(machine: Machine) -> list[Resource]:
    """Memory in whole pages, NOMAP as reserved; in it the image and all that memblock reserved."""
    page = machine.kernel.page_size
    banks = []
    for region in machine.memblock.memory.list:
        if region.flags & Flags.NOMAP:
            start, end = region.base // page * page, -(-region.end // page) * page
        else:
            start, end = -(-region.base // page) * page, region.end // page * page
        if start < end:
            name = RESERVED if region.flags & Flags.NOMAP else RAM
            banks.append(Resource(start, end - 1, name))
    head = "_text" if machine.kernel.release.has("arm64_text_head_mapped") else "_stext"
    inside = [*_image(machine, head), *_crash_areas(machine)]
    top = [entry for entry in inside if not _enter(banks, entry)]
    for bank in banks:
        for region in machine.memblock.reserved.list:
            start = max(region.base // page * page, bank.start)
            end = min(-(-region.end // page) * page - 1, bank.end)
            bank.children += [Resource(*piece, RESERVED) for piece in _gaps(bank, start, end)]
            bank.children.sort(key=lambda child: child.start)
    return banks + top


def _arm(machine: Machine) -> list[Resource]:
    """Memory to the byte without NOMAP, in it the image; what is reserved is not entered."""
    banks = [Resource(start, end - 1, RAM) for start, end in machine.memblock.for_each_mem_range()]
    for entry in _image(machine, "_text"):
        _enter(banks, entry)  # one that no bank holds is left out
    return banks + [crash for crash in _crash_areas(machine) if not _enter(banks, crash)]


def _image(machine: Machine, head: str) -> list[Resource]:
    """The image up to its init part, and from its data on."""
    symbols = machine.kernel.symbols
    bounds = ((CODE, head, "__init_begin"), (DATA, "_sdata", "_end"))
    return [
        Resource(machine.physical(first), machine.physical(behind) - 1, name)
        for name, first, behind in bounds
        if first in symbols and behind in symbols
    ]


def _crash_areas(machine: Machine) -> list[Resource]:
    return [Resource(base, base + size - 1, CRASH) for base, size in machine.crash_areas]


def _enter(banks: Iterable[Resource], entry: Resource) -> bool:
    """Nest a resource in the bank that holds it, if there is one."""
    for bank in banks:
        if bank.holds(entry):
            bank.children.append(entry)
            bank.children.sort(key=lambda child: child.start)
            return True
    return False


def _gaps(bank: Resource, start: int, end: int) -> Iterator[tuple[int, int]]:
    """What of a range is not taken by a child yet (reserve_region_with_split)."""
    for child in bank.children:
        if child.end < start or child.start > end:
            continue
        if child.start > start:
            yield start, child.start - 1
        start = child.end + 1
    if start <= end:
        yield start, end
