"""kdump-compressed dumps, of makedumpfile and QEMU: each page packed by itself, found by bitmaps.

The first bitmap says which page frames are memory, the second which of them have a page descriptor,
in the order of the frames. What is memory without a descriptor was left out on purpose (zeros, or
what makedumpfile's dump level names) and reads as zeros. One of a split set holds its frames only.
"""

from collections.abc import Iterable, Iterator
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.memory.extents import merged
from ttbr.memory.kdump_header import KdumpHeader, read_header
from ttbr.memory.notes import Note, parse_notes
from ttbr.memory.packed import PackedMemory
from ttbr.memory.page_codecs import (
    Codec,
    Damaged,
    unpack_lzo,
    unpack_snappy,
    unpack_zlib,
    unpack_zstd,
)
from ttbr.memory.physical import Bank
from ttbr.memory.raw import Content

# page_desc: offset and size of the data, flags, page flags (diskdump_mod.h)
DESCRIPTOR = Struct("<QIIQ")
# DUMP_DH_COMPRESSED_*; the other flags (incomplete, excluded vmemmap) do not concern the data.
CODECS: dict[int, Codec] = {
    0x1: unpack_zlib,
    0x2: unpack_lzo,
    0x4: unpack_snappy,
    0x20: unpack_zstd,
}
PACKED = sum(CODECS)

VMCOREINFO = "VMCOREINFO"
NOTES_LIMIT = 16 << 20  # bytes of notes; a CPU has about 1 KiB

WORD = 64  # frames in a word of a bitmap
GROUP = 8  # words whose frames are counted together
CHUNK = 1 << 17  # words of a bitmap that are looked at at a time
EDGE = np.uint8(0)
# A machine has a few runs of memory. Damage makes more; each is a bank with its own Python object.
MOST_RUNS = 1 << 16


class _Pages:
    """The pages of a file; see `ttbr.memory.packed.Blocks`. Memory: 1/8 of a bitmap."""

    def __init__(self, content: Content, header: KdumpHeader) -> None:
        self._content = content
        self._header = header
        self._shift = header.page_size.bit_length() - 1
        self._held = _bitmap(content, header, 1)
        counts = [
            _ones(self._held[at : at + CHUNK]).reshape(-1, GROUP).sum(1, np.int64)
            for at in range(0, len(self._held), CHUNK)
        ]
        self._before = np.concatenate([np.zeros(1, np.int64), *counts]).cumsum()
        self.largest = header.page_size
        # The descriptors of a split file begin with the one of its own first frame.
        self._skipped = 0
        self._skipped = int(self._rank(np.array([header.first], np.uint64))[0])

    def _rank(self, frames: NDArray[np.uint64]) -> NDArray[np.int64]:
        """How many frames below each have a descriptor in this file."""
        words = (frames // np.uint64(WORD)).astype(np.int64)
        groups = words // GROUP
        rank = self._before[groups] - self._skipped
        for step in range(GROUP):
            place = groups * GROUP + step
            rank += np.where(place < words, _ones(self._held[place]), 0)
        below = (np.uint64(1) << frames % np.uint64(WORD)) - np.uint64(1)
        rank += _ones(self._held[words] & below)
        return rank

    def find(
        self, pa: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Number of the descriptor (or -1), start and size of the page of each address."""
        frames = pa >> np.uint64(self._shift)
        bits = self._held[frames // np.uint64(WORD)] >> frames % np.uint64(WORD)
        held = (bits & np.uint64(1)).astype(np.bool_)
        numbers = np.where(held, self._rank(frames), -1)
        starts = frames << np.uint64(self._shift)
        return numbers, starts, np.full(len(pa), self._header.page_size, np.uint64)

    def between(self, start: int, end: int) -> Iterable[tuple[int, int]]:
        """Number and address of the pages with bytes in start…end-1."""
        frames = np.arange(start >> self._shift, (end - 1 >> self._shift) + 1, dtype=np.uint64)
        starts = frames << np.uint64(self._shift)
        numbers = self.find(starts)[0]
        held = numbers >= 0
        return zip(numbers[held].tolist(), starts[held].tolist(), strict=True)

    def unpack(self, number: int) -> NDArray[np.uint8]:
        """The bytes of a page."""
        content, size = self._content, self._header.page_size
        at = self._header.descriptors + number * DESCRIPTOR.size
        if at + DESCRIPTOR.size > content.size:
            raise InputError(f"{content.name}: truncated: page descriptor {number} is missing")
        offset, packed, flags, _ = DESCRIPTOR.unpack_from(content.stream, at)
        if packed > size or offset + packed > content.size:
            raise InputError(
                f"{content.name}: damaged or truncated: page {number} has {packed:#x} bytes at "
                f"{offset:#x} of the file"
            )
        data = content.stream[offset : offset + packed]
        try:
            if flags & PACKED:
                codec = CODECS.get(flags & PACKED)
                if codec is None:
                    raise Damaged(f"flags {flags:#x}")
                data = codec(data, size)
            elif packed != size:
                raise Damaged(f"{packed} bytes instead of {size}")
        except Damaged as error:
            raise InputError(f"{content.name}: damaged: page {number}: {error}") from error
        return np.frombuffer(data, np.uint8)

    def written(self) -> list[Bank]:
        """The runs of groups of frames of which some have descriptors, in this file's banks."""
        size = GROUP * WORD << self._shift
        groups = np.flatnonzero(np.diff(self._before))
        cuts = np.flatnonzero(np.diff(groups) != 1) + 1
        runs = (
            Bank(int(run[0]) * size, len(run) * size) for run in np.split(groups, cuts) if len(run)
        )
        return list(_common(runs, self.banks()))

    def banks(self) -> list[Bank]:
        """The memory there is, in this file's part of it. `InputError` over `MOST_RUNS`."""
        words = _bitmap(self._content, self._header, 0)
        runs: list[Bank] = []
        for at in range(0, len(words), CHUNK):
            chunk = words[at : at + CHUNK] | self._held[at : at + CHUNK]
            for start, end in _runs(chunk):
                if len(runs) > MOST_RUNS:
                    raise InputError(
                        f"{self._content.name}: damaged: more than {MOST_RUNS} runs of memory"
                    )
                first = max(start + at * WORD, self._header.first)
                last = min(end + at * WORD, self._header.end)
                if first < last:
                    bank = Bank(first << self._shift, last - first << self._shift)
                    runs[-1:] = merged([*runs[-1:], bank])
        return runs


def read_kdump(content: Content) -> tuple[PackedMemory, list[Note]]:
    """The memory and the notes of a file. `InputError` if its headers are damaged or truncated.

    A damaged page is found when it is read.
    """
    header = read_header(content)
    pages = _Pages(content, header)
    banks = pages.banks()
    if not banks and header.first < header.end:
        raise InputError(f"{content.name}: the dump holds no memory")
    return PackedMemory(banks, pages), list(_notes(content, header))


def _notes(content: Content, header: KdumpHeader) -> Iterator[Note]:
    """The notes of the crashed kernel, and vmcoreinfo where only the header tells of it."""
    offset, size = header.notes
    notes = parse_notes(content.stream[offset : offset + min(size, NOTES_LIMIT)])
    yield from notes
    offset, size = header.vmcoreinfo
    if size and all(note.name != VMCOREINFO for note in notes):
        data = content.stream[offset : offset + min(size, NOTES_LIMIT)]
        yield Note(VMCOREINFO, 0, data)


def _bitmap(content: Content, header: KdumpHeader, number: int) -> NDArray[np.uint64]:
    """One of the two bitmaps as words, cut behind the last frame: not copied but for the end."""
    start = header.bitmap + number * header.bitmap_size
    stored = content.data[start : start + header.bitmap_size].view("<u8")
    whole, rest = divmod(header.pages, WORD)
    words = -(-(whole + 1) // GROUP) * GROUP
    if words <= len(stored) and not rest and not stored[whole:words].any():
        return stored[:words]
    cut = np.zeros(words, np.uint64)
    cut[: whole + 1][: len(stored)] = stored[: whole + 1]
    if rest or whole < len(stored):
        cut[whole] &= np.uint64((1 << rest) - 1)
    return cut


def _ones(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits are set in each word."""
    count = words - (words >> np.uint64(1) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    count = (count & pairs) + (count >> np.uint64(2) & pairs)
    count = count + (count >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    ones: NDArray[np.uint64] = count * np.uint64(0x0101010101010101) >> np.uint64(56)
    return ones.astype(np.int64)


def _runs(words: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """The runs of set bits: the first, and the one behind the last."""
    if not words.any():
        return
    if (words == ~np.uint64(0)).all():
        yield 0, len(words) * WORD
        return
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    edges = np.flatnonzero(np.diff(bits, prepend=EDGE, append=EDGE))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _common(runs: Iterable[Bank], banks: list[Bank]) -> Iterator[Bank]:
    """What is in both; each ascends."""
    place = 0
    for run in runs:
        while place < len(banks) and banks[place].end <= run.base:
            place += 1
        at = place
        while at < len(banks) and banks[at].base < run.end:
            start, end = max(run.base, banks[at].base), min(run.end, banks[at].end)
            yield Bank(start, end - start)
            at += 1
