"""Flags of a process's memory: what mmap() and mprotect() take, and what an area carries.

Source: include/linux/mm.h (VM_*), include/uapi/asm-generic/mman-common.h and mman.h (PROT_*,
MAP_*, MADV_*), include/uapi/asm-generic/hugetlb_encode.h.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Prot(IntFlag):
    """PROT_*: what a mapping may be used for. BTI is of arm64 alone."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXEC = 4
    BTI = 0x10


class Map(IntFlag):
    """MAP_*: how a mapping is made."""

    SHARED = 0x01
    PRIVATE = 0x02
    FIXED = 0x10
    ANONYMOUS = 0x20
    NORESERVE = 0x4000
    HUGETLB = 0x4_0000
    FIXED_NOREPLACE = 0x10_0000


class Madvise(IntEnum):
    """MADV_*: the advice that changes tables or what later faults do."""

    NORMAL = 0
    WILLNEED = 3
    DONTNEED = 4
    DONTFORK = 10
    DOFORK = 11
    HUGEPAGE = 14
    NOHUGEPAGE = 15
    WIPEONFORK = 18
    KEEPONFORK = 19


class Vm(IntFlag):
    """VM_*: an area's flags. ARM64_BTI is an arch's own bit, here that of arm64."""

    NONE = 0
    READ = 0x1
    WRITE = 0x2
    EXEC = 0x4
    SHARED = 0x8
    MAYREAD = 0x10
    MAYWRITE = 0x20
    MAYEXEC = 0x40
    MAYSHARE = 0x80
    GROWSDOWN = 0x100
    PFNMAP = 0x400
    IO = 0x4000
    DONTCOPY = 0x2_0000
    DONTEXPAND = 0x4_0000
    ACCOUNT = 0x10_0000
    NORESERVE = 0x20_0000
    HUGETLB = 0x40_0000
    ARM64_BTI = 0x100_0000
    WIPEONFORK = 0x200_0000
    DONTDUMP = 0x400_0000
    HUGEPAGE = 0x2000_0000
    NOHUGEPAGE = 0x4000_0000


ACCESS = Vm.READ | Vm.WRITE | Vm.EXEC
"""VM_ACCESS_FLAGS."""
PROTECTION = ACCESS | Vm.SHARED
"""What protection_map is indexed by."""
MAY = Vm.MAYREAD | Vm.MAYWRITE | Vm.MAYEXEC


def vm_flags_of(prot: Prot, *, bti: bool) -> Vm:
    """``calc_vm_prot_bits``: the area flags of PROT_* bits; ``bti``: system_supports_bti()."""
    flags = Vm(int(prot) & int(ACCESS))
    return flags | Vm.ARM64_BTI if bti and prot & Prot.BTI else flags


def is_cow(flags: Vm) -> bool:
    """``is_cow_mapping``: private, and writable now or later."""
    return flags & (Vm.SHARED | Vm.MAYWRITE) == Vm.MAYWRITE


def letters(flags: Vm) -> str:
    """The four letters of /proc/PID/maps."""
    of = zip((Vm.READ, Vm.WRITE, Vm.EXEC), "rwx", strict=True)
    return "".join(letter if flags & bit else "-" for bit, letter in of) + (
        "s" if flags & Vm.MAYSHARE else "p"
    )
