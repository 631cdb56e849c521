"""What kernel is in an image that does not say so: found by what lies in memory.

First what the kernel wrote down itself (vmcoreinfo) is looked for; where its tables are where it
says, they need no search. Without it the tables are found by their structure.
"""

from dataclasses import replace
from itertools import islice

from ttbr.arch.regime import MissingRegister
from ttbr.errors import InputError
from ttbr.kernel.release import Release
from ttbr.memory.physical import PhysicalMemory
from ttbr.mmu.image import Image
from ttbr.recover.banner import find_banner
from ttbr.recover.facts_arm32 import arm_facts, matching
from ttbr.recover.facts_arm64 import arm64_facts
from ttbr.recover.finding import Finding, certain, likely
from ttbr.recover.frames import Frames
from ttbr.recover.identified import Identified
from ttbr.recover.kernel_map import KernelMap
from ttbr.recover.release import release_of
from ttbr.recover.roots_arm32 import ArmKernel, find_arm_kernels
from ttbr.recover.roots_arm64 import find_kernel_roots, noted_kernels
from ttbr.recover.table_pages import Progress, TablePages, find_table_pages
from ttbr.recover.user_roots import arm64_user_roots, arm_user_roots
from ttbr.recover.vmcoreinfo import VmcoreInfo, find_all

_MOST_NOTES = 16  # places with a vmcoreinfo that are looked at
_ARM_IMAGE = 128 << 20  # more bytes than any ARM kernel has from _text to _end


def with_registers(
    image: Image, *, user_roots: bool = False, progress: Progress | None = None
) -> tuple[Image, Identified | None]:
    """The image with registers to read its kernel's tables by, and where those come from.

    Registers that the image has stay as they are; where they suffice nothing is searched. The
    second value is None then, and where nothing is found.
    """
    try:
        image.address_space("kernel")
    except MissingRegister:
        found = identify(image.memory, noted(image), user_roots=user_roots, progress=progress)
        return (image if found is None else completed(image, found)), found
    except InputError:
        pass  # what is wrong with the registers is said where they are used
    return image, None


def with_kernel(
    image: Image, name: str, progress: Progress | None = None
) -> tuple[Image, Identified | None]:
    """As `with_registers`; `InputError` if there is nothing to read the image by.

    ``name``: what the image is called in the error.
    """
    image, found = with_registers(image, progress=progress)
    if found is None and not image.registers:
        raise InputError(
            f"{name}: no registers, and no kernel's tables were found in memory: give --registers"
        )
    return image, found


def noted(image: Image) -> VmcoreInfo | None:
    """The vmcoreinfo that came with an image."""
    return VmcoreInfo(image.facts.vmcoreinfo) if image.facts.vmcoreinfo else None


def completed(image: Image, found: Identified) -> Image:
    """The image with registers, roots and facts of ``found`` where it has none of its own."""
    facts = image.facts
    roots = {"swapper_pg_dir": found.swapper_pg_dir.value}
    if found.idmap_pg_dir is not None:
        roots["idmap_pg_dir"] = found.idmap_pg_dir.value
    page_offset = facts.page_offset
    if page_offset is None and found.page_offset is not None:
        page_offset = found.page_offset.value
    return replace(
        image,
        registers={**found.registers, **image.registers},
        facts=replace(
            facts,
            arch=facts.arch or found.arch.value,
            page_offset=page_offset,
            roots={**roots, **facts.roots},
        ),
    )


def identify(
    memory: PhysicalMemory,
    note: VmcoreInfo | None = None,
    *,
    user_roots: bool = False,
    progress: Progress | None = None,
) -> Identified | None:
    """Find the kernel in memory: its tables, layout and release; None if there is none.

    ``note``: the vmcoreinfo that came with the memory, if any. ``user_roots``: whether to look for
    the roots of processes, too. ``progress`` is told what goes on. Time and room are bounded by
    what was written of memory: a few passes over it, and walks of a few candidates.
    """
    say = progress or (lambda _: None)
    say("looking for vmcoreinfo")
    notes = [info for _, info in islice(find_all(memory), _MOST_NOTES)]
    notes = notes if note is None else [note, *notes]
    for info in notes:
        maps = noted_kernels(memory, info)
        if maps:
            pages = find_table_pages(memory, say) if user_roots else None
            return _arm64(memory, maps, info, pages)
    say("looking for tables of 32-bit ARM")
    kernels = find_arm_kernels(memory, Frames(memory))
    placed = bool(kernels) and kernels[0].placed
    if placed and any(info.arch == "arm" for info in notes):
        maps, pages = [], find_table_pages(memory, say) if user_roots else None
    else:
        pages = find_table_pages(memory, say)
        maps = find_kernel_roots(memory, pages, say)
    pages = pages if user_roots else None
    if maps and (not placed or maps[0].linear_bytes > kernels[0].linear_bytes):
        found = _arm64(memory, maps, None, pages)
        other = f"32-bit ARM at {kernels[0].swapper:#x}" if placed else ""
    elif kernels:
        found = _arm(memory, kernels, [info for info in notes if info.arch != "arm64"], pages)
        other = f"arm64 at {maps[0].candidate.swapper:#x}" if maps else ""
    else:
        return None
    return _beside(found, other) if other else found


def _beside(found: Identified, other: str) -> Identified:
    """The finding of the kernel whose tables map more RAM, which says that there are others."""
    arch = found.arch
    text = f"{arch.evidence}; there are tables of {other}, too, which map less RAM"
    return replace(found, arch=likely(arch.value, text))


def _arm64(
    memory: PhysicalMemory,
    maps: list[KernelMap],
    info: VmcoreInfo | None,
    pages: TablePages | None,
) -> Identified:
    """Findings about the first of ``maps``; with ``pages`` also the roots of processes."""
    banner = find_banner(memory, maps[0].image_pa)
    found = arm64_facts(maps, info, _release(banner, info))
    users = None if pages is None else arm64_user_roots(memory, pages, maps[0].candidate)
    return replace(found, user_roots=users, banner=banner, release=_named(banner, info))


def _arm(
    memory: PhysicalMemory,
    kernels: list[ArmKernel],
    notes: list[VmcoreInfo],
    pages: TablePages | None,
) -> Identified:
    """Findings about the best of ``kernels``; with ``pages`` also the roots of processes."""
    info = notes[0] if notes else None
    kernels = matching(kernels, info)
    start = kernels[0].swapper
    banner = find_banner(memory, (start, start + _ARM_IMAGE))
    found = arm_facts(kernels, info, _release(banner, info))
    if pages is not None:
        users, idmap = arm_user_roots(memory, pages, kernels)
        found = replace(found, user_roots=users, idmap_pg_dir=idmap)
    return replace(found, banner=banner, release=_named(banner, info))


def _release(banner: Finding[str] | None, info: VmcoreInfo | None) -> Release | None:
    """The release, with what a distribution's banner says of the sublevel."""
    if banner is not None:
        return release_of(banner.value)
    try:
        return None if info is None else Release.parse(info.release or "")
    except InputError:
        return None


def _named(banner: Finding[str] | None, info: VmcoreInfo | None) -> Finding[str] | None:
    """The release as the kernel spells it."""
    if info is not None and info.release is not None:
        return certain(info.release, "vmcoreinfo's OSRELEASE")
    release = None if banner is None else release_of(banner.value)
    if banner is None or release is None:
        return None
    return replace(banner, value=str(release))
