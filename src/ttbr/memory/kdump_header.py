"""The headers of kdump-compressed files, whatever the word size of the machine that wrote them.

Facts: IMPLEMENTATION and diskdump_mod.h of makedumpfile (disk_dump_header, kdump_sub_header),
header versions 1 to 6; QEMU writes version 6 with the packed 32-bit layout for 32-bit machines.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct

from ttbr.errors import InputError
from ttbr.memory.raw import Content

MAGIC = b"KDUMP   "
VERSIONS = range(1, 7)
MACHINE = re.compile(rb"(aarch64|arm64)|(arm)|unknown|$", re.IGNORECASE)  # QEMU says Unknown

VERSION_AT = 8
MACHINE_AT = 12 + 4 * 65  # utsname.machine: the fifth of six texts of 65 bytes
MACHINE_SIZE = 65
# status, block_size, sub_hdr_size, bitmap_blocks, max_mapnr, total_ram_blocks, device_blocks,
# written_blocks, current_cpu, nr_cpus: behind utsname and a timestamp, which may be 8 or 16 bytes
COMMON = Struct("<10I")
COMMON_AT = (424, 412)
PAGE_SIZES = tuple(1 << shift for shift in range(12, 17))

MOST_PAGES = 1 << 31  # 8 TiB of addresses with 4K pages, 128 TiB with 64K ones


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the fields of the sub-header are, and the word in which sizes are."""

    word: int
    start: int  # start_pfn and end_pfn, words
    vmcoreinfo: int  # offset, of 8 bytes; size, a word
    notes: int
    start_64: int  # start_pfn_64, end_pfn_64, max_mapnr_64, of 8 bytes each
    end: int


# 64 bit; 32 bit as the ARM ABI aligns (off_t at multiples of 8); 32 bit packed, as QEMU and i386.
LAYOUTS = (
    _Layout(word=8, start=16, vmcoreinfo=32, notes=48, start_64=80, end=104),
    _Layout(word=4, start=12, vmcoreinfo=24, notes=40, start_64=72, end=96),
    _Layout(word=4, start=12, vmcoreinfo=20, notes=32, start_64=56, end=80),
)


@dataclass(frozen=True, slots=True)
class KdumpHeader:
    """What a file says of itself; every offset and size was checked against the file.

    ``page_size`` in bytes; ``pages``: the number of page frames, from frame 0 on; ``first`` and
    ``end``: the frames that this file of a split set holds, the end not counted, which may be none
    (all without a set); ``bitmap``: the offset of the first bitmap, the second is ``bitmap_size``
    bytes behind it; ``descriptors``: the offset of the page descriptors; ``vmcoreinfo`` and
    ``notes``: offset and size, 0 without.
    """

    page_size: int
    pages: int
    first: int
    end: int
    bitmap: int
    bitmap_size: int
    descriptors: int
    vmcoreinfo: tuple[int, int]
    notes: tuple[int, int]


def read_header(content: Content) -> KdumpHeader:
    """The headers of a kdump file. `InputError` if they are damaged or of no Arm machine.

    At most `MOST_PAGES` frames, bitmaps inside of the file.
    """
    name = content.name
    version = int.from_bytes(content.stream[VERSION_AT : VERSION_AT + 4], "little")
    if version not in VERSIONS:
        raise InputError(f"{name}: kdump header of version {version}, not one of 1 to 6")
    machine = content.stream[MACHINE_AT : MACHINE_AT + MACHINE_SIZE].split(b"\0")[0]
    known = MACHINE.match(machine)
    if known is None:
        raise InputError(f"{name}: a dump of {machine!r}, not of an Arm machine")
    layouts = LAYOUTS[:1] if known[1] else LAYOUTS[1:] if known[2] else LAYOUTS
    best: KdumpHeader | None = None
    for candidate, agrees in _candidates(content, version, layouts):
        if agrees:
            return candidate
        best = best or candidate
    if best is None:
        raise InputError(f"{name}: damaged or truncated kdump header")
    return best


def _candidates(
    content: Content, version: int, layouts: Sequence[_Layout]
) -> Iterator[tuple[KdumpHeader, bool]]:
    """The headers by every layout that makes sense; and whether its two counts of pages agree."""
    for at in COMMON_AT:
        if at + COMMON.size > content.size:
            continue
        _, block, sub_blocks, bitmap_blocks, max_pages, *_ = COMMON.unpack_from(content.stream, at)
        sub = block
        bitmap = sub + sub_blocks * block
        descriptors = bitmap + bitmap_blocks * block
        if block not in PAGE_SIZES or not sub_blocks or descriptors > content.size:
            continue
        for layout in layouts:
            fields = _sub_header(content, sub, layout, version)
            first, end, pages, vmcoreinfo, notes = fields
            half = bitmap_blocks * block // 2
            wanted = pages or max_pages
            if not 0 < wanted <= min(half * 8, MOST_PAGES):
                continue
            if any(size and offset + size > content.size for offset, size in (vmcoreinfo, notes)):
                continue
            if end is None:
                end = wanted
            if not first <= end <= wanted:
                continue
            header = KdumpHeader(
                block, wanted, first, end, bitmap, half, descriptors, vmcoreinfo, notes
            )
            yield header, pages & 0xFFFFFFFF == max_pages


def _sub_header(
    content: Content, at: int, layout: _Layout, version: int
) -> tuple[int, int | None, int, tuple[int, int], tuple[int, int]]:
    """First frame and that behind the last (None: all), frames (0: not said), the two notes."""

    def number(offset: int, size: int) -> int:
        place = at + offset
        return int.from_bytes(content.stream[place : place + size], "little")

    def place(offset: int, since: int) -> tuple[int, int]:
        if version < since:
            return 0, 0
        return number(offset, 8), number(offset + 8, layout.word)

    split = version >= 2 and number(layout.word + 4, 4)
    first, end, pages = 0, None, 0
    if version >= 6:
        pages = number(layout.start_64 + 16, 8)
    if split and version >= 6:
        first, end = number(layout.start_64, 8), number(layout.start_64 + 8, 8)
    elif split:
        first, end = (number(layout.start + step, layout.word) for step in (0, layout.word))
    return first, end, pages, place(layout.vmcoreinfo, 3), place(layout.notes, 4)
