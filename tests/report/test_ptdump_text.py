"""The kernel's dump, line by line, where no recording shows it."""

import pytest

from ttbr.arch.regime import make_regime
from ttbr.kernel.release import Release
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.writer import TableWriter
from ttbr.report.ptdump import ptdump

BASE = 0x4000_0000
PAGE = 0x1000
OLD, NEW = Release.parse("6.1.176"), Release.parse("6.12.117")
G64 = 64 << 10


def space_of(name: str, bits: int) -> tuple[AddressSpace, TableWriter]:
    regime = make_regime(name, va_bits=bits, upper=name.startswith("arm64"))
    ram = Ram([Bank(BASE, 4 << 20)])
    return AddressSpace(regime, BASE, ram), TableWriter(ram, regime.format.entry_size)


def lines(
    space: AddressSpace, markers: list[tuple[int, str]], release: Release | None
) -> list[str]:
    dump = ptdump(space, markers, release)
    assert dump.missing == ()
    return dump.text.splitlines()


@pytest.mark.parametrize(("release", "name"), [(OLD, "PGD"), (NEW, "PMD"), (None, "PMD")])
def test_a_block_in_a_root_that_is_the_pmd(release: Release | None, name: str) -> None:
    """64K pages and 42 bits have two levels; until 6.8 a block was said to be of the PGD."""
    space, writer = space_of("arm64-64k", 42)
    writer.write(BASE, 0, 0x0060_0000_0000_0701)
    first, second = lines(space, [], release)
    assert first == (
        "0xfffffc0000000000-0xfffffc0020000000         512M "
        f"{name}       RW NX SHD AF        BLK UXN    MEM/NORMAL"
    )
    assert second == "0xfffffc0020000000-0x0000000000000000     4193792M PGD"


def test_fewer_bits_than_the_kernel_was_built_for() -> None:
    """6.1 lists from PAGE_OFFSET of 52 bits on, though TTBR1 covers 48 of them."""
    space, writer = space_of("arm64-64k", 48)
    writer.write(BASE, 0, BASE + G64 | 3)
    markers = [(0xFFF0 << 48, "Linear Mapping start"), (0xFFFF_8000 << 32, "Linear Mapping end")]
    assert lines(space, markers, OLD)[:2] == [
        "---[ Linear Mapping start ]---",
        "0xfff0000000000000-0xffff000000000000        3840T PGD",
    ]
    assert lines(space, markers, NEW)[:2] == [
        "---[ Linear Mapping start ]---",
        "0xffff000000000000-0xffff040000000000           4T PMD",
    ]


def test_entries_that_are_not_valid() -> None:
    space, writer = space_of("arm64-4k", 39)
    writer.write(BASE, 0, BASE + PAGE | 3)
    writer.write(BASE + PAGE, 0, BASE + 2 * PAGE | 3)
    writer.write(BASE + PAGE, 1, 0x1000)  # nothing that Linux knows: no entry for the dump
    writer.write(BASE + PAGE, 2, 0x0060_0000_0000_0F00)  # present, but not valid
    writer.fill(BASE + 2 * PAGE, 0, 0x0068_0000_4000_0703, PAGE, 1)
    writer.fill(BASE + 2 * PAGE, 1, 0x0068_0000_4000_1702, PAGE, 1)
    got = lines(space, [], NEW)
    assert got[:3] == [
        "0xffffff8000000000-0xffffff8000001000           4K PTE       RW NX SHD AF            "
        "UXN    MEM/NORMAL",
        "0xffffff8000001000-0xffffff8000002000           4K PTE F     RW NX SHD AF            "
        "UXN    MEM/NORMAL",
        "0xffffff8000002000-0xffffff8000400000        4088K PTE",
    ]
    assert got[3] == (
        "0xffffff8000400000-0xffffff8000600000           2M PMD F     RW NX SHD AF NG     BLK "
        "UXN    MEM/NORMAL"
    )
    # Before 6.10 bit 58, not bit 11, says so: then this entry is none for the dump either.
    assert lines(space, [], OLD)[2] == ("0xffffff8000002000-0xffffff8000600000        6136K PTE")


def test_markers_at_one_address() -> None:
    """An entry brings two markers at most: a third waits for the next entry."""
    space, writer = space_of("arm64-4k", 39)
    writer.write(BASE, 0, BASE + PAGE | 3)
    base = space.regime.base
    markers = [(base, "A"), (base, "B"), (base, "C"), (base, "D"), ((1 << 64) - 1, "never")]
    assert lines(space, markers, NEW) == [
        "---[ A ]---",
        "---[ B ]---",
        f"{base:#x}-{base + (2 << 20):#x}           2M PMD",
        "---[ C ]---",
        "---[ D ]---",
        f"{base + (2 << 20):#x}-{base + (1 << 30):#x}        1022M PMD",
        f"{base + (1 << 30):#x}-0x0000000000000000         511G PGD",
    ]


def test_a_marker_within_an_entry_waits_for_the_next() -> None:
    space, _ = space_of("arm64-4k", 39)
    base, step = space.regime.base, 1 << 30
    markers = [(base, "A"), (base + 5 * step + 1, "B")]
    assert lines(space, markers, NEW) == [
        "---[ A ]---",
        f"{base:#x}-{base + 6 * step:#x}           6G PGD",
        "---[ B ]---",
        f"{base + 6 * step:#x}-0x0000000000000000         506G PGD",
    ]


def test_sections_in_pairs() -> None:
    """Linux looks at the second section of 2 MiB alone, and never at what follows the first."""
    space, writer = space_of("short", 32)
    writer.fill(BASE, 0xC00, BASE | 0x1141E, 1 << 20, 3)  # the fourth half is empty
    writer.write(BASE, 0xD01, BASE | 0x1940E | 2 << 5)
    writer.write(BASE, 0xE00, BASE | 0x00412)
    writer.write(BASE, 0xE01, BASE | 0x08412)
    got = lines(space, [(0xC000_0000, "Kernel Mapping"), (0xD000_0000, "vmalloc() Area")], None)
    assert got == [
        "---[ Kernel Mapping ]---",
        "0xc0000000-0xc0400000           4M PGD KERNEL      RW NX SHD",
        "---[ vmalloc() Area ]---",
        "0xd0100000-0xd0200000           1M PGD IO          ro x  SHD",
        "0xe0000000-0xe0100000           1M PGD KERNEL      RW NX    ",
        "0xe0100000-0xe0200000           1M PGD KERNEL      ro NX    ",
    ]


def test_linux_own_entries() -> None:
    space, writer = space_of("short", 32)
    table = BASE + 0x8000
    writer.write(BASE, 0xBF0, table + 0x800 | 0x11)
    writer.write(BASE, 0xBF1, table + 0xC00 | 0x11)
    writer.fill(table, 0x1FE, BASE | 0x45F, PAGE, 2)  # the last pages of the second MiB
    writer.write(BASE, 0xFFE, BASE + 0x9800 | 9 << 5 | 1)
    writer.write(BASE + 0x9000, 0, 0x7DF)
    assert lines(space, [(0xBF00_0000, "Modules")], None) == [
        "---[ Modules ]---",
        "0xbf1fe000-0xbf200000           8K PTE KERNEL      RW x  SHD MEM/CACHED/WBWA",
        "0xffe00000-0xffe01000           4K PTE unknown USR ro NX SHD MEM/CACHED/WBWA",
    ]


def test_tables_that_are_not_there() -> None:
    space, writer = space_of("short", 32)
    writer.write(BASE, 0xC00, 0x9000_0800 | 0x11)
    dump = ptdump(space, [], None)
    assert (dump.text, len(dump.missing)) == ("", 1)
    assert "1 tables lie outside memory" in dump.missing[0]
    outside = AddressSpace(make_regime("arm64-4k"), 0x1000, space.memory)
    assert "outside memory" in ptdump(outside, [], NEW).missing[0]
    nowhere = AddressSpace(make_regime("arm64-4k"), 1 << 50, space.memory)
    assert ptdump(nowhere, [(0, "A")], NEW).text == ""


def test_a_shared_table_is_one_line() -> None:
    """As in KASAN's shadow memory: what is not followed again looks as what was."""
    space, writer = space_of("arm64-4k", 48)
    for level in range(3):
        writer.fill(BASE + level * PAGE, 0, BASE + (level + 1) * PAGE | 3, 0, 512)
    writer.fill(BASE + 3 * PAGE, 0, 0x0060_0000_4000_0783, 0, 512)
    dump = ptdump(space, [], NEW)
    assert dump.text == (
        "0xffff000000000000-0x0000000000000000         256T PTE       ro NX SHD AF            "
        "UXN    MEM/NORMAL\n"
    )
    assert "not followed" in dump.missing[0]
