"""Rules of `audit` about descriptors themselves, and about the regime as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ttbr.arch.format import Kind
from ttbr.findings.audit import AUDIT
from ttbr.findings.audited import Audited
from ttbr.findings.finding import Address, Found, Severity
from ttbr.findings.leaves import Leaves, Space
from ttbr.format import counted
from ttbr.kernel.release import Release
from ttbr.memory.spans import Spans
from ttbr.mmu.contiguous import REASONS, disagreements
from ttbr.mmu.walk import LEAST_ENTRIES, Budget

_E0PD = 60  # lowest bit of ID_AA64MMFR2_EL1.E0PD
_MIN_KASLR = 1 << 21  # arch/arm64/include/asm/boot.h: MIN_KIMG_ALIGN
_RESERVED_AP = 0b100  # AP[2:0] of short descriptors (Arm ARM DDI 0406C, B3.7.1)


def _reported(subject: Audited) -> Iterator[tuple[int, Space]]:
    """The spaces that findings are wanted about."""
    for number, space in enumerate(subject.spaces):
        if number or subject.reported[0]:
            yield number, space


@AUDIT.rule(
    "contiguous-disagree",
    Severity.ERROR,
    "entries that say they are one contiguous mapping do not agree",
    source="Arm ARM DDI 0487, D8.7; arch/arm64/mm/contpte.c, hugetlbpage.c",
    remedy="Find out who changed one entry of the group: all must be changed together, through "
    "break-before-make.",
    example="ttbr audit vmcore",
)
def contiguous_disagree(subject: Audited) -> Iterator[Found]:
    """The hardware may take any entry of the group for all of it: what an access gets is open.

    Contiguous entries, supersections and large pages promise adjoining memory and equal
    attributes; the access flag and the dirty state may differ.
    """
    parts, groups, reasons = [], 0, np.zeros(0, np.uint8)
    for number, space in _reported(subject):
        wrong = disagreements(space.mappings)
        if len(wrong):
            rows = subject.leaves.chosen(subject.leaves.space == number)
            parts.append(rows.between(Spans.sized(wrong.va, wrong.size)))
            groups += len(wrong)
            reasons = np.union1d(reasons, wrong.reason)
    if parts:
        yield from subject.faults(
            Leaves.together(parts),
            f"in {counted(groups, 'contiguous group')} that do not agree: "
            f"{', '.join(REASONS[reason] for reason in reasons.tolist())}",
            "change all entries of a group together",
        )


@AUDIT.rule(
    "reserved-descriptor",
    Severity.WARNING,
    "descriptors have encodings that the architecture reserves",
    source="Arm ARM DDI 0487, D8.3.1; DDI 0406C, B3.5.1",
    remedy="Look at the table page: something overwrote it, or it is no table.",
    example="ttbr audit vmcore --fail-on warning",
)
def reserved_descriptor(subject: Audited) -> Iterator[Found]:
    """A descriptor that is valid by bit 0 has a type that does not exist at its level.

    It faults like an invalid one today; Linux never writes it. Blocks at levels that have none and
    type 1 at the last level are such.
    """
    kernel: list[_Reserved] = []
    others: list[_Reserved] = []
    for number, space in _reported(subject):
        found = _reserved(space)
        if found is not None:
            (others if number else kernel).append(found)
    for group in (kernel, others):
        if group:
            total, first = sum(one.count for one in group), group[0]
            owner = first.space.owner
            owners = owner if len(group) == 1 else f"{len(group)} processes' spaces"
            yield Found(
                f"{counted(total, 'descriptor')} of a reserved type in {owners}, the first in "
                f"{owner}'s for va {first.va:#x} in the table at {first.table:#x}",
                "look at the table page (ttbr translate IMAGE VA --steps)",
                numbers={"descriptors": total, "va": Address(first.va)},
                ranges={"table": (first.table, first.table + _table_size(first.space) - 1)},
            )


@dataclass(frozen=True, slots=True)
class _Reserved:
    """How many descriptors of a space are of a reserved type; where the first one is."""

    space: Space
    count: int
    va: int
    table: int


def _reserved(space: Space) -> _Reserved | None:
    first: tuple[int, int] | None = None
    total = 0
    budget = Budget(max(LEAST_ENTRIES, int(space.mappings.tables.entries.sum())))
    for batch in space.space.walk(budget=budget).batches():
        row, column = np.nonzero(batch.kinds == Kind.RESERVED)
        total += len(row)
        if len(row) and first is None:
            va = int(batch.entry_va(row[:1], column[:1])[0])
            first = va, int(batch.address[row[0]])
    return None if first is None else _Reserved(space, total, *first)


def _table_size(space: Space) -> int:
    regime = space.space.regime
    return regime.levels[-1].entries * regime.format.entry_size


@AUDIT.rule(
    "reserved-attributes",
    Severity.WARNING,
    "mappings have attributes that the architecture reserves",
    source="Arm ARM DDI 0487, MAIR_EL1, D8.6; DDI 0406C, B3.7.1, B3.8.2",
    remedy="Check MAIR_EL1 (PRRR, NMRR) and the entry; Linux uses none of these.",
    example="ttbr audit vmcore --fail-on warning",
)
def reserved_attributes(subject: Audited) -> Iterator[Found]:
    """The memory type, the shareability or the permissions have a value without a meaning.

    Then what an access does is not predictable.
    """
    rows = subject.leaves
    odd = rows.says(lambda a: a.memory == "Reserved" or a.shareability == "reserved")
    short = subject.spaces[0].space.regime
    if short.format.entry_size == 4 and not short.controls.afe:
        odd |= rows.which(
            lambda one: (one.field("AP2") or 0) << 2 | (one.field("AP") or 0) == _RESERVED_AP
        )
    yield from subject.faults(
        rows.chosen(odd), "has reserved attributes", "check MAIR_EL1 (PRRR, NMRR) and the entry"
    )


@AUDIT.rule(
    "block-being-changed",
    Severity.WARNING,
    "a block is marked as being changed",
    source="Arm ARM DDI 0487, D8.16 (FEAT_BBM level 1); Linux never sets nT",
    remedy="Find out who set nT and did not finish.",
    example="ttbr audit vmcore --fail-on warning",
)
def block_being_changed(subject: Audited) -> Iterator[Found]:
    """Bit nT of a block says that its size is being changed, and keeps it out of the TLB.

    It is the one trace of a change that a still image shows. Whether entries were changed without
    break-before-make cannot be seen in tables at rest, and is not decided.
    """
    rows = subject.leaves
    yield from subject.faults(
        rows.chosen(rows.which(lambda one: one.field("nT") or 0)),
        "is a block that is marked as being changed (nT)",
        "find out who set nT and did not clear it",
    )


@AUDIT.rule(
    "kpti-absent",
    Severity.WARNING,
    "the kernel's mappings are global, where KPTI is expected",
    source="arch/arm64/include/asm/mmu.h, kernel/cpufeature.c: kaslr_requires_kpti",
    remedy="Leave out kpti=off, set CONFIG_UNMAP_KERNEL_AT_EL0, or use a CPU with E0PD.",
    example="ttbr audit vmcore --fail-on warning",
)
def kpti_absent(subject: Audited) -> Iterator[Found]:
    """The kernel's place is random, which KPTI would keep from processes; it is not in force.

    A process can tell by the time of a fault what is mapped at EL1. With KASLR Linux takes the
    kernel out of the tables of processes, unless the CPU has E0PD, and then maps itself
    non-global (nG). Whether the CPU needs KPTI because of Meltdown is not decided: it depends on
    MIDR_EL1 and ID_AA64PFR0_EL1.CSV3.
    """
    if subject.image.arch != "arm64" or not subject.reported[0]:
        return
    registers = subject.image.named_registers
    features = registers.get("ID_AA64MMFR2_EL1")
    offset = subject.linux.vmcoreinfo.entries.get("KERNELOFFSET")
    if offset is None:
        subject.decide_not("whether KPTI is expected: the KASLR offset is not known")
        return
    if not _is_random(offset, subject.linux.release):
        return
    if features is None:
        subject.decide_not("whether KPTI is expected: ID_AA64MMFR2_EL1 is not known")
        return
    if features >> _E0PD & 15:
        return
    # The vectors that are left in the tables of processes are global by design.
    rows = subject.kernel
    linear = rows.va - rows.pa == np.uint64(subject.linear_distance or 0)
    yield from subject.faults(
        rows.chosen(linear & rows.says(lambda a: not a.non_global)),
        "is global although the kernel's place is random and the CPU has no E0PD",
        "leave out kpti=off",
    )


def _is_random(offset: str, release: Release | None) -> bool:
    """Whether vmcoreinfo's KERNELOFFSET (hexadecimal) counts as KASLR."""
    try:
        number = int(offset, 16)
    except ValueError:
        return False
    least = _MIN_KASLR
    if release is not None and release.has("arm64_any_offset_is_kaslr"):
        least = 1
    return number >= least
