"""mmap, munmap and brk: making areas and taking them away.

Source: mm/mmap.c (do_mmap, mmap_region, do_brk_flags), 6.12's mm/vma.c, mm/huge_memory.c
(thp_get_unmapped_area), mm/hugetlb.c (hugetlb_reserve_pages), drivers/char/mem.c (mmap_mem).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.kernel.vm_flags import MAY, Map, Prot, Vm, vm_flags_of
from ttbr.run.mm.arch import phys_bits
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.files import File
from ttbr.run.mm.gather import Gather
from ttbr.run.mm.hugetlb import HugeCache, HugePool, Reservation
from ttbr.run.mm.ptes import set_pte_at
from ttbr.run.mm.unmap import free_tables, let_go, zap_range
from ttbr.run.mm.vma import Vma
from ttbr.run.oom import OutOfMemory

if TYPE_CHECKING:
    from ttbr.run.mm.mm import Mm

SHARED_ANONYMOUS = "/dev/zero (deleted)"
DEV_MEM = "/dev/mem"


def do_mmap(
    mm: Mm,
    size: int,
    prot: Prot,
    flags: Map,
    *,
    hint: int = 0,
    file: File | None = None,
    offset: int = 0,
    huge_size: int = 0,
) -> int:
    """``do_mmap``: a new area; its first address.

    ``offset``: of the file, in bytes. ``huge_size``: bytes of a page with MAP_HUGETLB, 0 for the
    kernel's default. `SyscallError` for what the kernel refuses.
    """
    user, page = mm.user, mm.user.page_size
    shared = bool(flags & Map.SHARED)
    if shared == bool(flags & Map.PRIVATE):
        raise SyscallError("mmap", "EINVAL", "exactly one of MAP_SHARED and MAP_PRIVATE is needed")
    if size <= 0:
        raise SyscallError("mmap", "EINVAL", f"a mapping of {size} bytes")
    if offset % page:
        raise SyscallError("mmap", "EINVAL", f"offset {offset:#x} is not at a page")
    pool = user.pools.pool(huge_size or user.pools.default) if flags & Map.HUGETLB else None
    unit = pool.size if pool is not None else page
    size = -(-size // unit) * unit
    start = get_unmapped_area(mm, size, flags, hint=hint, file=file, unit=unit)
    vm = vm_flags_of(prot, bti=mm.user.bti) | MAY
    if shared:
        vm |= Vm.SHARED | Vm.MAYSHARE
    elif vm & Vm.WRITE and not flags & Map.NORESERVE and pool is None:
        vm |= Vm.ACCOUNT
    if flags & Map.NORESERVE:
        vm |= Vm.NORESERVE
    if flags & Map.FIXED:
        do_munmap(mm, start, size)
    area = Vma(start, start + size, vm, 0, 0)
    if pool is not None:
        _reserve(area, pool, flags)
    elif file is not None:
        area.file, area.pgoff = file, offset // page
    elif shared:
        area.file = File(user, SHARED_ANONYMOUS, size, linked=False)
    else:
        area.pgoff = start // page
    mm.set_prot(area)
    mm.vmas.insert(area)
    return start


def _reserve(area: Vma, pool: HugePool, flags: Map) -> None:
    """``hugetlb_reserve_pages``: promise the pages of a new area."""
    area.pool = pool
    area.flags |= Vm.HUGETLB | Vm.DONTEXPAND
    if area.flags & Vm.MAYSHARE:
        area.huge_cache = HugeCache()
    if flags & Map.NORESERVE:
        return
    count = area.size // pool.size
    if not pool.reserve(count):
        left = len(pool.free) - pool.reserved
        raise SyscallError(
            "mmap", "ENOMEM", f"{count} pages of {pool.size >> 10}K wanted, {left} not promised yet"
        )
    area.reservation = Reservation(set(range(area.start, area.end, pool.size)))


def get_unmapped_area(
    mm: Mm, size: int, flags: Map, *, hint: int, file: File | None, unit: int
) -> int:
    """``__get_unmapped_area``: where a mapping goes; ``unit``: its alignment in bytes."""
    layout, page = mm.user.layout, mm.user.page_size
    if size > layout.task_size:
        raise SyscallError("mmap", "ENOMEM", f"{size:#x} bytes are more than there are addresses")
    fixed = flags & (Map.FIXED | Map.FIXED_NOREPLACE)
    if fixed:
        if hint % unit:
            raise SyscallError("mmap", "EINVAL", f"address {hint:#x} is not aligned")
        if hint < max(layout.first, layout.min_addr):
            raise SyscallError("mmap", "EPERM", f"address {hint:#x} is below the lowest allowed")
        if hint + size > layout.task_size:
            raise SyscallError("mmap", "ENOMEM", f"{hint:#x} + {size:#x} is outside user space")
        if flags & Map.FIXED_NOREPLACE and mm.vmas.overlapping(hint, hint + size):
            raise SyscallError("mmap", "EEXIST", f"something is mapped at {hint:#x} already")
        return hint
    hint = -(-hint // unit) * unit
    if 0 < hint < layout.min_addr:
        hint = layout.min_addr  # round_hint_to_min
    end = layout.map_end(hint)
    if hint and hint + size <= end and _is_free(mm, hint, size):
        return hint
    padded = _huge_place(mm, size, flags, hint, file) if unit == page else None
    if padded is not None:
        return padded
    found = _search(mm, size, hint, unit if unit > page else 0)
    if found is None:
        raise SyscallError("mmap", "ENOMEM", f"no room for {size:#x} bytes")
    return found


def _search(mm: Mm, size: int, hint: int, align: int) -> int | None:
    """Downwards from mmap_base, and if that fails upwards."""
    layout = mm.user.layout
    low = max(layout.page_size, layout.min_addr)
    high = layout.map_base(hint, mm.mmap_base)
    found = mm.vmas.gap_below(size, low, high, align)
    if found is None:
        base = mm.mmap_base if mm.user.arm else layout.unmapped_base
        found = mm.vmas.gap_above(size, base, layout.map_end(hint), align)
    return found


def _is_free(mm: Mm, start: int, size: int) -> bool:
    above = mm.vmas.find(start)
    if above is None:
        return True
    gap = mm.user.layout.guard if above.growsdown else 0
    return start + size <= above.start - gap


def _huge_place(mm: Mm, size: int, flags: Map, hint: int, file: File | None) -> int | None:
    """``thp_get_unmapped_area``: anonymous memory of whole PMDs begins where one does (6.7)."""
    user = mm.user
    wanted = (
        file is None
        and not flags & Map.SHARED
        and not hint
        and user.kernel.kernel.config.enabled("TRANSPARENT_HUGEPAGE")
        and user.kernel.kernel.release.has("anon_mappings_huge_aligned")
        and not user.arm
        and size % user.pmd_size == 0
    )
    if not wanted:
        return None
    found = _search(mm, size + user.pmd_size, hint, 0)
    if found is None:
        return None
    rest = -found % user.pmd_size
    return found + user.pmd_size if not rest else found + rest


def do_munmap(mm: Mm, start: int, size: int) -> None:
    """``do_munmap``: take away what is mapped in a range; areas that stick out are cut."""
    user, page = mm.user, mm.user.page_size
    if start % page or size <= 0 or start + size > user.layout.task_size:
        raise SyscallError("munmap", "EINVAL", f"{size:#x} bytes at {start:#x}")
    end = start + -(-size // page) * page
    for area in mm.vmas.overlapping(start, end):
        unit = area.pool.size if area.pool is not None else page
        if (start > area.start and start % unit) or (end < area.end and end % unit):
            raise SyscallError("munmap", "EINVAL", f"a huge page would be cut at {start:#x}")
        if area.special is not None and (start > area.start or end < area.end):
            raise SyscallError("munmap", "EINVAL", f"{area.special.name} cannot be cut")
    areas = mm.vmas.isolate(start, end)
    if not areas:
        return
    before, after = mm.vmas.before(areas[0].start), mm.vmas.after(areas[-1].end)
    gather = Gather(mm)
    for area in areas:
        zap_range(mm, area, area.start, area.end, gather)
        mm.vmas.remove(area)
    floor = before.end if before is not None else user.layout.first
    ceiling = after.start if after is not None else user.layout.ceiling
    free_tables(mm, areas, floor, ceiling, gather)
    gather.finish()
    for area in areas:
        let_go(mm, area)


def do_brk(mm: Mm, end: int) -> int:
    """``brk``: let the heap end at ``end``; where it ends then, which is as before on failure."""
    layout = mm.user.layout
    if end < mm.start_brk:
        return mm.brk
    old, new = layout.page_align(mm.brk), layout.page_align(end)
    if new < old:
        do_munmap(mm, new, old - new)
    elif new > old:
        above = mm.vmas.find(old)
        gap = layout.guard if above is not None and above.growsdown else 0
        if new > layout.window or (above is not None and new > above.start - gap):
            return mm.brk
        flags = Vm.READ | Vm.WRITE | MAY | Vm.ACCOUNT
        area = Vma(old, new, flags, old // layout.page_size, 0)
        mm.set_prot(area)
        mm.vmas.insert(area)
    mm.brk = end
    return end


def map_device(mm: Mm, pa: int, size: int, prot: Prot) -> int:
    """``mmap_mem``: map physical memory that is no RAM, as /dev/mem does; its first address.

    The entries are made at once (remap_pfn_range). `SyscallError` for RAM.
    """
    user, page, entries = mm.user, mm.user.page_size, mm.user.entries
    size = -(-size // page) * page
    if pa % page or size <= 0 or not 0 <= pa <= (1 << phys_bits(user.kernel.machine)) - size:
        raise SyscallError("mmap", "EINVAL", f"{size:#x} bytes of /dev/mem at {pa:#x}")
    if any(bank.base < pa + size and pa < bank.end for bank in user.kernel.ram.banks):
        raise SyscallError("mmap", "EPERM", f"there is RAM at {pa:#x}: /dev/mem is for devices")
    start = get_unmapped_area(mm, size, Map.SHARED, hint=0, file=None, unit=page)
    flags = vm_flags_of(prot, bti=mm.user.bti) | MAY | Vm.SHARED | Vm.MAYSHARE
    flags |= Vm.IO | Vm.PFNMAP | Vm.DONTEXPAND | Vm.DONTDUMP
    device = File(user, DEV_MEM, 0)
    area = Vma(start, start + size, flags, pa // page, 0, file=device)
    area.prot = entries.noncached(entries.page_prot(flags))
    mm.vmas.insert(area)
    try:
        for at in range(0, size, page):
            table = mm.tables.pte_table(start + at, alloc=True)
            assert table is not None
            entry = entries.mkspecial(entries.make(pa + at, area.prot))
            set_pte_at(mm, table, start + at, entry)
    except OutOfMemory:
        do_munmap(mm, start, size)
        raise
    return start
