"""What a kernel has in its own image: its types (BTF) and its configuration (IKCONFIG)."""

import zlib

from ttbr.errors import InputError
from ttbr.kernel.btf import LARGEST, MAGIC, Btf, btf_size
from ttbr.kernel.config import Config
from ttbr.memory.physical import PhysicalMemory

# kernel/configs.c: kernel_config_data
_CONFIG_START, _CONFIG_END = b"IKCFG_ST", b"IKCFG_ED"
_GZIP = 31  # zlib's window bits for gzip
_CONFIG_LIMIT = 16 << 20
_MOST_PLACES = 4096


def image_bytes(memory: PhysicalMemory, start: int, end: int) -> bytes:
    """The physical memory in [``start``, ``end``) as far as the bank of ``start`` goes."""
    for bank in memory.banks:
        if bank.base <= start < bank.end:
            return memory.read(start, min(end, bank.end) - start)
    return b""


def find_btf(image: bytes, word: int, at: int) -> Btf | None:
    """The kernel's BTF in the bytes of its image, which begins at the physical address ``at``.

    Its own describes the tasks; other pieces, of modules, only add to it.
    """
    place = image.find(MAGIC)
    for _ in range(_MOST_PLACES):
        if place < 0:
            break
        size = btf_size(image[place : place + 32])
        if size is not None and size <= min(LARGEST, len(image) - place):
            found = Btf(image[place : place + size], word, f"BTF at {at + place:#x}")
            if "task_struct" in found:
                return found
        place = image.find(MAGIC, place + 1)
    return None


def find_config(image: bytes) -> tuple[Config, str] | None:
    """The configuration that is built into a kernel's image, and its text; None without one."""
    place = image.find(_CONFIG_START)
    for _ in range(_MOST_PLACES):
        if place < 0:
            break
        text = _unpacked(image, place + len(_CONFIG_START))
        if text is not None:
            try:
                return Config.from_text(text), text
            except InputError:
                pass
        place = image.find(_CONFIG_START, place + 1)
    return None


def _unpacked(image: bytes, at: int) -> str | None:
    unpack = zlib.decompressobj(_GZIP)
    try:
        data = unpack.decompress(image[at : at + _CONFIG_LIMIT], _CONFIG_LIMIT)
    except zlib.error:
        return None
    if not unpack.eof or not unpack.unused_data.startswith(_CONFIG_END):
        return None
    return data.decode("utf-8", "replace")
