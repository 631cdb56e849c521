"""What `audit` looks at: the address spaces of an image side by side, and what is RAM in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ttbr.arch.attributes import Controls
from ttbr.errors import TtbrError
from ttbr.findings.finding import Bytes, Found
from ttbr.findings.leaves import Leaves, Space
from ttbr.format import about, counted
from ttbr.memory.spans import ALL_ADDRESSES, NOWHERE, Spans
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.mmu.walk import LEAST_ENTRIES, Budget
from ttbr.recover.identify import identify, noted
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.recover.table_pages import Progress

KERNEL_OWNER = "kernel"
MOST_ROOTS = 1 << 12
MOST_RUNS = 1 << 22
"""Runs of one space. The largest machines have some ten thousand; noise has any number."""
MOST_RANGES = 1 << 12
"""Ranges that a finding names; more are counted."""
_MOST_BANKS = 64
_MODULES = 16 << 20
_DOMAINS, _CLIENT = 16, 0b01
_NOMAP = 4  # include/linux/memblock.h: MEMBLOCK_NOMAP


@dataclass(frozen=True)
class Ram:
    """What is RAM: ``all`` of it, ``unmapped`` what the kernel is to leave out of its linear map
    (no-map), and who says so.
    """

    all: Spans
    unmapped: Spans
    source: str

    @property
    def mapped(self) -> Spans:
        """RAM that is the kernel's to map."""
        return self.all.without(self.unmapped)


class Audited:
    """An image whose kernel tables can be walked.

    ``roots`` are those that findings are wanted about, as `Image.address_space` takes them; none
    are the kernel's and those of all processes. The kernel's is looked at in any case, because it
    says what is where. ``unknown`` collects what could not be decided, and why.
    """

    def __init__(
        self,
        image: Image,
        linux: Linux | None = None,
        roots: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self.image = image
        self.linux = linux or Linux(image)
        self.unknown: list[str] = []
        self._progress = progress or (lambda step: None)
        self._room = 2 * Budget.of(image.memory).entries
        self._roots = tuple(dict.fromkeys(roots))

    def decide_not(self, what: str) -> None:
        """Note that something is not decided."""
        if what not in self.unknown:
            self.unknown.append(what)

    @cached_property
    def spaces(self) -> list[Space]:
        """The kernel's space and those of the processes, each root once."""
        kernel = self._space(KERNEL_OWNER, self.image.address_space("kernel"))
        spaces = [kernel]
        wanted = self._named if self._roots else self._processes()
        for number, (owner, root) in enumerate(wanted):
            space = root if isinstance(root, AddressSpace) else self._user(root)
            if space.root == kernel.space.root:
                continue
            if number == MOST_ROOTS or self._room <= 0:
                left = len(wanted) - number
                self.decide_not(f"{counted(left, 'root')} of processes not looked at: too many")
                break
            self._progress(f"process {number + 1} of {len(wanted)}")
            spaces.append(self._space(owner, space))
        return spaces

    @property
    def _named(self) -> list[tuple[str, int | AddressSpace]]:
        spaces = [(name, self.image.address_space(name)) for name in self._roots]
        owners: dict[int, str] = {}
        if any(name.startswith("user") for name in self._roots):
            owners = {root: owner for owner, root in self._tasks()}
        return [(owners.get(space.root, name), space) for name, space in spaces if name != "kernel"]

    @property
    def reported(self) -> tuple[bool, bool]:
        """Whether findings are wanted about the kernel's space, and about others."""
        return not self._roots or "kernel" in self._roots, True

    def _tasks(self) -> list[tuple[str, int]]:
        """Root tables of processes with the name and number of the first task that has each."""
        try:
            tasks = self.linux.tasks
        except TtbrError:
            return []
        roots, rows = np.unique(tasks.pgd, return_index=True)
        return [
            (f"{tasks.comm[row]} ({int(tasks.pid[row])})", root)
            for root, row in zip(roots.tolist(), rows.tolist(), strict=True)
            if root
        ]

    def _processes(self) -> list[tuple[str, int]]:
        known = self._tasks()
        if known:
            return known
        self._progress("looking for roots of processes")
        found = identify(self.image.memory, noted(self.image), user_roots=True)
        roots = () if found is None or found.user_roots is None else found.user_roots.value
        if not roots:
            self.decide_not("processes: no task and no root table of one is found")
        return [(f"root {root:#x}", root) for root in roots]

    def _user(self, root: int) -> AddressSpace:
        return self.image.address_space(f"user:{root:#x}")

    def _space(self, owner: str, space: AddressSpace) -> Space:
        regime = replace(space.regime, controls=_running(space.regime.controls))
        space = AddressSpace(regime, space.root, space.memory)
        mappings = space.mappings(budget=Budget(max(self._room, LEAST_ENTRIES)))
        self._room -= int(mappings.tables.entries.sum())
        for text in regime.unknown:
            self.decide_not(text)
        if len(mappings.runs) > MOST_RUNS:
            self.decide_not(f"{owner}: only the first {MOST_RUNS} runs of descriptors are compared")
            mappings = replace(mappings, runs=mappings.runs.chosen(slice(0, MOST_RUNS)))
        if mappings.truncated is not None:
            self.decide_not(f"{owner}: {mappings.truncated}")
        return Space(owner, space, mappings)

    @cached_property
    def leaves(self) -> Leaves:
        """What all the spaces map."""
        return Leaves.of(self.spaces)

    @cached_property
    def kernel(self) -> Leaves:
        """What the kernel's own space maps."""
        return self.leaves.chosen(self.leaves.is_kernel)

    @cached_property
    def users(self) -> Leaves:
        """What EL0 can reach of the spaces of processes."""
        rows = self.leaves.chosen(~self.leaves.is_kernel)
        return rows.chosen(rows.says(lambda a: a.el0_read or a.el0_write or a.el0_execute))

    @cached_property
    def ram(self) -> Ram | None:
        """What is RAM; None where that is not known."""
        try:
            memblock = KernelMemory(self.linux).memblock
        except TtbrError:
            memblock = None
        if memblock is not None:
            own = memblock.list == 0
            hidden = own & (memblock.flags & np.uint64(_NOMAP) != 0)
            every, unmapped = (
                Spans.sized(memblock.base[rows], memblock.size[rows]) for rows in (own, hidden)
            )
            return Ram(every, unmapped, f"memblock at {memblock.address:#x}")
        # A filtered dump leaves out pages that are RAM nevertheless
        banks = self.image.memory.banks
        if not banks or len(banks) > _MOST_BANKS:
            self.decide_not("what is RAM: there is no memblock, and the image has many holes")
            return None
        base = np.array([bank.base for bank in banks], np.uint64)
        size = np.array([bank.size for bank in banks], np.uint64)
        return Ram(Spans.sized(base, size), NOWHERE, "the image's own banks")

    @cached_property
    def image_leaves(self) -> Leaves:
        """The mapping of the kernel's image, [_stext, _end), at its own addresses.

        What lies before _stext is free after the boot. No rows where the image is not found.
        """
        try:
            known = self.linux.image_range
            first = self.linux.symbol("_stext")
        except TtbrError:
            known = first = None
        if known is None:
            self.decide_not("the kernel's text and data: its image is not found")
            return self.kernel.between(NOWHERE)
        page = self.linux.page_size - 1
        start, last = max(known[0], first or 0) & ~page, known[1] - 1 | page
        rows = self.kernel.between(Spans(np.array([start], np.uint64), np.array([last], np.uint64)))
        # The end can be a guess, but the image is one piece of physical memory.
        return rows.chosen(rows.va - rows.pa == (rows.va - rows.pa)[:1])

    @property
    def kernel_image(self) -> Spans:
        """The virtual addresses of the kernel's image."""
        return Spans.of(self.image_leaves.va, self.image_leaves.last)

    @cached_property
    def image_frames(self) -> Spans:
        """The frames of the image that the kernel keeps; only those that it does not write where
        it is not known which those are.
        """
        first, init, init_end, end = map(
            self.linux.symbol, ("_stext", "__init_begin", "__init_end", "_end")
        )
        if self.image.arch == "arm64":  # which unmaps what it frees
            return self.image_leaves.frames
        if first is None or init is None or init_end is None or end is None or init >= init_end:
            self.decide_not("who maps the kernel's data: no symbols say where it begins and ends")
            return self.read_only_image
        freed = Spans(np.array([init], np.uint64), np.array([init_end - 1], np.uint64))
        return self.image_leaves.between(freed.inverted()).frames

    @property
    def kernel_addresses(self) -> Spans:
        """What is the kernel's of the addresses that a process's own table translates.

        On ARM that is all from the modules on, which lie below PAGE_OFFSET (asm/memory.h:
        MODULES_VADDR), or where that is not known from the linear map on; on arm64 nothing.
        """
        if self.image.arch == "arm64" or self.linear_distance is None:
            return NOWHERE
        first = self.image.facts.page_offset
        if first is None:
            rows = self.kernel
            linear = rows.va - rows.pa == np.uint64(self.linear_distance)
            first = int(rows.va[linear].min()) + _MODULES
        start = np.array([max(0, first - _MODULES)], np.uint64)
        return Spans(start, np.array([ALL_ADDRESSES], np.uint64))

    @cached_property
    def linear_distance(self) -> int | None:
        """VA − PA of the linear map: the distance at which the kernel maps most Normal memory."""
        rows = self.kernel
        normal = rows.chosen(rows.says(lambda a: a.memory.startswith("Normal")))
        if not len(normal):
            return None
        distances, which = np.unique(normal.va - normal.pa, return_inverse=True)
        return int(distances[np.argmax(np.bincount(which, normal.bytes.astype(np.float64)))])

    @cached_property
    def read_only_image(self) -> Spans:
        """The frames of the kernel's image that its own mapping only reads: text and rodata."""
        rows = self.image_leaves
        return rows.chosen(~rows.says(lambda a: a.el1_write)).frames

    def faults(self, rows: Leaves, message: str, fix: str) -> Iterator[Found]:
        """A fault for what ``rows`` has of the kernel's space, and one for what of processes'.

        ``message`` goes on after the number of bytes and whose they are. The same range of one
        space is one however often ``rows`` has it.
        """
        if rows.incomplete:
            self.decide_not("all ranges that map frames in common: there are too many to list")
        for of_kernel, wanted in zip((True, False), self.reported, strict=True):
            part = rows.chosen(rows.is_kernel == of_kernel)
            if not len(part) or not wanted:
                continue
            mapped, more = part.mapped(self.spaces, MOST_RANGES)
            total, owners = int(part.bytes.sum()), len(np.unique(part.space))
            who = "the kernel's space"
            if not of_kernel:
                who = mapped[0].owner if owners == 1 else f"{owners} processes' spaces"
            ranges = len(mapped) + more
            yield Found(
                f"{about(total)} of {who}, {counted(ranges, 'range')}: {message}",
                fix,
                numbers={
                    "bytes": Bytes(total),
                    "ranges": ranges,
                    "descriptors": int(part.joined()[1].sum()),
                    **({} if of_kernel else {"processes": owners}),
                },
                mapped=mapped,
                more=more,
            )


def _running(controls: Controls) -> Controls:
    """The controls as they are while a process runs.

    With CONFIG_CPU_SW_DOMAIN_PAN the kernel takes access to its domain away from user memory while
    it runs itself (arch/arm/include/asm/domain.h).
    """
    if controls.dacr is None:
        return controls
    dacr = controls.dacr
    for domain in range(_DOMAINS):
        if not dacr >> 2 * domain & 3:
            dacr |= _CLIENT << 2 * domain
    return replace(controls, dacr=dacr)
