"""The kernels of the recordings run processes: what they store is there, and TLBs agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest
from forward import predicted
from recorded import cases

from conftest import load_truth
from ttbr.arch.faults import Access
from ttbr.kernel.vm_flags import Madvise, Prot
from ttbr.run import run
from ttbr.run.cpu.abort import Abort
from ttbr.run.cpu.cores import TLBS
from ttbr.run.mm.thp import Enabled

CASES = cases(load_truth(), "samples.txt")
READ_WRITE = Prot.READ | Prot.WRITE


@pytest.mark.parametrize("case", CASES)
def test_processes_and_tlbs_agree(truth: ModuleType, case: str, say: Callable[[str], None]) -> None:
    wide = case.startswith("arm64")
    kernel = run(predicted(truth, case), tlbs=TLBS["Neoverse-N1" if wide else "Cortex-A15"])
    page, cpu = kernel.page_size, kernel.cpu
    settings = kernel.user.user.thp
    folded = kernel.kernel.config.get("ARM64_CONTPTE") == "y" and settings.smaller
    order = max(int(kernel.kernel.config.get("ARM64_CONT_PTE_SHIFT", "4")), 2)
    if settings.pmd_order:
        # Pages of 64 KiB or as near as there are, which kernels with CONTPTE map contiguously
        sizes = {order: Enabled.ALWAYS, settings.pmd_order: Enabled.NEVER}
        kernel.user.user.thp = replace(settings, sizes=sizes if settings.smaller else {})
    parent = kernel.spawn()
    pages = max(160, 3 << order if folded else 0)
    va = parent.mmap(pages * page)

    def word(process: int, index: int) -> bytes:
        return bytes([process, index % 251])

    for index in range(pages):
        parent.store(va + index * page, word(1, index))
    parent.load(va, 1)
    spans = {cached.leaf.span // cached.leaf.entry_bytes for cached in cpu.tlb.main}
    assert (max(spans) > 1) is folded
    child = parent.fork()
    for index in range(0, pages, 3):
        child.store(va + index * page, word(2, index))
    # In the middle of contiguous ranges, where the kernel makes such
    parent.munmap(va + 5 * page, page)
    parent.mprotect(va + 37 * page, 2 * page, Prot.READ)
    parent.mprotect(va + 37 * page, 2 * page, READ_WRITE)
    parent.madvise(va + 70 * page, page, Madvise.DONTNEED)
    for index in range(pages):
        if index not in (5, 70):
            assert parent.load(va + index * page, 2) == word(1, index)
        own = 2 if index % 3 == 0 else 1
        assert child.load(va + index * page, 2) == word(own, index)
    assert isinstance(cpu.translate(va + 5 * page, Access.EL0_READ), int)  # the child's
    parent.load(va, 1)
    assert isinstance(cpu.translate(va + 5 * page, Access.EL0_READ), Abort)
    child.exit()
    parent.exit()
    assert [str(found) for found in kernel.cpus.violations] == []
    counts = cpu.tlb.counts
    say(
        f"{case}: {counts.accesses} accesses, {counts.hit_rate:.0%} hits, "
        f"{counts.invalidated} entries invalidated, no violation"
    )
