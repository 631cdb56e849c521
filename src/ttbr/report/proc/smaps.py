"""/proc/PID/smaps: each area with what of it is in memory, shared, dirty.

What struct page says of use beside the entries (PageReferenced) is not modelled; pages of tmpfs
count as dirty, as they are once they have content.

Source: fs/proc/task_mmu.c: smaps_account, smaps_page_accumulate, __show_smap, show_smap,
show_smap_vma_flags, smaps_hugetlb_range.
"""

from __future__ import annotations

from collections import Counter

from ttbr.kernel.vm_flags import Vm
from ttbr.report.proc.maps import header
from ttbr.report.proc.pages import Mapped, mapped
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.process import Process
from ttbr.run.mm.vma import Vma

KIB = 1 << 10
PSS_SHIFT = 12
UNSIGNED_LONG = (1 << 32) - 1
"""What fits into ``size << PSS_SHIFT`` of a 32-bit kernel."""
FIELDS = (
    *("Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty", "Private_Clean"),
    *("Private_Dirty", "Referenced", "Anonymous", "KSM", "LazyFree", "AnonHugePages"),
    *("ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss"),
    "Locked",
)
MNEMONICS = {
    **{Vm.READ: "rd", Vm.WRITE: "wr", Vm.EXEC: "ex", Vm.SHARED: "sh", Vm.MAYREAD: "mr"},
    **{Vm.MAYWRITE: "mw", Vm.MAYEXEC: "me", Vm.MAYSHARE: "ms", Vm.GROWSDOWN: "gd"},
    **{Vm.PFNMAP: "pf", Vm.IO: "io", Vm.DONTCOPY: "dc", Vm.DONTEXPAND: "de", Vm.ACCOUNT: "ac"},
    **{Vm.NORESERVE: "nr", Vm.HUGETLB: "ht", Vm.ARM64_BTI: "bt", Vm.WIPEONFORK: "wf"},
    **{Vm.DONTDUMP: "dd", Vm.HUGEPAGE: "hg", Vm.NOHUGEPAGE: "nh"},
}


def smaps(kernel: RunningKernel, process: Process) -> list[str]:
    """The file's lines. THPeligible is left out."""
    lines: list[str] = []
    ksm = kernel.kernel.release.has("smaps_ksm")
    for area in process.mm.vmas:
        lines.append(header(kernel, process, area))
        block = area.pool.size if area.pool is not None else kernel.page_size
        figures = {"Size": area.size, "KernelPageSize": block, "MMUPageSize": block}
        figures.update(_figures(process, area))
        for name, value in figures.items():
            if name != "KSM" or ksm:
                lines.append(f"{name + ':':15} {value // KIB:8d} kB")
        lines.append("VmFlags: " + "".join(f"{m} " for f, m in MNEMONICS.items() if area.flags & f))
    return lines


def _figures(process: Process, area: Vma) -> dict[str, int]:
    found: Counter[str] = Counter()
    pss = pss_dirty = 0
    page = process.mm.user.page_size
    for each in mapped(process.mm, area):
        if area.pool is not None:
            shared = each.users > 1
            found["Shared_Hugetlb" if shared else "Private_Hugetlb"] += each.size
            continue
        if not each.counted:
            continue
        dirty = each.dirty or _is_tmpfs(area, each)
        side = "Shared" if each.users > 1 else "Private"
        found[f"{side}_{'Dirty' if dirty else 'Clean'}"] += each.size
        found["Rss"] += each.size
        found["Referenced"] += each.size if each.young else 0
        found["Anonymous"] += each.size if each.anonymous else 0
        found["AnonHugePages"] += each.size if each.anonymous and each.size > page else 0
        share = (each.size << PSS_SHIFT) // each.users
        if process.mm.user.arm and each.users == 1:
            share &= UNSIGNED_LONG  # a huge page of 2 MiB adds nothing to Pss there
        pss += share
        pss_dirty += share if dirty else 0
    found["Pss"], found["Pss_Dirty"] = pss >> PSS_SHIFT, pss_dirty >> PSS_SHIFT
    return {name: found[name] for name in FIELDS}


def _is_tmpfs(area: Vma, each: Mapped) -> bool:
    return area.file is not None and not area.file.tracks_dirty and not each.anonymous
