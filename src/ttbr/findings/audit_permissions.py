"""Rules of `audit` about permissions: who may read, write and execute what."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ttbr.arch.attributes import Attributes
from ttbr.findings.audit import AUDIT
from ttbr.findings.audited import Audited
from ttbr.findings.finding import Found, Severity
from ttbr.findings.leaves import Leaves, Meaning
from ttbr.memory.spans import Spans

VECTORS = 0xFFFF_0000
"""The vectors of 32-bit ARM (arch/arm/kernel/traps.c: early_trap_init)."""
_PAGE = 1 << 12
_XN_TABLE, _PXN_TABLE = 1 << 1, 1 << 0  # of long formats' limits
_SHORT_PXN = 1 << 4


def _el1_wx(said: Attributes) -> bool:
    return said.el1_write and said.el1_execute


def _el0_wx(said: Attributes) -> bool:
    return said.el0_write and said.el0_execute


def _el0(said: Attributes) -> bool:
    return said.el0_read or said.el0_write or said.el0_execute


def _kernel_wx(subject: Audited) -> tuple[Leaves, Leaves]:
    """What the kernel may write and execute: in its image, and elsewhere.

    On ARM a process's table has entries of the kernel, too, which can be others than the kernel's.
    """
    every = subject.leaves
    rows = every.chosen(every.says(_el1_wx) & (every.is_kernel | ~every.says(_el0)))
    return rows.between(subject.kernel_image), rows.between(subject.kernel_image.inverted())


@AUDIT.rule(
    "kernel-image-writable-executable",
    Severity.ERROR,
    "the kernel's image is writable and executable",
    source="arch/arm64/mm/mmu.c: map_kernel, mark_rodata_ro; arch/arm/mm/init.c: "
    "set_section_perms (CONFIG_STRICT_KERNEL_RWX)",
    remedy="Set CONFIG_STRICT_KERNEL_RWX, and leave rodata=off off the command line.",
    example="ttbr audit vmcore --root kernel",
)
def kernel_image_writable_executable(subject: Audited) -> Iterator[Found]:
    """Whoever can write one word of the kernel's memory can run code of his choice in the kernel.

    Linux maps its text executable and read-only, its data writable and never executable, from
    mark_rodata_ro() on; earlier stages of the boot are laxer.
    """
    rows, _ = _kernel_wx(subject)
    yield from subject.faults(
        rows,
        "the kernel's image can be written and executed at EL1",
        "set CONFIG_STRICT_KERNEL_RWX, and leave out rodata=off",
    )


@AUDIT.rule(
    "module-writable-executable",
    Severity.ERROR,
    "code outside the kernel's image (modules, BPF, other) is writable and executable",
    source="kernel/module/strict_rwx.c: module_enable_rodata_ro; CONFIG_STRICT_MODULE_RWX",
    remedy="Set CONFIG_STRICT_MODULE_RWX; find out who maps what lies outside the module area.",
    example="ttbr audit vmcore --root kernel",
)
def module_writable_executable(subject: Audited) -> Iterator[Found]:
    """Modules and programs that the kernel compiles are to be writable or executable, not both.

    On 32-bit ARM without CONFIG_STRICT_KERNEL_RWX all of low memory is like that.
    """
    _, rows = _kernel_wx(subject)
    yield from subject.faults(
        rows,
        "memory outside the kernel's image can be written and executed at EL1",
        "set CONFIG_STRICT_MODULE_RWX (and CONFIG_STRICT_KERNEL_RWX)",
    )


@AUDIT.rule(
    "user-writable-executable",
    Severity.WARNING,
    "memory of a process is writable and executable for it",
    source="mm/mprotect.c, mm/mmap.c: whatever the process asked for",
    remedy="Have the program write and execute through two mappings, or change between them; a "
    "security module can forbid it (SELinux: execmem).",
    example="ttbr audit vmcore --root pid:1 --fail-on warning",
)
def user_writable_executable(subject: Audited) -> Iterator[Found]:
    """A process has memory that it can both write and execute: what injected code needs.

    Compilers at run time (JavaScript, Java) do that at times; other programs should not.
    """
    rows = subject.users
    yield from subject.faults(
        rows.chosen(rows.says(_el0_wx)),
        "can be written and executed at EL0",
        "find out which program asks for it (ttbr maps IMAGE PID)",
    )


def _is_vectors(rows: Leaves) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The page of vectors that 32-bit processes may read, where it is no more than that."""
    page: np.ndarray[tuple[int], np.dtype[np.bool_]] = rows.va == np.uint64(VECTORS)
    page &= rows.bytes == np.uint64(_PAGE)
    page &= rows.says(lambda a: not a.el0_write and not a.el1_write)
    return page


@AUDIT.rule(
    "kernel-reachable-from-el0",
    Severity.ERROR,
    "memory of the kernel can be reached from EL0",
    source="arch/arm64/include/asm/pgtable-prot.h: PAGE_KERNEL has no PTE_USER; "
    "arch/arm/mm/mmu.c: mem_types",
    remedy="Treat the machine as compromised, or find the driver that made the mapping: Linux "
    "makes none like it.",
    example="ttbr audit vmcore --root kernel",
)
def kernel_reachable_from_el0(subject: Audited) -> Iterator[Found]:
    """Every process can reach what the kernel's own tables allow EL0: they are in force always.

    E0PD and KPTI can keep a process from it, but the entry is wrong all the same. A process that
    may write frames of the kernel's image through its own tables is found here, too. The page of
    vectors of 32-bit ARM is `kuser-helpers`.
    """
    rows = subject.kernel.chosen(subject.kernel.says(_el0))
    if subject.image.arch == "arm":
        rows = rows.chosen(~_is_vectors(rows))
    fix = "find out who made the entry; Linux makes none like it"
    yield from subject.faults(rows, "the kernel's own tables let EL0 in", fix)
    users = subject.users
    message = "at an address of the kernel a process's own tables let EL0 in"
    yield from subject.faults(users.between(subject.kernel_addresses), message, fix)
    written = users.chosen(users.says(lambda a: a.el0_write))
    message = "a process may write frames of the kernel's image"
    yield from subject.faults(written.within(subject.image_frames), message, fix)


@AUDIT.rule(
    "kuser-helpers",
    Severity.NOTE,
    "processes can read and execute the page of vectors",
    source="arch/arm/mm/mmu.c: devicemaps_init; kernel/entry-armv.S (KUSER_HELPERS)",
    remedy="Build without CONFIG_KUSER_HELPERS if all programs are for ARMv7 and use no helpers.",
    example="ttbr audit vmcore --fail-on note",
)
def kuser_helpers(subject: Audited) -> Iterator[Found]:
    """The page at 0xffff0000 has helpers of the kernel for programs, at a place that is known.

    It is read-only. Its address never changes, which helps attacks that reuse code.
    """
    if subject.image.arch == "arm":
        rows = subject.kernel.chosen(subject.kernel.says(_el0))
        yield from subject.faults(
            rows.chosen(_is_vectors(rows)),
            "the page of vectors can be read by every process, at an address that is known",
            "leave out CONFIG_KUSER_HELPERS if no program needs them",
        )


@AUDIT.rule(
    "kernel-executes-user-writable",
    Severity.ERROR,
    "memory that EL0 may write can be executed at EL1",
    source="arch/arm64/include/asm/pgtable-prot.h: user pages have PTE_PXN; Arm ARM DDI 0487, D8.4",
    remedy="Make user pages PXN; find out who gave a process kernel code to write.",
    example="ttbr audit vmcore",
)
def kernel_executes_user_writable(subject: Audited) -> Iterator[Found]:
    """The kernel can be made to run what a process wrote.

    Either one entry says both (on arm64 the hardware then does not execute), or two do: the kernel
    may execute a frame that a process may write through its own tables.
    """
    fix = "make it PXN, or find out who maps one frame for both"
    every = subject.leaves
    both = every.chosen(every.says(lambda a: a.el0_write and a.el1_execute))
    yield from subject.faults(both, "EL0 may write it and EL1 execute it", fix)
    code = subject.kernel.chosen(subject.kernel.says(lambda a: a.el1_execute)).frames
    written = subject.users.chosen(subject.users.says(lambda a: a.el0_write and not a.el1_execute))
    message = "EL0 may write frames that the kernel's tables let EL1 execute"
    yield from subject.faults(written.within(code), message, fix)


@AUDIT.rule(
    "read-only-image-writable-alias",
    Severity.ERROR,
    "text or read-only data of the kernel can be written at another address",
    source="arch/arm64/mm/mmu.c: mark_linear_text_alias_ro, mark_rodata_ro",
    remedy="Leave rodata=off out; find out who maps the kernel's text a second time.",
    example="ttbr audit vmcore",
)
def read_only_image_writable_alias(subject: Audited) -> Iterator[Found]:
    """A frame is read-only in the kernel's image, and another entry lets it be written.

    The other entry may be in the linear map, anywhere else in the kernel's tables, or in those of
    a process. Read-only is what the image's own mapping does not let EL1 write. Before
    mark_rodata_ro(), at the end of the boot, the linear map's alias is writable in every kernel.
    """
    rows = subject.leaves
    writable = rows.chosen(rows.says(lambda a: a.el1_write or a.el0_write))
    yield from subject.faults(
        writable.within(subject.read_only_image),
        "maps frames of the kernel's read-only text or data, and can be written",
        "leave out rodata=off; an image of a boot that is not at its end is like this",
    )


@AUDIT.rule(
    "code-writable-alias",
    Severity.WARNING,
    "code outside the kernel's image can be written at another address",
    source="arch/arm64/mm/pageattr.c: change_memory_common (rodata=full); arch/arm has no such",
    remedy="On arm64: CONFIG_RODATA_FULL_DEFAULT_ENABLED, or rodata=full. On 32-bit ARM there is "
    "no remedy: low memory stays writable.",
    example="ttbr audit vmcore --fail-on warning",
)
def code_writable_alias(subject: Audited) -> Iterator[Found]:
    """Modules and compiled BPF are read-only where they run, and writable in the linear map.

    With rodata=full arm64 makes the linear map's alias read-only, too. 32-bit ARM never does.
    """
    kernel = subject.kernel
    code = kernel.chosen(kernel.says(lambda a: a.el1_execute and not a.el1_write))
    outside = code.between(subject.kernel_image.inverted()).frames
    frames = outside.without(subject.read_only_image)
    writable = kernel.chosen(kernel.says(lambda a: a.el1_write)).within(frames)
    yield from subject.faults(
        writable,
        "maps code that runs at another address of the kernel, and can be written",
        "use rodata=full (arm64); 32-bit ARM keeps low memory writable",
    )


@AUDIT.rule(
    "tables-user-writable",
    Severity.ERROR,
    "a process may write translation tables",
    source="mm/memory.c: nothing in Linux maps a table page for a process",
    remedy="Treat the machine as compromised: who writes tables maps whatever he likes.",
    example="ttbr audit vmcore",
)
def tables_user_writable(subject: Audited) -> Iterator[Found]:
    """A page that holds translation tables is writable at EL0.

    That is how attacks on freed table pages end: the process then writes descriptors itself.
    All tables count that were met below the roots looked at, by whole pages.
    """
    regime = subject.spaces[0].space.regime
    page = np.uint64((1 << regime.levels[-1].shift) - 1)
    tables = [space.mappings.tables for space in subject.spaces]
    first = np.concatenate([one.address for one in tables])
    size = np.concatenate([one.entries for one in tables]) * regime.format.entry_size
    last = first + (size - 1).astype(np.uint64)
    rows = subject.users.chosen(subject.users.says(lambda a: a.el0_write))
    yield from subject.faults(
        rows.within(Spans.of(first & ~page, last | page)),
        "maps translation tables, and EL0 may write them",
        "find out how the process came to the page; nothing in Linux maps it",
    )


def _pxn(one: Meaning) -> bool:
    """Whether a leaf's bits keep EL1 from executing it, whatever else does."""
    _, _, limits = one.key
    regime = one.space.regime
    if one.field("XN"):
        return True
    if regime.format.entry_size == 8:
        held = 0 if regime.controls.hpd else limits
        # UXNTable of arm64 is XNTable of LPAE, and that is for both levels
        never = _PXN_TABLE | (_XN_TABLE if regime.format.name == "lpae" else 0)
        return bool(one.field("PXN") or held & never)
    return regime.controls.pxn and bool(one.field("PXN") or limits & _SHORT_PXN)


@AUDIT.rule(
    "user-pxn-missing",
    Severity.WARNING,
    "the kernel may execute memory of a process: PXN is missing",
    source="arch/arm64/include/asm/pgtable-prot.h: _PAGE_DEFAULT with PTE_PXN; "
    "arch/arm/include/asm/pgalloc.h: PMD_PXNTABLE",
    remedy="On a CPU that has PXN: find out who made the entry. Cores before ARMv7 with LPAE "
    "(Cortex-A8, A9, A5) have no PXN.",
    example="ttbr audit vmcore --root pid:1 --fail-on warning",
)
def user_pxn_missing(subject: Audited) -> Iterator[Found]:
    """Nothing in the descriptor or above it keeps EL1 from executing a page of a process.

    Then a wrong jump in the kernel runs what a process prepared. What EL0 may write arm64 does not
    execute at EL1 even so, until it is made read-only (as fork does).
    """
    rows = subject.users
    yield from subject.faults(
        rows.chosen(rows.which(lambda one: not _pxn(one))),
        "EL1 is not kept from executing it (no PXN)",
        "on a CPU with PXN find out who made the entry",
    )
