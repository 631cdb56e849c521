"""The RAM of recordings, unpacked once for all test processes into sparse files that are mapped.

Unpacking two gigabytes anew for each file of tests took more time than the tests. The folder is
made and removed by the process that starts the others (conftest.py).
"""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path
from types import ModuleType

import zstandard

FOLDER = "TTBR_UNPACKED"  # the environment variable that tells the other processes
CHUNK = 1 << 20


def files(truth: ModuleType, case: str) -> dict[int, Path]:
    """A raw file of each bank of RAM after boot, by base address."""
    found = {}
    for bank in json.loads(truth.text(case, "ram.json")):
        packed = Path(truth.HERE) / case / bank["file"]
        raw = Path(os.environ[FOLDER]) / f"{case}-{bank['base']}.raw"
        if not raw.exists():
            mine = raw.with_name(f"{raw.name}.{os.getpid()}")
            _unpack(packed, mine)
            mine.replace(raw)  # another process may have done the same meanwhile
        found[int(bank["base"], 16)] = raw
    return found


def spec(truth: ModuleType, case: str) -> str:
    """The files as IMAGE."""
    return ",".join(f"{file}@{base:#x}" for base, file in files(truth, case).items())


def mapped(file: Path, *, changeable: bool = False) -> mmap.mmap:
    """A file's bytes; changes to them are this process's own and never reach the file."""
    access = mmap.ACCESS_COPY if changeable else mmap.ACCESS_READ
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=access)


def _unpack(packed: Path, raw: Path) -> None:
    """Zeros become holes."""
    zeros = bytes(CHUNK)
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    with packed.open("rb") as source, raw.open("wb") as target:
        reader = decompressor.stream_reader(source, read_across_frames=True)
        while chunk := reader.read(CHUNK):
            if chunk == zeros[: len(chunk)]:
                target.seek(len(chunk), os.SEEK_CUR)
            else:
                target.write(chunk)
        target.truncate(target.tell())
