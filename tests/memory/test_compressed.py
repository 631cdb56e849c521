"""zstd, gzip and xz: the same bytes, whatever they are packed in; bombs and damage in one line."""

import gzip
import lzma
import tempfile
import time

import pytest
import zstandard
from cores import Load, core
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.memory import compressed, spool
from ttbr.memory.open import open_memory

MIB = 1 << 20


def zstd(data: bytes, **parameters: int) -> bytes:
    if not parameters:
        return zstandard.ZstdCompressor().compress(data)
    chosen = zstandard.ZstdCompressionParameters.from_level(3, **parameters)
    packer = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
    return packer.compress(data) + packer.flush()


@pytest.fixture
def opened(tmp_path):
    def open_bytes(data: bytes, base: str = "@0x1000", **options):
        path = tmp_path / "ram"
        path.write_bytes(data)
        return open_memory(str(path) + base, **options).memory

    return open_bytes


DATA = b"some memory" * 5000 + bytes(300_000) + b"the end" + bytes(5)


@pytest.mark.parametrize(
    "packed",
    [
        zstd(DATA),
        zstd(DATA, window_log=27, enable_ldm=True),
        zstd(DATA, window_log=31),
        zstd(DATA, write_checksum=1),
        zstd(DATA[:1000]) + zstd(DATA[1000:90_000]) + zstd(b"") + zstd(DATA[90_000:]),
        zstd(DATA[:-1]) + b"\x50\x2a\x4d\x18\4\0\0\0skip" + zstd(DATA[-1:]),
        gzip.compress(DATA, mtime=0),
        gzip.compress(DATA[:100], mtime=0) + gzip.compress(DATA[100:], mtime=0),
        lzma.compress(DATA),
        lzma.compress(DATA, check=lzma.CHECK_SHA256, preset=9),
        lzma.compress(DATA[:100]) + bytes(8) + lzma.compress(DATA[100:]) + bytes(4),
        DATA,
    ],
    ids=[
        *("zstd", "long", "long31", "sum", "frames", "skippable", "gzip", "members"),
        *("xz", "sha256", "streams", "plain"),
    ],
)
def test_the_same_bytes(opened, packed):
    memory = opened(packed)
    assert memory.banks[0].size == len(DATA)
    assert memory.read(0x1000, len(DATA)) == DATA


@pytest.mark.parametrize("pack", [zstd, gzip.compress, lzma.compress])
def test_a_packed_core(opened, pack):
    assert opened(pack(core([Load(0x40000000, b"ram")])), "").read(0x40000000, 3) == b"ram"


@given(
    st.lists(st.sampled_from([b"", b"ab", bytes(70_000), b"\1" * 66_000])),
    st.sampled_from(["zstd", "gzip", "xz"]),
)
def test_frames_of_all_sizes(parts, kind):
    packers = {"zstd": zstd, "gzip": gzip.compress, "xz": lzma.compress}
    data = b"".join(parts)
    packed = b"".join(packers[kind](part) for part in parts) or packers[kind](b"")
    with tempfile.TemporaryFile() as file:
        file.write(packed)
        file.seek(0)
        with compressed.unpack("x", file) as unpacked:
            unpacked.seek(0)
            assert unpacked.read() == data


@pytest.mark.parametrize(
    "packed",
    [
        zstd(DATA)[:-1],
        zstd(DATA)[:30],
        zstd(DATA)[:6],
        zstd(DATA) + b"garbage",
        zstd(DATA) + zstd(DATA)[:9],
        zstd(DATA, write_checksum=1)[:-4] + b"abcd",
        gzip.compress(DATA, mtime=0)[:-1],
        gzip.compress(DATA, mtime=0)[:5],
        gzip.compress(DATA, mtime=0)[:-8] + bytes(8),
        gzip.compress(DATA, mtime=0) + b"garbage",
        b"\x1f\x8b" + bytes(40),
        lzma.compress(DATA)[:-1],
        lzma.compress(DATA)[:7],
        lzma.compress(DATA) + b"garbage",
        lzma.compress(DATA) + lzma.compress(DATA)[:9],
    ],
)
def test_damage(opened, packed):
    with pytest.raises(InputError, match=r"/ram: damaged or truncated: ") as caught:
        opened(packed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zstd", "gzip"])
def test_bombs(opened, kind):
    if kind == "zstd":
        packer = zstandard.ZstdCompressor().compressobj()
        data = b"".join(packer.compress(bytes(MIB)) for _ in range(2048)) + packer.flush()
    else:
        data = gzip.compress(bytes(64 * MIB)) * 32
    started = time.perf_counter()
    with pytest.raises(InputError, match="/ram: unpacks to more than the limit of 10485760 bytes"):
        opened(data, limit=10 * MIB)
    assert time.perf_counter() - started < 5


def test_the_limit_itself_is_allowed(opened):
    assert opened(zstd(bytes(MIB)), limit=MIB).banks[0].size == MIB
    with pytest.raises(InputError, match="more than the limit"):
        opened(zstd(bytes(MIB + 1)), limit=MIB)


def test_content_that_the_disk_has_no_room_for(opened, monkeypatch):
    monkeypatch.setattr(spool, "DISK_SHARE", 0)
    # Zeros need no room; anything else does.
    assert opened(zstd(bytes(MIB))).banks[0].size == MIB
    with pytest.raises(InputError, match=r"more than the 0 bytes of disk space in .*; set TMPDIR"):
        opened(zstd(DATA))


def test_no_temporary_folder(opened, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"cannot be unpacked in .*gone: No such file"):
        opened(zstd(DATA))


def test_zeros_take_no_disk(tmp_path):
    path = tmp_path / "zeros"
    path.write_bytes(zstd(bytes(64 * MIB) + b"\1"))
    with path.open("rb") as file, compressed.unpack("zeros", file) as unpacked:
        import os

        assert os.fstat(unpacked.fileno()).st_size == 64 * MIB + 1
        assert os.fstat(unpacked.fileno()).st_blocks * 512 < MIB
