"""exec: the address space of a program that was linked statically.

Source: fs/exec.c (setup_arg_pages), fs/binfmt_elf.c (elf_load, padzero, set_brk),
arch/arm64/kernel/vdso.c and arch/arm/kernel/process.c (arch_setup_additional_pages).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.errors import InputError
from ttbr.kernel.vm_flags import MAY, Map, Prot, Vm
from ttbr.run.mm.files import File
from ttbr.run.mm.memory import handle_mm_fault
from ttbr.run.mm.mm import Mm
from ttbr.run.mm.mmap import do_mmap, get_unmapped_area
from ttbr.run.mm.unmap import exit_mm
from ttbr.run.mm.user_layout import (
    STACK_EXPAND,
    STACK_RLIMIT,
    Placement,
    Randomness,
    heap_start,
    mmap_base,
    sigpage_hint,
    stack_end,
)
from ttbr.run.mm.vma import Vma

if TYPE_CHECKING:
    from ttbr.run.mm.user_space import UserSpace

STACK_USED = 1 << 10
"""Bytes of arguments, environment and auxiliary vector that a program is started with: taken for
granted, and within the top page of its stack."""
DATA = Vm.READ | Vm.WRITE | MAY | Vm.ACCOUNT


@dataclass(frozen=True, slots=True)
class Segment:
    """A PT_LOAD segment: ``file_size`` bytes from ``offset`` of the file at ``va``.

    ``size``: bytes in memory; what the file does not have is zeros (bss).
    """

    va: int
    offset: int
    file_size: int
    size: int
    prot: Prot


@dataclass(frozen=True, slots=True)
class Program:
    """A program: the file and its segments, ascending."""

    file: File
    segments: tuple[Segment, ...]

    @property
    def name(self) -> str:
        """What the process is called then (comm)."""
        return self.file.name.rpartition("/")[2][:15]


def small_program(user: UserSpace, name: str) -> Program:
    """A program of 16 pages of code and one of data, with one of bss behind, all in memory."""
    page, base = user.page_size, user.layout.program
    text = 16 * page
    file = File(user, name, text + page)
    file.populate()
    code = Segment(base, 0, text, text, Prot.READ | Prot.EXEC)
    # As linkers do it, data are a page further up than they are in the file
    data = Segment(base + text + page, text, page, 2 * page, Prot.READ | Prot.WRITE)
    return Program(file, (code, data))


def exec_mm(user: UserSpace, program: Program, placement: Placement, rng: Randomness) -> Mm:
    """``begin_new_exec`` and ``load_elf_binary``: the address space that a program starts with.

    `InputError` for segments that do not go together; `OutOfMemory`, and nothing taken.
    """
    mm = Mm(user)
    try:
        _set_up(mm, program, placement, rng)
    except BaseException:
        exit_mm(mm)
        raise
    return mm


def _set_up(mm: Mm, program: Program, placement: Placement, rng: Randomness) -> None:
    layout = mm.user.layout
    top = stack_end(layout, rng) if placement.stack_end is None else placement.stack_end
    base = mmap_base(layout, rng) if placement.mmap_base is None else placement.mmap_base
    mm.mmap_base = base
    mm.stack_limit = STACK_RLIMIT
    # What randomises the stack's last bits is below a page
    mm.start_stack = top - STACK_USED
    size = layout.page_align(layout.page_size + STACK_EXPAND)
    flags = DATA | Vm.GROWSDOWN
    stack = Vma(top - size, top, flags, (top - size) // layout.page_size, 0)
    mm.set_prot(stack)
    mm.vmas.insert(stack)
    handle_mm_fault(mm, stack, mm.start_stack, write=True)
    end = 0
    for segment in program.segments:
        _load(mm, program.file, segment)
        end = max(end, segment.va + segment.size)
    start = heap_start(layout, rng, end) if placement.brk is None else placement.brk
    mm.start_brk = mm.brk = start
    _special_pages(mm, placement, rng)


def _load(mm: Mm, file: File, segment: Segment) -> None:
    """``elf_load``: map a segment from its file, and anonymous memory for the rest of it."""
    layout = mm.user.layout
    page = layout.page_size
    if segment.va % page != segment.offset % page or segment.size < segment.file_size:
        raise InputError(f"{file.name}: the segment at {segment.va:#x} cannot be mapped")
    start = segment.va & -page
    file_end = segment.va + segment.file_size
    mapped_end = layout.page_align(file_end) if segment.file_size else start
    if segment.file_size:
        do_mmap(
            mm,
            mapped_end - start,
            segment.prot,
            Map.PRIVATE | Map.FIXED,
            hint=start,
            file=file,
            offset=segment.offset & -page,
        )
    end = layout.page_align(segment.va + segment.size)
    if file_end % page and segment.size > segment.file_size and segment.prot & Prot.WRITE:
        # padzero(): the rest of the last page is written
        area = mm.vmas.at(file_end)
        assert area is not None
        handle_mm_fault(mm, area, file_end, write=True)
        _zero(mm, file_end, mapped_end)
    if end > mapped_end:
        flags = DATA | (Vm.EXEC if segment.prot & Prot.EXEC else Vm.NONE)
        bss = Vma(mapped_end, end, flags, mapped_end // page, 0)
        mm.set_prot(bss)
        mm.vmas.insert(bss)


def _zero(mm: Mm, start: int, end: int) -> None:
    """``clear_user`` of addresses in one page, which is there."""
    table = mm.tables.pte_table(start)
    assert table is not None
    entry = mm.tables.get_pte(table, start)
    pa = mm.user.entries.address(entry) + start % mm.user.page_size
    mm.user.kernel.ram.write(pa, bytes(end - start))


def _special_pages(mm: Mm, placement: Placement, rng: Randomness) -> None:
    """``arch_setup_additional_pages``: vDSO, vvar and the like, next to each other."""
    user, page = mm.user, mm.user.page_size
    special = user.special
    count = sum(len(each.pages) for each in special)
    if not count:
        return
    hint = 0
    if user.arm:
        hint = sigpage_hint(user.layout, rng, mm.start_stack, count)
        hint = hint if placement.sigpage is None else placement.sigpage
    at = get_unmapped_area(mm, count * page, Map(0), hint=hint, file=None, unit=page)
    for each in special:
        area = Vma(at, at + len(each.pages) * page, each.flags, 0, 0, special=each)
        mm.set_prot(area)
        mm.vmas.place(area)
        at = area.end
