"""The kernel's release out of memory."""

import pytest

from ttbr.kernel.release import Release
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.release import find_release, known_release
from ttbr.recover.search import PIECE, find

BASE = 0x4000_0000
BANNER = b"Linux version 6.12.117 (lab@lab) (gcc (Debian 12.2.0-14) 12.2.0) #2 SMP 2026-01-01\n\0"
DEBIAN = (
    b"Linux version 6.1.0-50-arm64 (debian-kernel@lists.debian.org) (gcc-12 (Debian "
    b"12.2.0-14+deb12u1) 12.2.0) #1 SMP Debian 6.1.176-1 (2026-07-02)\n"
)


def memory(*parts: tuple[int, bytes], size: int = 2 * PIECE) -> Ram:
    ram = Ram([Bank(BASE, size)])
    for offset, data in parts:
        ram.write(BASE + offset, data)
    return ram


@pytest.mark.parametrize(
    ("parts", "release", "text"),
    [
        ([(0x5000, BANNER)], (6, 12, 117), "6.12.117"),
        ([(0x5000, DEBIAN)], (6, 1, 176), "6.1.0-50-arm64"),
        ([(PIECE - 10, BANNER)], (6, 12, 117), "6.12.117"),
        ([(0, b"OSRELEASE=6.6.12-rc1+\nPAGESIZE=4096\n")], (6, 6, 12), "6.6.12-rc1+"),
        ([(0, b"OSRELEASE=5.10.1\n"), (0x100, BANNER)], (6, 12, 117), "6.12.117"),
        ([(0, b"Linux version %s\0"), (0x100, BANNER)], (6, 12, 117), "6.12.117"),
        ([(2 * PIECE - 20, b"OSRELEASE=6.1\n")], (6, 1, 0), "6.1"),
    ],
)
def test_found(parts: list[tuple[int, bytes]], release: tuple[int, int, int], text: str) -> None:
    found = find_release(memory(*parts))
    assert found is not None
    assert (found.major, found.minor, found.sublevel) == release
    assert found.text == text


@pytest.mark.parametrize(
    "data", [b"", b"Linux version ", b"Linux version six (", b"OSRELEASE=6.1", b"OSRELEASE=\n"]
)
def test_not_found(data: bytes) -> None:
    assert find_release(memory((0, data + b"\0"))) is None


def test_facts_come_first() -> None:
    image = Image(memory((0, BANNER)), {}, ImageFacts(release="6.1.176"))
    assert known_release(image) == Release(6, 1, 176)
    assert known_release(Image(memory((0, BANNER)))) == Release(6, 12, 117)


def test_search_finds_all_and_only_once() -> None:
    places = [0, 0x1FFD, PIECE - 3, PIECE, 2 * PIECE - 5]
    ram = memory(*((place, b"hello") for place in places if place != PIECE))
    ram.write(BASE + PIECE + 2, b"hello")
    want = [BASE + place for place in places if place != PIECE] + [BASE + PIECE + 2]
    assert list(find(ram, b"hello")) == sorted(want)
