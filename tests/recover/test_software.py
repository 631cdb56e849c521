"""Pages that only Linux has: by its own entries, and never by what names no page."""

import pytest

from ttbr.arch.regime import make_regime
from ttbr.errors import InputError
from ttbr.kernel.linux_pte import LinuxEntries, linux_entries
from ttbr.kernel.release import Release
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.writer import TableWriter
from ttbr.recover.software import LinuxPage, linux_page

BASE = 0x4000_0000
PAGE = 0x1000
OLD, NEW = Release.parse("6.1.176"), Release.parse("6.12.117")
VA = 0x1234_5678


def page_at(
    name: str, linux: LinuxEntries, entry: int, hardware: int | None = None
) -> LinuxPage | None:
    """What Linux has at ``VA`` if its last-level entry is ``entry``."""
    regime = make_regime(name, va_bits=32 if name in ("lpae", "short") else 39)
    space = AddressSpace(regime, BASE, Ram([Bank(BASE, 1 << 20)]))
    writer = TableWriter(space.memory, regime.format.entry_size)
    table = BASE
    for level in regime.levels[:-1]:
        below = table + 0x8000 + (0x800 if name == "short" else 0)
        writer.write(
            table, VA >> level.shift & level.entries - 1, below | (1 if name == "short" else 3)
        )
        table = below
    index = VA >> 12 & regime.levels[-1].entries - 1
    if name == "short":
        writer.write(table, index, hardware or 0)
        writer.write(table - 0x800, index, entry)
    else:
        writer.write(table, index, entry)
    return linux_page(space, space.translate(VA), linux)


@pytest.mark.parametrize(
    ("name", "release", "entry", "reason"),
    [
        ("short", None, 0x8765_4000 | 0x4DD, "old"),  # present, not young
        ("short", None, 0x8765_4000 | 0xEDF, "PROT_NONE"),
        ("lpae", None, 0x2_8765_4000 | 0x702 | 1 << 57, "PROT_NONE"),
        ("arm64-4k", OLD, 0x2_8765_4000 | 0xF82 | 1 << 58, "PROT_NONE"),
        ("arm64-4k", NEW, 0x2_8765_4000 | 0xF82, "PROT_NONE"),
    ],
)
def test_present_for_linux_only(
    name: str, release: Release | None, entry: int, reason: str
) -> None:
    page = page_at(name, linux_entries(_format(name), release), entry)
    assert page is not None
    high = 0 if name == "short" else 0x2_0000_0000
    assert (page.pa, page.size, page.reason) == (high | 0x8765_4678, PAGE, reason)
    assert "present for Linux only" in str(page)


@pytest.mark.parametrize(
    ("name", "release", "entry"),
    [
        ("short", None, 0),
        ("short", None, 0x8765_4000 | 0x4DC),  # swapped out
        ("lpae", None, 0x8765_4000 | 0x700),
        ("arm64-4k", OLD, 0x8765_4000 | 0xF82),  # a swap entry before 6.10
        ("arm64-4k", NEW, 0x8765_4000 | 0x782 | 1 << 58),  # and since
    ],
)
def test_no_page(name: str, release: Release | None, entry: int) -> None:
    assert page_at(name, linux_entries(_format(name), release), entry) is None


def test_what_the_hardware_maps_is_not_asked_for() -> None:
    linux = linux_entries("short", None)
    assert page_at("short", linux, 0x8765_4000 | 0x4DF, hardware=0x8765_4000 | 0x47E) is None


def test_the_release_must_be_known() -> None:
    with pytest.raises(InputError, match="release"):
        linux_entries("vmsav8-64", None)


def _format(name: str) -> str:
    return "vmsav8-64" if name.startswith("arm64") else name
