"""How dumps pack a page: each codec unpacks one page, and never more than one page."""

import threading
import zlib
from collections.abc import Callable

import zstandard
from cramjam import DecompressionError, snappy
from lzallright import LZOCompressor, LZOError

# lzallright is LZO1X under the MIT licence; python-lzo, the other binding, is under the GPL.
# LZO1X makes at most 255 bytes of one, and a packed page is no larger than a page: 16 MiB at most.
Codec = Callable[[bytes, int], bytes]

_OF_THREAD = threading.local()


class Damaged(Exception):
    """A packed page that cannot be unpacked."""


def unpack_zlib(data: bytes, size: int) -> bytes:
    """A zlib stream of ``size`` bytes."""
    try:
        return _exactly(zlib.decompressobj().decompress(data, size + 1), size)
    except zlib.error as error:
        raise Damaged(str(error)) from error


def unpack_lzo(data: bytes, size: int) -> bytes:
    """LZO1X data of ``size`` bytes."""
    try:
        return _exactly(LZOCompressor.decompress(data, size), size)
    except LZOError as error:
        # Its second argument may be the data themselves.
        raise Damaged(f"LZO: {str(error.args[0]).rpartition('.')[2]}") from error


def unpack_snappy(data: bytes, size: int) -> bytes:
    """Raw snappy data of ``size`` bytes."""
    page = bytearray(size)
    try:
        return _exactly(bytes(page[: snappy.decompress_raw_into(data, page)]), size)
    except DecompressionError as error:
        raise Damaged(str(error)) from error


def unpack_zstd(data: bytes, size: int) -> bytes:
    """A zstd frame of ``size`` bytes."""
    try:
        # A frame may claim any size of content, and memory for it would be taken at once.
        claimed = zstandard.frame_content_size(data)
        if claimed > size:
            raise Damaged(f"{claimed} bytes instead of {size}")
        page = _frames().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from error
    return _exactly(page, size)


def _frames() -> zstandard.ZstdDecompressor:
    """This thread's decompressor: to make one takes longer than to unpack a page."""
    try:
        frames: zstandard.ZstdDecompressor = _OF_THREAD.zstd
    except AttributeError:
        frames = _OF_THREAD.zstd = zstandard.ZstdDecompressor()
    return frames


def _exactly(page: bytes, size: int) -> bytes:
    if len(page) != size:
        more = "more" if len(page) > size else str(len(page))
        raise Damaged(f"{more} bytes instead of {size}")
    return page
