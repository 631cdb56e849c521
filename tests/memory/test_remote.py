"""URLs by fsspec: the same as local files; one line where that is not to be had."""

import sys

import pytest
from cores import Load, core

from ttbr.errors import InputError
from ttbr.memory.open import open_memory
from ttbr.memory.physical import Bank

fsspec = pytest.importorskip("fsspec", reason="fsspec is absent: URLs not tested")


@pytest.fixture
def stored():
    files = fsspec.filesystem("memory")
    files.pipe("/dir/core", core([Load(0x1000, b"core")]))
    files.pipe("/dir/raw", b"raw" * 100_000 + bytes(1 << 20) + b"end")
    yield
    files.rm("/dir", recursive=True)


def test_urls(stored, tmp_path):
    assert open_memory("memory://dir/core").memory.read(0x1000, 4) == b"core"
    memory = open_memory("memory://dir/raw@0x40000000,memory://dir/core").memory
    assert memory.banks == (Bank(0x1000, 4), Bank(0x40000000, 300_000 + (1 << 20) + 3))
    assert memory.read(0x40000000 + 300_000 + (1 << 20), 3) == b"end"
    banks = tmp_path / "banks.json"
    banks.write_text('[{"base": 16, "size": 3, "file": "raw"}]')
    assert open_memory(f"memory://dir/raw@{banks}").memory.read(16, 3) == b"raw"


def test_a_limit(stored):
    with pytest.raises(InputError, match="memory://dir/raw: unpacks to more than the limit of 99"):
        open_memory("memory://dir/raw@0", limit=99)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://dir/gone", "memory://dir/gone: cannot be read: "),
        ("nothing-known://x", "nothing-known://x: cannot be read: Protocol not known"),
        # The user's name in a URL is no base.
        ("nothing-known://me@host/x", "nothing-known://me@host/x: cannot be read: Protocol"),
        ("nothing-known://me@host/x@0x10", "nothing-known://me@host/x: cannot be read: Protocol"),
        ("memory://dir/raw", "for raw memory say where it starts"),
        ("memory://dir/raw@zz", "'zz' is not an address"),
    ],
)
def test_bad_urls(stored, url, words):
    with pytest.raises(InputError) as caught:
        open_memory(url)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"s3://bucket/x: URLs need the package fsspec: pip ins"):
        open_memory("s3://bucket/x@0")
