"""Questions that an expression can ask of the machine, such as ``VmPTE(p)`` or ``walks()``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.errors import InputError
from ttbr.mmu.image import Image, ImageFacts
from ttbr.mmu.translation import Translation
from ttbr.run.mm.process import Process

if TYPE_CHECKING:
    from ttbr.run.kernel import RunningKernel

Asked = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Question:
    """``answer``: gets the kernel and the arguments. ``arguments``: their names, for the help."""

    answer: Asked
    arguments: tuple[str, ...]
    help: str


def translation(kernel: RunningKernel, space: object, va: int) -> Translation:
    """The walk for an address of a process, or of the kernel (0), as the tables are now.

    Nothing is marked or cached.
    """
    image = Image(kernel.ram, kernel.cpu.registers, ImageFacts(arch=kernel.arch))
    root = "kernel" if space == 0 else f"user:{_process(space).mm.pgd:#x}"
    return image.address_space(root).translate(va)


def _process(of: object) -> Process:
    if isinstance(of, Process):
        return of
    raise InputError("that is no process")


def _pa(kernel: RunningKernel, of: object, va: int) -> int:
    """By the hardware's entry, or Linux's own: an old page is a fault to ARM's short format."""
    pa = translation(kernel, of, va).pa
    if pa is not None:
        return pa
    entry = 0 if of == 0 else _linux_entry(of, va)
    entries = kernel.user.user.entries
    if not entry or not entries.present(entry):
        raise InputError(f"{va:#x} is not mapped")
    return entries.address(entry) + va % kernel.page_size


def _attribute(kernel: RunningKernel, of: object, va: int, name: str) -> int:
    found = translation(kernel, of, va).attributes
    return int(getattr(found, name)) if found is not None else 0


def _linux_entry(of: object, va: int) -> int:
    """Linux's entry of the last level, 0 without a table there."""
    mm = _process(of).mm
    table = mm.tables.pte_table(va)
    return 0 if table is None else mm.tables.get_pte(table, va)


def _linux_says(of: object, va: int, what: str) -> int:
    entry = _linux_entry(of, va)
    return int(bool(entry and getattr(_process(of).mm.user.entries, what)(entry)))


def _writable(kernel: RunningKernel, of: object, va: int) -> int:
    return _attribute(kernel, of, va, "el1_write" if of == 0 else "el0_write")


def _entry(kernel: RunningKernel, of: object, va: int) -> int:
    steps = translation(kernel, of, va).steps
    return steps[-1].descriptor if steps else 0


def _table(kernel: RunningKernel, of: object, va: int) -> int:
    steps = translation(kernel, of, va).steps
    return steps[-1].table if steps else 0


def _index(kernel: RunningKernel, of: object, va: int) -> int:
    steps = translation(kernel, of, va).steps
    return steps[-1].index if steps else 0


def _kmap_count(kernel: RunningKernel, pfn: int) -> int:
    return next((n for _, frame, n in kernel.space.pkmap.mapped() if frame == pfn), 0)


def _rss(kernel: RunningKernel, of: object) -> int:
    return sum(_process(of).mm.rss.values()) * kernel.page_size


SPACE = ("space", "va")
PROCESS = ("process",)

QUESTIONS: dict[str, Question] = {
    "VmPTE": Question(lambda k, p: _process(p).mm.tables.bytes, PROCESS, "bytes in page tables"),
    "tables": Question(
        lambda k, p: sum(_process(p).mm.tables.counts.values()), PROCESS, "page tables"
    ),
    "rss": Question(_rss, PROCESS, "bytes in memory"),
    "faults": Question(lambda k, p: _process(p).faults, PROCESS, "faults so far"),
    "pid": Question(lambda k, p: _process(p).pid, PROCESS, "its number"),
    "asid": Question(lambda k, p: k.cpus.asids.asid(_process(p).mm.context), PROCESS, "its ASID"),
    "pgd": Question(lambda k, p: _process(p).mm.pgd, PROCESS, "physical address of its root table"),
    "areas": Question(lambda k, p: len(_process(p).mm.vmas), PROCESS, "areas of its memory"),
    "pa": Question(_pa, SPACE, "physical address"),
    "pfn": Question(lambda k, s, va: _pa(k, s, va) // k.page_size, SPACE, "page frame"),
    "mapped": Question(
        lambda k, s, va: int(translation(k, s, va).pa is not None), SPACE, "1 if it is mapped"
    ),
    "leaf": Question(
        lambda k, s, va: translation(k, s, va).size, SPACE, "bytes that its entry maps"
    ),
    "level": Question(lambda k, s, va: translation(k, s, va).level or 0, SPACE, "level of it"),
    "entry": Question(_entry, SPACE, "the last descriptor of the walk"),
    "table": Question(_table, SPACE, "physical address of the table that holds it"),
    "index": Question(_index, SPACE, "its index in there"),
    "writable": Question(_writable, SPACE, "1 if the hardware lets it be written"),
    "contiguous": Question(
        lambda k, s, va: _attribute(k, s, va, "contiguous"), SPACE, "1 with the contiguous bit"
    ),
    "linux_entry": Question(
        lambda k, p, va: _linux_entry(p, va), ("process", "va"), "Linux's own entry of the page"
    ),
    "young": Question(
        lambda k, p, va: _linux_says(p, va, "young"), ("process", "va"), "1 if Linux has it young"
    ),
    "dirty": Question(
        lambda k, p, va: _linux_says(p, va, "dirty"), ("process", "va"), "1 if Linux has it dirty"
    ),
    "page_size": Question(lambda k: k.page_size, (), "bytes of a page"),
    "smallest_huge": Question(
        lambda k: min((pool.size for pool in k.user.user.pools), default=0),
        (),
        "bytes of the smallest huge pages (arm64: contiguous ones), 0 without any",
    ),
    "block_size": Question(
        lambda k: k.user.user.pmd_size, (), "bytes that a table of the last level maps, or a block"
    ),
    "asids": Question(lambda k: k.cpus.asids.count, (), "ASIDs that there are"),
    "free": Question(lambda k: k.pages.free, (), "free pages"),
    "refcount": Question(lambda k, pfn: k.pages.frames.refcount(pfn), ("pfn",), "references"),
    "mapcount": Question(
        lambda k, pfn: k.pages.frames.mapcount(pfn), ("pfn",), "entries that map the frame"
    ),
    "page_address": Question(
        lambda k, pfn: k.space.pkmap.page_address(pfn) or 0, ("pfn",), "linear or pkmap address"
    ),
    "kmap_count": Question(_kmap_count, ("pfn",), "count of its pkmap slot"),
    "first_hits": Question(lambda k: k.cpu.tlb.counts.first, (), "hits in the first-level TLB"),
    "main_hits": Question(lambda k: k.cpu.tlb.counts.main, (), "hits in the main TLB"),
    "walks": Question(lambda k: k.cpu.tlb.counts.walks, (), "table walks"),
    "reads": Question(lambda k: k.cpu.tlb.counts.reads, (), "descriptors read"),
    "reach": Question(lambda k: k.cpu.tlb.reach(), (), "bytes that the TLB now translates"),
    "rollovers": Question(lambda k: k.cpus.asids.rollovers, (), "ASID roll-overs"),
    "generation": Question(lambda k: k.cpus.asids.generation, (), "generation of ASIDs"),
    "vmalloc_seq": Question(
        lambda k: getattr(k.space.map, "vmalloc_seq", 0), (), "changes of vmalloc's entries (arm)"
    ),
    "lazy": Question(
        lambda k: len(k.space.vmalloc.areas.lazy), (), "vmalloc areas that wait for a purge"
    ),
    "violations": Question(
        lambda k: len(k.cpus.violations) + len(k.space.missing_syncs()),
        (),
        "what was found wrong with tables and TLBs",
    ),
}
