"""/proc/vmallocinfo: the areas in use by address, then those that wait for a purge.

Addresses are shown as they are; the kernel hashes them for most readers.

Source: mm/vmalloc.c: vmalloc_info_show (6.1: s_show), show_purge_info.
"""

from __future__ import annotations

from collections import Counter

from ttbr.run.kernel import RunningKernel
from ttbr.run.vmap_area import Vm, VmStruct

KINDS = {
    Vm.IOREMAP: "ioremap",
    Vm.SPARSE: "sparse",
    Vm.ALLOC: "vmalloc",
    Vm.MAP: "vmap",
    Vm.USERMAP: "user",
    Vm.DMA_COHERENT: "dma-coherent",
}


def vmallocinfo(kernel: RunningKernel) -> list[str]:
    """The file's lines; who asked is a function's name, without the place in it."""
    areas = kernel.space.vmalloc.areas
    numa = kernel.kernel.config.enabled("NUMA")
    lines = [_area(kernel, area, numa=numa) for area in areas.areas]
    lines += [f"{_span(kernel, s, e)} {e - s:7d} unpurged vm_area" for s, e in areas.lazy]
    return lines


def _area(kernel: RunningKernel, area: VmStruct, *, numa: bool) -> str:
    parts = [f"{_span(kernel, area.addr, area.end)} {area.size:7d} {area.caller}"]
    if len(area.pages):
        parts.append(f"pages={len(area.pages)}")
    if area.phys_addr:
        parts.append(f"phys={kernel.kernel.pa(area.phys_addr)}")
    parts += [name for flag, name in KINDS.items() if area.flags & flag]
    if area.vpages is not None:
        parts.append("vpages")
    if numa:
        nodes = Counter(kernel.pages.zone_of(pfn).node for pfn in area.pages.tolist())
        parts += [f"N{node}={count}" for node, count in sorted(nodes.items())]
    return " ".join(parts)


def _span(kernel: RunningKernel, start: int, end: int) -> str:
    """Two addresses as %pK prints them to who may see them."""
    digits = 16 if kernel.arch == "arm64" else 8
    return f"0x{start:0{digits}x}-0x{end:0{digits}x}"
