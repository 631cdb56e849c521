"""What only Linux has at an address: pages by its own entries, swap, and what moves."""

import pytest

from ttbr.arch.regime import make_regime
from ttbr.errors import InputError
from ttbr.kernel.release import Release
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.writer import TableWriter
from ttbr.recover.linux_reading import LinuxReader
from ttbr.recover.software import LinuxEntry, linux_entry

BASE = 0x4000_0000
PAGE = 0x1000
OLD, NEW = Release.parse("6.1.176"), Release.parse("6.12.117")
VA = 0x1234_5678


def entry_at(
    name: str,
    release: Release | None,
    entry: int,
    *,
    hardware: int | None = None,
    level: int | None = None,
) -> LinuxEntry | None:
    """What Linux has at ``VA`` if its entry of the last (or another) level is ``entry``."""
    regime = make_regime(name, va_bits=32 if name in ("lpae", "short") else 39)
    space = AddressSpace(regime, BASE, Ram([Bank(BASE, 1 << 20)]))
    writer = TableWriter(space.memory, regime.format.entry_size)  # type: ignore[arg-type]  # a Ram
    table = BASE
    for step in regime.levels:
        index = VA >> step.shift & step.entries - 1
        if step.number == (level or regime.format.last_level):
            break
        below = table + 0x8000 + (0x800 if name == "short" else 0)
        writer.write(table, index, below | (1 if name == "short" else 3))
        table = below
    if name == "short":
        writer.write(table, index, hardware or 0)
        writer.write(table - 0x800, index, entry)
    else:
        writer.write(table, index, entry)
    return linux_entry(space, space.translate(VA), LinuxReader(regime, release))


@pytest.mark.parametrize(
    ("name", "release", "entry", "kind"),
    [
        ("short", None, 0x8765_4000 | 0x4DD, "old"),  # present, not young
        ("short", None, 0x8765_4000 | 0xEDF, "PROT_NONE"),
        ("lpae", None, 0x2_8765_4000 | 0x702 | 1 << 57, "PROT_NONE"),
        ("arm64-4k", OLD, 0x2_8765_4000 | 0xF82 | 1 << 58, "PROT_NONE"),
        ("arm64-4k", NEW, 0x2_8765_4000 | 0xF82 | 1 << 54, "PROT_NONE"),
        ("arm64-4k", NEW, 0x2_8765_4000 | 0xFC2 | 1 << 54, "invalidated"),  # for the user
    ],
)
def test_present_for_linux_only(name: str, release: Release | None, entry: int, kind: str) -> None:
    page = entry_at(name, release, entry)
    assert page is not None
    high = 0 if name == "short" else 0x2_0000_0000
    assert (page.pa, page.size, page.kind) == (high | 0x8765_4678, PAGE, kind)
    assert page.present
    assert "present for Linux only" in str(page)


@pytest.mark.parametrize(
    ("name", "release", "entry", "kind", "swap"),
    [
        # type 3, offset 0x12345: each layout has them in other bits
        ("arm64-4k", OLD, 0x12345 << 8 | 3 << 3, "swap", (3, 0x12345)),
        ("arm64-4k", NEW, 0x12345 << 12 | 3 << 6, "swap", (3, 0x12345)),
        ("lpae", OLD, 0x12345 << 7 | 3 << 2, "swap", (3, 0x12345)),
        ("lpae", NEW, 0x12345 << 8 | 3 << 2, "swap", (3, 0x12345)),
        ("short", OLD, 0x12345 << 7 | 3 << 2, "swap", (3, 0x12345)),
        ("short", NEW, 0x12345 << 8 | 3 << 2, "swap", (3, 0x12345)),
        ("arm64-4k", NEW, 1 << 12 | 31 << 6, "marker", (31, 1)),
        ("arm64-4k", OLD, 1 << 8 | 31 << 3, "swapin-error", (31, 1)),
    ],
)
def test_swap_entries(
    name: str, release: Release, entry: int, kind: str, swap: tuple[int, int]
) -> None:
    found = entry_at(name, release, entry)
    assert found is not None
    assert (found.kind, found.swap_type, found.swap_offset) == (kind, *swap)
    assert found.pa is None
    assert not found.present
    assert "offset" in str(found)


@pytest.mark.parametrize(
    ("name", "release", "entry"),
    [
        ("arm64-4k", NEW, 0x87654 << 12 | 30 << 6),
        ("arm64-4k", NEW, (0x87654 | 1 << 49) << 12 | 30 << 6),  # with flags above the frame
        ("arm64-4k", OLD, 0x87654 << 8 | 30 << 3),
        ("short", NEW, 0x87654 << 8 | 30 << 2),
        ("lpae", OLD, 0x87654 << 7 | 30 << 2),
    ],
)
def test_migration_entries_name_a_page(name: str, release: Release, entry: int) -> None:
    found = entry_at(name, release, entry)
    assert found is not None
    assert (found.kind, found.pa, found.present) == ("migration-write", 0x8765_4678, False)
    assert "migration-write entry for Linux: 0x87654678" in str(found)


@pytest.mark.parametrize(
    ("release", "entry", "kind"),
    [
        (OLD, 0x2_8760_0000 | 0xF80 | 1 << 58, "PROT_NONE"),
        (OLD, 0x2_8760_0000 | 0xFC0 | 1 << 59, "invalidated"),
        (NEW, 0x2_8760_0000 | 0xF80 | 1 << 54, "PROT_NONE"),
    ],
)
def test_huge_pages(release: Release, entry: int, kind: str) -> None:
    page = entry_at("arm64-4k", release, entry, level=2)
    assert page is not None
    assert (page.pa, page.size, page.kind) == (0x2_8760_0000 | VA & 0x1F_FFFF, 1 << 21, kind)


def test_a_huge_page_that_moves() -> None:
    page = entry_at("arm64-4k", NEW, 0x87600 << 12 | 28 << 6, level=2)
    assert page is not None
    assert (page.pa, page.kind) == (0x8760_0000 | VA & 0x1F_FFFF, "migration-read")


def test_flags() -> None:
    page = entry_at("arm64-4k", NEW, 0x8765_4000 | 0xF82 | 1 << 54 | 1 << 55 | 1 << 56 | 1 << 58)
    assert page is not None
    assert page.flags == ("young", "dirty", "special", "uffd-wp")
    page = entry_at("short", NEW, 0x8765_4000 | 0x45D)
    assert page is not None
    assert page.flags == ("dirty", "write")
    page = entry_at("arm64-4k", NEW, 5 << 12 | 0b1100)
    assert page is not None
    assert page.flags == ("uffd-wp", "exclusive")


@pytest.mark.parametrize("name", ["short", "lpae", "arm64-4k"])
def test_nothing(name: str) -> None:
    assert entry_at(name, NEW, 0) is None


def test_without_a_release_swap_is_known_as_such() -> None:
    found = entry_at("short", None, 0x8765_4000 | 0x4DC)
    assert found is not None
    assert (found.kind, found.swap_type, found.pa) == ("not present", None, None)
    assert "not present for Linux" in str(found)


def test_what_the_hardware_maps_is_not_asked_for() -> None:
    assert entry_at("short", NEW, 0x8765_4000 | 0x4DF, hardware=0x8765_4000 | 0x47E) is None


def test_the_release_must_be_known() -> None:
    with pytest.raises(InputError, match="release"):
        LinuxReader(make_regime("arm64-4k"), None)


@pytest.mark.parametrize("name", ["arm64-4k-stage2", "arm64-4k-el2"])
def test_tables_that_are_not_linuxs(name: str) -> None:
    with pytest.raises(InputError, match="Linux has no"):
        LinuxReader(make_regime(name), NEW)
