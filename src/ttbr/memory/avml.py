"""AVML version 2: ranges of physical memory as LiME has them, each packed by snappy's framing.

AVML leaves out blocks of 16 MiB that are all zeros and does not say so: an address in one is in
no bank. Behind the frames of a range stands their length, 8 bytes.
"""

from array import array
from collections.abc import Iterable, Iterator
from struct import Struct

import numpy as np
from cramjam import DecompressionError, snappy
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.memory.extents import merged
from ttbr.memory.lime import MOST_RANGES, Range, read_range
from ttbr.memory.packed import PackedMemory
from ttbr.memory.physical import Bank
from ttbr.memory.raw import Content

MAGIC = b"AVML"  # 0x4c4d5641
VERSION = 2
TRAILER = Struct("<Q")

# The snappy framing format: chunks of a type, 3 bytes of length, and that many bytes.
CHUNK_HEADER = 4
STREAM_START = b"\xff\x06\0\0sNaPpY"
COMPRESSED, STORED, FIRST_SKIPPED, IDENTIFIER = 0x00, 0x01, 0x80, 0xFF
CHECKSUM = 4
LARGEST = 1 << 16  # bytes that a chunk unpacks to, at most
LENGTH_BYTES = 3  # of a varint up to LARGEST
MOST_CHUNKS = 1 << 23  # 512 GiB of memory; the index takes 200 MiB


class _Chunks:
    """Where the chunks of a file are, and the memory in each; see `ttbr.memory.packed.Blocks`."""

    def __init__(self, content: Content) -> None:
        self._content = content
        bases, sizes, offsets, lengths = (array("Q") for _ in range(4))
        banks: list[Bank] = []
        at = 0
        while at < content.size:
            found = read_range(content, at, MAGIC, VERSION)
            if len(banks) == MOST_RANGES:
                raise InputError(f"{content.name}: more than {MOST_RANGES} ranges of memory")
            banks.append(Bank(found.base, found.size))
            for base, size, offset, end in _range_chunks(content, found):
                if len(bases) == MOST_CHUNKS:
                    raise InputError(f"{content.name}: more than {MOST_CHUNKS} snappy chunks")
                bases.append(base)
                sizes.append(size)
                offsets.append(offset)
                lengths.append(end - offset)
                at = end
            at = _behind(content, found, at)
        order = np.argsort(np.frombuffer(bases, np.uint64), kind="stable")
        self._bases = np.frombuffer(bases, np.uint64)[order]
        self._sizes = np.frombuffer(sizes, np.uint64)[order]
        self._offsets = np.frombuffer(offsets, np.uint64)[order]
        self._lengths = np.frombuffer(lengths, np.uint64)[order]
        self.banks = merged(sorted(banks))
        self.largest = LARGEST

    def find(
        self, pa: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Number, start and size of the chunk of each address, all of which are in a bank."""
        numbers = np.searchsorted(self._bases, pa, side="right") - 1
        return numbers, self._bases[numbers], self._sizes[numbers]

    def between(self, start: int, end: int) -> Iterable[tuple[int, int]]:
        """Number and start of the chunks with bytes in start…end-1; both are in one bank."""
        first = int(np.searchsorted(self._bases, np.uint64(start), side="right")) - 1
        behind = int(np.searchsorted(self._bases, np.uint64(end - 1), side="right"))
        return zip(range(first, behind), self._bases[first:behind].tolist(), strict=True)

    def unpack(self, number: int) -> NDArray[np.uint8]:
        """The bytes of a chunk, their checksum verified."""
        offset, length = int(self._offsets[number]), int(self._lengths[number])
        chunk = self._content.stream[offset : offset + length]
        try:
            data = bytes(snappy.decompress(STREAM_START + chunk))
        except DecompressionError as error:
            raise InputError(
                f"{self._content.name}: damaged: snappy chunk at {offset:#x}: {error}"
            ) from error
        if len(data) != self._sizes[number]:
            raise InputError(f"{self._content.name}: damaged: snappy chunk at {offset:#x}")
        return np.frombuffer(data, np.uint8)

    def written(self) -> list[Bank]:
        """All of the banks."""
        return self.banks


def read_avml(content: Content) -> PackedMemory:
    """The memory in a file; one pass over the headers of its chunks, of which none is unpacked.

    `InputError` if it is truncated, if a chunk claims more than 64 KiB, if ranges overlap, or if
    there are more than `MOST_RANGES` or `MOST_CHUNKS`.
    """
    chunks = _Chunks(content)
    return PackedMemory(chunks.banks, chunks)


def _range_chunks(content: Content, found: Range) -> Iterator[tuple[int, int, int, int]]:
    """Of every chunk with data: physical address, size of the data, offset and end in the file."""
    name = content.name
    at, done = found.offset, 0
    while done < found.size:
        if at + CHUNK_HEADER > content.size:
            raise InputError(
                f"{name}: truncated: the range at physical {found.base:#x} lacks "
                f"{found.size - done:#x} of its {found.size:#x} bytes"
            )
        kind = content.stream[at]
        length = int.from_bytes(content.stream[at + 1 : at + CHUNK_HEADER], "little")
        end = at + CHUNK_HEADER + length
        if end > content.size:
            raise InputError(f"{name}: truncated: snappy chunk at {at:#x} sticks out of the file")
        size = 0
        if kind == COMPRESSED:
            start = at + CHUNK_HEADER + CHECKSUM
            size = _varint(content.stream[start : min(end, start + LENGTH_BYTES)])
        elif kind == STORED:
            size = length - CHECKSUM
        elif kind < FIRST_SKIPPED:
            raise InputError(f"{name}: damaged: snappy chunk at {at:#x} of type {kind:#x}")
        if kind in (COMPRESSED, STORED):
            if not 0 < size <= min(LARGEST, found.size - done):
                raise InputError(f"{name}: damaged: snappy chunk at {at:#x} of {size} bytes")
            yield found.base + done, size, at, end
            done += size
        at = end


def _behind(content: Content, found: Range, end: int) -> int:
    """Where the next header is: behind the length of the frames, which must be right."""
    if end + TRAILER.size > content.size:
        raise InputError(f"{content.name}: truncated: a range without its length at {end:#x}")
    (length,) = TRAILER.unpack_from(content.stream, end)
    if length != end - found.offset:
        raise InputError(
            f"{content.name}: damaged: the frames at {found.offset:#x} have "
            f"{end - found.offset:#x} bytes, not {length:#x}"
        )
    return end + TRAILER.size


def _varint(data: bytes) -> int:
    """A little-endian number of 7 bits a byte; 0 if it does not end."""
    value = 0
    for place, byte in enumerate(data):
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value
    return 0
