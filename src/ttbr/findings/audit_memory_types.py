"""Rules of `audit` about what memory is mapped as: types, cacheability, RAM and devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from ttbr.arch.attributes import UNKNOWN, Attributes
from ttbr.findings.audit import AUDIT
from ttbr.findings.audited import Audited
from ttbr.findings.finding import Found, Severity
from ttbr.memory.spans import NOWHERE


def _is_device(said: Attributes) -> bool:
    return said.memory.startswith(("Device", "Strongly"))


def _is_normal(said: Attributes) -> bool:
    return said.memory.startswith("Normal")


def _is_of(kind: tuple[str, str, str]) -> Callable[[Attributes], bool]:
    return lambda attributes: _cacheability(attributes) == kind


def _cacheability(said: Attributes) -> tuple[str, str, str]:
    """What must agree between all mappings of a frame: hints to allocate need not (D8.6)."""
    memory = "Normal" if _is_normal(said) else said.memory
    return memory, said.inner.split()[0], said.outer.split()[0]


@AUDIT.rule(
    "conflicting-memory-types",
    Severity.WARNING,
    "a frame is mapped with different memory types or cacheability",
    source="Arm ARM DDI 0487, B2.15 Mismatched memory attributes; kernel/dma/mapping.c, "
    "mm/ioremap.c, drivers/char/mem.c",
    remedy="Unmap one of them, or map both alike; memory for a device that is not coherent belongs "
    "into a no-map region.",
    example="ttbr audit vmcore --fail-on warning",
)
def conflicting_memory_types(subject: Audited) -> Iterator[Found]:
    """Accesses through the two are not coherent: one may see what the other overwrote.

    What the hardware does is limited by the architecture, but not defined: stale lines of a cache
    can be written back over what a device put there. Linux's own dma_alloc_coherent() does so for
    devices that are not coherent, and then never uses the other mapping. Shareability and
    allocation hints are not compared.
    """
    every = subject.leaves
    kinds = {_cacheability(one.attributes) for one in every.meanings}
    known = sorted(kind for kind in kinds if kind[0] not in (UNKNOWN, "Reserved"))
    by_kind = {kind: every.chosen(every.says(_is_of(kind))) for kind in known}
    frames = NOWHERE
    for one, other in combinations(by_kind.values(), 2):
        frames |= one.frames.common(other.frames)
    rows = every.chosen(every.says(lambda a: _cacheability(a) in by_kind))
    yield from subject.faults(
        rows.within(frames),
        "maps frames that are also mapped as another memory type or cacheability",
        "map them alike, or once",
    )


@AUDIT.rule(
    "device-mapped-normal",
    Severity.WARNING,
    "what is no RAM is mapped as Normal memory",
    source="arch/arm64/mm/ioremap.c, arch/arm/mm/ioremap.c: PROT_DEVICE_nGnRE, MT_DEVICE",
    remedy="Map registers with ioremap(); ioremap_wc() and memremap() are for memory on a device.",
    example="ttbr audit vmcore --fail-on warning",
)
def device_mapped_normal(subject: Audited) -> Iterator[Found]:
    """The hardware may read Normal memory on its own, repeat, merge and reorder accesses.

    Registers answer that with faults or wrong behaviour. A frame buffer or other memory of a
    device can be mapped so on purpose. Only where the image tells what is RAM.
    """
    if subject.ram is not None:
        rows = subject.leaves
        normal = rows.chosen(rows.says(_is_normal))
        yield from subject.faults(
            normal.within(subject.ram.all.inverted()),
            f"is no RAM ({subject.ram.source}), but Normal memory",
            "map registers as Device memory (ioremap)",
        )


@AUDIT.rule(
    "device-executable",
    Severity.ERROR,
    "what is no RAM can be executed",
    source="Arm ARM DDI 0487, D8.4; arch/arm64/include/asm/pgtable-prot.h: PROT_DEVICE_nGnRE",
    remedy="Map it with PXN and UXN (XN).",
    example="ttbr audit vmcore",
)
def device_executable(subject: Audited) -> Iterator[Found]:
    """The hardware may fetch from whatever can be executed, at any time and without being asked.

    A fetch is a read, and a register that is read may change. Device memory is meant as well as
    what lies outside RAM; the latter only where the image tells what is RAM.
    """
    rows = subject.leaves
    rows = rows.chosen(rows.says(lambda a: a.el1_execute or a.el0_execute))
    message, fix = "is Device memory, and can be executed", "map it PXN and UXN (XN)"
    yield from subject.faults(rows.chosen(rows.says(_is_device)), message, fix)
    if subject.ram is not None:
        others = rows.chosen(~rows.says(_is_device))
        message = f"is no RAM ({subject.ram.source}), and can be executed"
        yield from subject.faults(others.within(subject.ram.all.inverted()), message, fix)


@AUDIT.rule(
    "ram-mapped-device",
    Severity.WARNING,
    "RAM is mapped as Device memory",
    source="arch/arm64/mm/ioremap.c: ioremap refuses RAM; arch/arm/mm/ioremap.c: __arm_ioremap_pfn",
    remedy="Use memremap(), or reserve the memory with no-map and map it once.",
    example="ttbr audit vmcore --fail-on warning",
)
def ram_mapped_device(subject: Audited) -> Iterator[Found]:
    """Accesses are slow, must be aligned, and are not coherent with the linear map's cacheable one.

    No-map memory does not count. Only where the image tells what is RAM.
    """
    if subject.ram is not None:
        rows = subject.leaves
        rows = rows.chosen(rows.says(_is_device))
        yield from subject.faults(
            rows.within(subject.ram.mapped),
            f"is RAM ({subject.ram.source}), but Device memory",
            "use memremap(), or no-map memory",
        )


@AUDIT.rule(
    "no-map-in-linear-map",
    Severity.ERROR,
    "the linear map has memory that is no-map",
    source="arch/arm64/mm/mmu.c: map_mem; arch/arm/mm/mmu.c: map_lowmem; "
    "drivers/of/of_reserved_mem.c: early_init_dt_alloc_reserved_memory_arch",
    remedy="Find out who mapped it; on 32-bit ARM check that the region is aligned to sections.",
    example="ttbr audit vmcore",
)
def no_map_in_linear_map(subject: Audited) -> Iterator[Found]:
    """A region was taken out of the linear map with no-map, and is in it nevertheless.

    Firmware that protects such memory answers speculative reads through the linear map with
    faults. Only where memblock can be recovered.
    """
    if subject.ram is None or not len(subject.ram.unmapped):
        return
    rows = subject.kernel
    if subject.linear_distance is not None:
        linear = rows.chosen(rows.va - rows.pa == np.uint64(subject.linear_distance))
        yield from subject.faults(
            linear.within(subject.ram.unmapped),
            "is no-map memory, and in the linear map",
            "find out who mapped it",
        )
