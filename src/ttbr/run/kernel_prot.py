"""Protections of the kernel's own run-time mappings, under the names that both architectures use.

arm64's are page descriptors without an address, arm's Linux PTE bits (from mem_types[] as the boot
made it). Source: arch/arm64/include/asm/{pgtable-prot,io}.h, arch/arm64/mm/pageattr.c;
arch/arm/include/asm/{pgtable,io,fixmap}.h, arch/arm/mm/{ioremap,pageattr}.c of 6.1 and 6.12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.registers import BT
from ttbr.boot.arm64.state import Arm64
from ttbr.kernel.arm64_prot import GP, PXN, RDONLY, WRITE, MemoryType
from ttbr.kernel.arm_prot import fixmap_page_io

ARM_TYPES = MappingProxyType(
    {
        "device": "DEVICE",
        "wc": "DEVICE_WC",
        "cache": "DEVICE_CACHED",
        "uncached": "UNCACHED",
        "exec": "MEMORY_RWX",
        "exec-nc": "MEMORY_RWX_NONCACHED",
        "memory": "MEMORY_RW",
    }
)
"""What ioremap can be asked for on arm → mem_types[] (``uncached``: pci_remap_cfgspace,
``exec``: __arm_ioremap_exec, ``memory``: arch_memremap_wb)."""


@dataclass(frozen=True, slots=True)
class Change:
    """Bits that a function of set_memory.h sets and clears in page entries."""

    set_mask: int
    clear_mask: int


@dataclass(frozen=True, slots=True)
class KernelProt:
    """``kernel``, ``kernel_ro``, ``kernel_exec``: PAGE_KERNEL and its relatives.

    ``ioremap``: protection by what is asked for (``device`` is plain ioremap()); ``sections``: the
    same as section bits, where the architecture can map I/O so. ``fixmap_io``: FIXMAP_PAGE_IO.
    ``changes``: by function, from ``set_memory_ro`` to ``set_direct_map_default_noflush``.
    """

    kernel: int
    kernel_ro: int
    kernel_exec: int
    ioremap: Mapping[str, int]
    sections: Mapping[str, int]
    fixmap_io: int
    changes: Mapping[str, Change]


def arm64_prot(state: Arm64) -> KernelProt:
    """The protections of an arm64 kernel after its boot."""
    prot = state.protections
    bti = state.machine.kernel.config.enabled("ARM64_BTI_KERNEL") and state.cpu.field(*BT)
    guarded = GP if bti else 0
    ioremap = {
        "device": prot.device,
        "np": prot.normal(MemoryType.DEVICE_NGNRNE),
        "wc": prot.normal(MemoryType.NORMAL_NC),
        "cache": prot.normal(),
    }
    changes = {
        "set_memory_ro": Change(RDONLY, WRITE),
        "set_memory_rw": Change(WRITE, RDONLY),
        "set_memory_nx": Change(PXN, guarded),
        "set_memory_x": Change(guarded, PXN),
        "set_memory_invalid": Change(0, 1),
        "set_memory_valid": Change(1, 0),
        "set_direct_map_invalid_noflush": Change(0, 1),
        "set_direct_map_default_noflush": Change(1 | WRITE, RDONLY),
    }
    return KernelProt(
        kernel=prot.kernel,
        kernel_ro=prot.kernel_ro,
        kernel_exec=prot.kernel_exec,
        ioremap=MappingProxyType(ioremap),
        sections=MappingProxyType({}),
        fixmap_io=prot.device,
        changes=MappingProxyType(changes),
    )


def arm_prot(state: ArmBoot) -> KernelProt:
    """The protections of a 32-bit ARM kernel after its boot."""
    bits, types = state.bits, state.mem_types
    kernel = types["MEMORY_RW"].prot_pte
    changes = {
        "set_memory_ro": Change(bits.rdonly, 0),
        "set_memory_rw": Change(0, bits.rdonly),
        "set_memory_nx": Change(bits.xn, 0),
        "set_memory_x": Change(0, bits.xn),
        "set_memory_invalid": Change(0, 1),
        "set_memory_valid": Change(1, 0),
    }
    return KernelProt(
        kernel=kernel,
        kernel_ro=kernel,  # arm has no such protection: include/linux/pgtable.h takes PAGE_KERNEL
        kernel_exec=types["MEMORY_RWX"].prot_pte,
        ioremap=MappingProxyType({kind: types[n].prot_pte for kind, n in ARM_TYPES.items()}),
        sections=MappingProxyType({kind: types[n].prot_sect for kind, n in ARM_TYPES.items()}),
        fixmap_io=fixmap_page_io(bits),
        changes=MappingProxyType(changes),
    )
