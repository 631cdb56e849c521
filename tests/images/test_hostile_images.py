"""Damaged images: an answer or one line, in 2 seconds and bounded memory, whatever was damaged.

Each file is cut at random places and has random bytes changed, with a fixed seed.
TTBR_HOSTILE=full does 1,000 cuts and 10,000 changed files of each; otherwise it is 50 and 200.
"""

import gzip
import lzma
import os
import random
import time
from pathlib import Path

import guest_memory
import pytest
import zstandard
from kdump_file import PACKERS, Kdump, flattened
from ranges import avml, lime

import targets

FULL = os.environ.get("TTBR_HOSTILE") == "full"
CUTS, CHANGES = (1000, 10_000) if FULL else (50, 200)
SLOWEST = 2.0  # seconds
MEMORY = 1 << 30
SEED = 20261121


def small_kdump(flags: int) -> bytes:
    tables = guest_memory.tables()
    pages = {at: tables[at * 4096 :][:4096] for at in range(len(tables) // 4096)}
    return Kdump(pages, {20, 21}, flags=flags, vmcoreinfo=b"OSRELEASE=6.1.0\n").build()


def dump(name: str) -> bytes:
    return lzma.decompress((guest_memory.DUMPS / f"{name}.xz").read_bytes())


def packed(name: str) -> bytes:
    return (guest_memory.DUMPS / f"{name}.xz").read_bytes()


TABLES = [(0x40000000, guest_memory.tables())]
FILES = {
    **{f"kdump-{flags:#x}": lambda flags=flags: small_kdump(flags) for flags in PACKERS},
    "kdump-flat": lambda: flattened(small_kdump(1), [4096, 9000]),
    "kdump-makedumpfile": lambda: dump("makedumpfile-zstd"),
    "kdump-split": lambda: dump("makedumpfile-split-1"),
    "flat-elf-makedumpfile": lambda: dump("makedumpfile-flat-elf"),
    **{
        f"qemu-{form}": lambda form=form: dump(f"qemu-arm-{form}")
        for form in ("elf", "kdump-zlib", "kdump-lzo", "kdump-snappy")
    },
    "elf-makedumpfile": lambda: dump("makedumpfile-elf"),
    "lime": lambda: lime(TABLES),
    "avml": lambda: avml(TABLES),
    "xz": lambda: packed("makedumpfile-lzo"),
    "gzip": lambda: gzip.compress(lime(TABLES)),
    "zstd": lambda: zstandard.compress(lime(TABLES)),
}


def damaged(data: bytes):
    """The file cut, and the file with 1 to 16 bytes changed; half of the changes hit headers."""
    chance = random.Random(SEED)
    for _ in range(CUTS):
        yield data[: chance.randrange(len(data))]
    for number in range(CHANGES):
        changed = bytearray(data)
        limit = len(data) if number % 2 else min(len(data), 8192)
        for _ in range(chance.randint(1, 16)):
            changed[chance.randrange(limit)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, number % 256])
        yield bytes(changed)


def resident(figure: str, *, reset: bool = False) -> int:
    """Bytes of this process in RAM: now (VmRSS) or at most (VmHWM) since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{figure}:")[1].split()[0]) << 10


@pytest.mark.parametrize("name", list(FILES))
def test_damaged(name, tmp_path, say):
    data = FILES[name]()
    path = tmp_path / "image"
    slowest, before = 0.0, resident("VmRSS", reset=True)
    for content in damaged(data):
        path.write_bytes(content)
        started = time.perf_counter()
        targets.read_image(str(path))
        slowest = max(slowest, time.perf_counter() - started)
    memory = resident("VmHWM") - before
    say(f"{name}: {CUTS} cuts, {CHANGES} changes; slowest {slowest:.2f} s, {memory >> 20} MiB more")
    assert slowest < SLOWEST
    assert memory < MEMORY
    if FULL:  # otherwise the process has run other tests, too, and has their memory
        assert resident("VmHWM") < MEMORY


@pytest.mark.parametrize("target", list(targets.TARGETS))
def test_targets_take_anything(target):
    """What the fuzzer does, for a moment."""
    chance = random.Random(SEED)
    for size in (0, 1, 7, 64, 4096, 20_000):
        targets.TARGETS[target](chance.randbytes(size))
    targets.TARGETS[target](guest_memory.tables())


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, zstandard.compress])
def test_bombs(pack, tmp_path):
    """Zeros take no disk, and more than the limit is refused on the way."""
    from ttbr.errors import InputError
    from ttbr.memory.open import open_memory

    (tmp_path / "bomb").write_bytes(pack(bytes(64 << 20)))
    started = time.perf_counter()
    with pytest.raises(InputError, match="unpacks to more than the limit of 1048576 bytes"):
        open_memory(f"{tmp_path / 'bomb'}@0", limit=1 << 20)
    assert time.perf_counter() - started < SLOWEST
