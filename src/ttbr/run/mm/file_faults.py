"""Faults of files and of the kernel's special pages.

Source: mm/memory.c: do_fault, do_fault_around, do_read_fault, do_cow_fault, do_shared_fault;
mm/filemap.c: filemap_map_pages; mm/shmem.c: shmem_fault; mm/mmap.c: special_mapping_fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import Vm
from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE
from ttbr.run.mm.mm import ANON, FILE
from ttbr.run.mm.ptes import set_pte_at
from ttbr.run.mm.vm_fault import SIGBUS, copy_page, maybe_mkwrite
from ttbr.run.oom import OutOfMemory

if TYPE_CHECKING:
    from ttbr.run.mm.files import File
    from ttbr.run.mm.vm_fault import VmFault


def do_fault(fault: VmFault) -> None:
    """``do_fault``: a page of a file, or of the kernel's, that has no entry yet."""
    if fault.area.special is not None:
        _special(fault)
        return
    file = fault.area.file
    assert file is not None
    if fault.page_index >= file.page_count:
        fault.signal = SIGBUS
        fault.settle("filemap_fault", "the file ends before this page")
    elif not fault.write:
        _read(fault, file)
    elif not fault.area.flags & Vm.SHARED:
        _cow(fault, file)
    else:
        _shared(fault, file)


def _map_file_page(fault: VmFault, file: File, va: int, pfn: int, *, write: bool) -> None:
    """``set_pte_range`` of a file's page: a mapping that has a reference."""
    mm = fault.mm
    user, entries = mm.user, mm.user.entries
    table = mm.tables.pte_table(va, alloc=True)
    assert table is not None
    entry = entries.make(pfn << user.page_shift, fault.area.prot)
    if va != fault.va and user.old_prefaulted:
        entry = entries.mkold(entry)
    if write:
        entry = maybe_mkwrite(fault, entries.mkdirty(entry))
    user.folios.get(pfn)
    user.frames.add_rmap(pfn)
    mm.count(file.counter, 1)
    set_pte_at(mm, table, va, entry)


def _read(fault: VmFault, file: File) -> None:
    """``do_read_fault``: the page, and those around it that are in memory, too."""
    mapped = _fault_around(fault, file) if fault.mm.user.fault_around > 1 else 0
    table = fault.mm.tables.pte_table(fault.va)
    if table is not None and fault.mm.tables.get_pte(table, fault.va):
        fault.settle("do_fault_around", f"{mapped} pages of {file.name}")
        return
    fault.mm.tables.pte_table(fault.va, alloc=True)
    pfn = file.page(fault.page_index)
    _map_file_page(fault, file, fault.va, pfn, write=False)
    fault.settle("do_read_fault", f"page {fault.page_index} of {file.name}")


def _fault_around(fault: VmFault, file: File) -> int:
    """``do_fault_around``: map what is in memory of the aligned pages around; how many were."""
    mm, area, va = fault.mm, fault.area, fault.va
    size, around = mm.user.page_size, mm.user.fault_around
    level = mm.tables.levels[mm.tables.last]
    offset = level.index(va)
    first = max(offset - offset % around, offset - (va - area.start) // size)
    end = min(first + around, level.entries, offset + (area.end - va) // size)
    # The table is made before it is known whether there is anything to map
    table = mm.tables.pte_table(va, alloc=True)
    assert table is not None
    mapped = 0
    for place in range(first, end):
        there = va + (place - offset) * size
        index = area.page_index(there, mm.user.page_shift)
        pfn = file.pages.get(index)
        if pfn is None or index >= file.page_count or mm.tables.get_pte(table, there):
            continue
        _map_file_page(fault, file, there, pfn, write=False)
        mapped += 1
    return mapped


def _cow(fault: VmFault, file: File) -> None:
    """``do_cow_fault``: a copy of the file's page for a private mapping."""
    mm, va = fault.mm, fault.va
    user, entries = mm.user, mm.user.entries
    mm.anon_vma_prepare(fault.area)
    new = user.folios.alloc(0, GFP_HIGHUSER_MOVABLE, Owner.ANON)
    try:
        table = mm.tables.pte_table(va, alloc=True)
        source = file.page(fault.page_index)
    except OutOfMemory:
        user.folios.put(new)
        raise
    assert table is not None
    copy_page(mm, source, new)
    entry = entries.make(new << user.page_shift, fault.area.prot)
    entry = maybe_mkwrite(fault, entries.mkdirty(entry))
    user.frames.add_rmap(new)
    user.frames.set_exclusive(new, True)
    mm.count(ANON, 1)
    set_pte_at(mm, table, va, entry)
    fault.settle("do_cow_fault", f"copied page {fault.page_index} of {file.name}")


def _shared(fault: VmFault, file: File) -> None:
    """``do_shared_fault``: a write to a shared mapping."""
    fault.mm.tables.pte_table(fault.va, alloc=True)
    pfn = file.page(fault.page_index)
    _map_file_page(fault, file, fault.va, pfn, write=True)
    fault.settle("do_shared_fault", f"page {fault.page_index} of {file.name}")


def _special(fault: VmFault) -> None:
    """``special_mapping_fault``, and vvar's own handler where it is mapped by frame number."""
    mm, special = fault.mm, fault.area.special
    assert special is not None
    user, entries = mm.user, mm.user.entries
    index = fault.page_index
    pfn = special.pages[index] if index < len(special.pages) else None
    if pfn is None:
        fault.signal = SIGBUS
        fault.settle("special_mapping_fault", f"{special.name} has no such page")
        return
    table = mm.tables.pte_table(fault.va, alloc=True)
    assert table is not None
    entry = entries.make(pfn << user.page_shift, fault.area.prot)
    if special.by_pfn:
        entry = entries.mkspecial(entry)
    else:
        mm.count(FILE, 1)
    set_pte_at(mm, table, fault.va, entry)
    fault.settle("special_mapping_fault", special.name)
