"""Boots through UEFI: what the firmware's map and tables make of memory, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path

import arm64_kernels as made
import pytest
from arm64_kernels import M
from hypothesis import given
from hypothesis import strategies as st

from device_trees import blob, cells
from ttbr.boot.board import Board
from ttbr.boot.boot import boot
from ttbr.boot.efi import Descriptor, Firmware, read_firmware
from ttbr.boot.efi.boot_log import firmware_in
from ttbr.boot.efi.memory_map import ATTRIBUTES, TYPES, decode_map, parse_attribute, parse_type
from ttbr.boot.loader import custom
from ttbr.boot.machine import Machine
from ttbr.errors import InputError

WB, WC, UC = (1 << ATTRIBUTES[name] for name in ("WB", "WC", "UC"))
RUN, SP, MR = (1 << ATTRIBUTES[name] for name in ("RUN", "SP", "MR"))
KINDS = {name: number for number, name in enumerate(TYPES)}
RAM = 0x4000_0000
TREE = made.tree([(RAM, 64 * M)])


def entry(kind: str, phys: int, size: int, attribute: int = WB) -> Descriptor:
    return Descriptor(KINDS[kind], phys, size // 4096, attribute)


MAIN = entry("Conventional", RAM, 512 * M)


def run(
    *entries: Descriptor,
    release: str = "6.12.117",
    cut: tuple[int, int] = (12, 48),
    tree: bytes = TREE,
    stop: str | None = "memblock",
    initrd: tuple[int, int] | None = None,
    memmap: int | None = RAM + 256 * M + 64,
    tables: dict[str, tuple[tuple[int, int], ...]] | None = None,
    **options: str,
) -> Machine:
    kernel = made.kernel(release, *cut, **{"EFI": "y", **options})
    firmware = Firmware(entries, memmap=memmap, tables=tables or {})
    board = Board.from_dtb(tree, firmware=firmware)
    placement = custom(board, RAM + 2 * M, RAM + 128 * M, initrd)
    return boot(board, kernel, placement, cpu=made.PLAIN, stop=stop).machine


def memory(machine: Machine) -> list[tuple[int, int, str]]:
    return [(r.base, r.end, r.flags.name) for r in machine.memblock.memory.list]


def reserved(machine: Machine, base: int, size: int) -> bool:
    return machine.memblock.is_region_reserved(base, size)


def test_the_map_replaces_the_trees_memory() -> None:
    machine = run(MAIN, entry("MMIO", 0x400_0000, 64 * M, RUN | WC), entry("MMIO", 0, 4096, UC))
    assert memory(machine) == [
        (0x400_0000, 0x800_0000, "NOMAP"),
        (RAM, RAM + 512 * M, "NONE"),
    ]
    # The first region counts for the linear map's beginning, NOMAP or not.
    assert machine.arch_state.memstart == 0
    assert [str(bank) for bank in machine.board.ram] == ["0x40000000-0x5fffffff"]
    assert reserved(machine, RAM + 256 * M, 4096)


@pytest.mark.parametrize(
    ("kind", "attribute", "flags"),
    [
        *((kind, WB, "NONE") for kind in ("Loader Code", "Boot Data", "ACPI Reclaim")),
        *((kind, WB, "NOMAP") for kind in ("Runtime Data", "Reserved", "ACPI Mem NVS", "PAL Code")),
        ("Persistent", WB, "NONE"),
        ("Conventional", WC, "NOMAP"),
        ("Conventional", UC, None),
    ],
)
def test_types_and_attributes(kind: str, attribute: int, flags: str | None) -> None:
    at = RAM + 1024 * M
    machine = run(MAIN, entry(kind, at, 4 * M, attribute))
    found = [row for row in memory(machine) if row[0] == at]
    assert found == ([] if flags is None else [(at, at + 4 * M, flags)])
    assert reserved(machine, at, 4096) == (kind == "ACPI Reclaim")


@pytest.mark.parametrize("first", [True, False])
def test_larger_pages_are_rounded_outwards(first: bool) -> None:
    """A page that a kernel of 64K shares between run-time services and RAM is not mapped."""
    cut = RAM + 64 * M + 0x3000
    services = entry("Runtime Data", cut, 0x2000, RUN | WB)
    others = [
        entry("Conventional", RAM, 64 * M + 0x3000),
        entry("Conventional", cut + 0x2000, 256 * M - 0x5000),
    ]
    machine = run(*([services, *others] if first else [*others, services]), cut=(16, 42))
    page = RAM + 64 * M
    assert memory(machine) == [
        (RAM, page, "NONE"),
        (page, page + 0x1_0000, "NOMAP"),
        (page + 0x1_0000, RAM + 320 * M, "NONE"),
    ]


@pytest.mark.parametrize(
    ("line", "options", "there"),
    [
        ("nokaslr", {}, True),
        ("nokaslr", {"EFI_SOFT_RESERVE": "y"}, False),
        ("nokaslr efi=debug,nosoftreserve", {"EFI_SOFT_RESERVE": "y"}, True),
    ],
)
def test_special_purpose_memory(line: str, options: dict[str, str], there: bool) -> None:
    at = RAM + 1024 * M
    tree = made.tree([(RAM, 64 * M)], line)
    machine = run(MAIN, entry("Conventional", at, M, WB | SP), tree=tree, **options)
    assert (at in [row[0] for row in memory(machine)]) == there


def test_tables_and_their_order() -> None:
    boot_data, nvs = RAM + 1024 * M, RAM + 2048 * M
    tables = {
        "MOKvar": ((boot_data + 0x2000, 100),),
        "ESRT": ((boot_data + 0x1000, 80),),
        "MEMRESERVE": ((boot_data, 16), (boot_data + 0x5000, 0x1000)),
        "TPMFinalLog": ((nvs, 8),),
        "TPMEventLog": ((boot_data + 0x3000, 77),),
        "MEMATTR": ((boot_data + 0x4000, 64),),
        "framebuffer": ((RAM + 300 * M, M),),
    }
    entries = [MAIN, entry("Boot Data", boot_data, M), entry("ACPI Mem NVS", nvs, M)]
    machine = run(*entries, tables=tables, LOAD_UEFI_KEYS="y", SYSFB="y")
    calls = [
        (e.function, e.start)
        for e in machine.log
        if e.kind == "memblock_reserve" and e.function.startswith("efi")
    ]
    assert calls == [
        ("efi_memattr_init", boot_data + 0x4000),
        ("efi_tpm_eventlog_init", boot_data + 0x3000),
        ("efi_tpm_eventlog_init", nvs),
        ("efi_config_parse_tables", boot_data),
        ("efi_config_parse_tables", boot_data + 0x5000),
        ("efi_mem_reserve", boot_data + 0x1000),
        ("efi_mem_reserve", boot_data + 0x2000),
        ("efi_init", RAM + 256 * M),
    ]
    assert (RAM + 300 * M, RAM + 301 * M, "NOMAP") in memory(machine)


def test_who_does_not_look_at_what() -> None:
    """No final log without a log; no MOK and no frame buffer unless the kernel has use for it."""
    tables = {
        "TPMFinalLog": ((RAM + 400 * M, 8),),
        "MOKvar": ((RAM + 401 * M, 8),),
        "ESRT": ((RAM + 402 * M, 8),),  # in memory that is no boot service's
        "framebuffer": ((RAM + 300 * M, M),),
    }
    machine = run(MAIN, tables=tables)
    assert not any(reserved(machine, RAM + (400 + n) * M, 8) for n in range(3))
    assert [m.text for m in machine.log.messages][-1:] == [
        "esrt: ESRT header is not in the memory map."
    ]
    assert len(memory(machine)) == 1
    old = run(MAIN, tables=tables, release="6.1.192")
    assert (RAM + 300 * M, RAM + 301 * M, "NOMAP") in memory(old)


def test_the_initrd_comes_by_a_table_not_by_the_tree() -> None:
    machine = run(MAIN, initrd=(RAM + 300 * M + 5, 4096))
    assert machine.initrd == (RAM + 300 * M + 5, 4096)
    assert reserved(machine, RAM + 300 * M + 0x1FFF, 1)
    assert machine.tree.find("/chosen").prop("linux,initrd-start") is None
    read = run(MAIN, tables={"INITRD": ((RAM + 310 * M, 10),)})
    assert read.initrd == (RAM + 310 * M, 10)


def test_what_is_not_known_is_said() -> None:
    assert any("map lies is not known" in line for line in run(MAIN, memmap=None).unknowns)
    assert not any("map lies" in line for line in run(MAIN).unknowns)


def test_a_stubs_tree_without_a_map_is_refused() -> None:
    names = ("system-table", "mmap-start", "mmap-size", "mmap-desc-size", "mmap-desc-ver")
    found = {f"linux,uefi-{name}": bytes([1] * 8) for name in (*names, "secure-boot")}
    tree = made.tree([(RAM, 512 * M)], **found)
    with pytest.raises(InputError, match="--efi-memmap"):
        made.run(made.kernel("6.12.117", 12, 48, EFI="y"), tree)
    # A kernel without EFI, no system table, or a lack of a property make it an ordinary boot.
    made.run(made.kernel("6.12.117", 12, 48), tree, stop="fixmap")
    none = made.tree([(RAM, 512 * M)], **{**found, "linux,uefi-system-table": bytes(8)})
    made.run(made.kernel("6.12.117", 12, 48, EFI="y"), none, stop="fixmap")
    del found["linux,uefi-secure-boot"]
    machine = made.run(
        made.kernel("6.12.117", 12, 48, EFI="y"), made.tree([(RAM, 512 * M)], **found)
    )
    assert "efi: Can't find property 'linux,uefi-secure-boot' in DT!" in [
        message.text for message in machine.log.messages
    ]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="said twice"):
        Board.from_dtb(TREE, [(RAM, M)], firmware=Firmware((MAIN,)))
    with pytest.raises(InputError, match="no memory that Linux could use"):
        Firmware((entry("MMIO", RAM, M),))
    with pytest.raises(InputError, match="no CONFIG_EFI"):
        run(MAIN, EFI="n")
    mirrored = entry("Conventional", RAM + 1024 * M, M, WB | MR)
    with pytest.raises(InputError, match="kernelcore=mirror"):
        run(MAIN, mirrored, tree=made.tree([(RAM, M)], "nokaslr kernelcore=mirror"))
    run(MAIN, mirrored)
    with pytest.raises(Exception, match="Unable to map EFI memory map"):
        run(*[MAIN] * 5462)


U64 = st.integers(0, (1 << 64) - 1)
descriptors = st.builds(Descriptor, st.integers(0, 0xFFFF_FFFF), U64, U64, U64, U64)


@given(st.lists(descriptors, min_size=1, max_size=5), st.sampled_from([40, 48, 64]))
def test_descriptors_come_back(found: list[Descriptor], stride: int) -> None:
    data = b"".join(one.encode().ljust(stride, b"\xaa") for one in found)
    assert decode_map(data, stride) == (found, stride)


def test_the_length_of_a_descriptor_is_found(tmp_path: Path) -> None:
    entries = [MAIN, entry("Boot Data", RAM + 512 * M, M), entry("MMIO", 0, M, UC | RUN)] * 7
    for stride in (40, 48):
        file = tmp_path / "map"
        file.write_bytes(b"".join(one.encode().ljust(stride, b"\0") for one in entries))
        found = read_firmware(file)
        assert (found.memory_map, found.stride) == (tuple(entries), stride)
    file.write_bytes(bytes(96))
    with pytest.raises(InputError, match="no EFI memory descriptors"):
        read_firmware(file)


@given(U64)
def test_attributes_by_name(bits: int) -> None:
    known = bits & sum(1 << bit for bit in ATTRIBUTES.values())
    words = "|".join(name.rjust(3) for name, bit in ATTRIBUTES.items() if known >> bit & 1)
    assert parse_attribute(words) == known
    assert parse_attribute(f"attr={bits:#018x}") == bits


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    rows = [{"type": "Conventional", "phys": "0x40000000", "pages": 16, "attribute": "WB"}]
    rows.append({"type": 5, "phys": 4096, "pages": "2", "attribute": "0x8000000000000008"})
    document = {
        "memory_map": rows,
        "memmap": "0x40001000",
        "tables": {"MEMATTR": {"phys": 4096, "size": 64}, "INITRD": [{"phys": 1, "size": 2}]},
    }
    file.write_text(json.dumps(document))
    found = read_firmware(file)
    assert [e.kind for e in found.memory_map] == [7, 5]
    assert found.memory_map[1].attribute == RUN | WB
    assert (found.memmap, found.memmap_size) == (0x4000_1000, 96)
    assert found.initrd == (1, 2)
    file.write_text(json.dumps(rows))
    assert read_firmware(file).memory_map == found.memory_map


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no EFI memory map"),
        ("[    0.0] hello", "neither JSON nor"),
        ("[" * 100_000, "neither JSON nor"),
        ("[]", "no memory that"),
        ("{}", "no list"),
        ('[{"type": 7}]', r"memory_map\[0\]"),
        ('{"memory_map": [], "map": 1}', "'map' is not known"),
        ('[{"type": "RAM", "phys": 0, "pages": 1, "attribute": "WB"}]', "'RAM' is no type"),
        ('[{"type": 7, "phys": 0, "pages": 1, "attribute": "XX"}]', "'XX' is no attribute"),
        ('[{"type": 7, "phys": -1, "pages": 1, "attribute": "WB"}]', "no number of 64"),
        ('[{"type": 7, "phys": 1e9, "pages": 1, "attribute": "WB"}]', "no number of 64"),
        ("[ 0.0] efi:   0x000-0xffe [Conventional|WB]", "no pages"),
        ("[ 0.0] efi: EFI v2.7 by EDK II", "boot with efi=debug"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_firmware(file)
    assert str(caught.value).startswith(str(file))


def test_both_forms_of_the_log(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text(
        "[ 0.0] efi: mem00: [Conventional|   |  |WB|  ] range=[0x40000000-0x4fffffff] (256MB)\n"
        "[ 0.0] efi: mem01: [type=1879048192|attr=0x8] range=[0x50000000-0x50001000) (0MB)\n"
    )
    assert read_firmware(file).memory_map == (
        entry("Conventional", RAM, 256 * M),
        Descriptor(0x7000_0000, 0x5000_0000, 1, WB),
    )
    line = "[ 0.0] efi:   0x{:012x}-0x{:012x} [Boot Data   |RUN|  |WB]\n"
    file.write_text(
        "efi: Getting UEFI parameters from /chosen in DT:\n" + line.format(0, 4095) + "[reboot]\n"
        "efi: Getting UEFI parameters from /chosen in DT:\n"
        "efi:   MemMap Address       : 0x0000000000001040\n"
        "efi:   MemMap Size          : 0x00000060\n"
        "efi:   MemMap Desc. Size    : 0x00000030\n"
        "efi: MEMATTR=0x5000 MEMRESERVE=0x6000 TPMEventLog=0x7000 INITRD=0x8000 ESRT=0x9000\n"
        + line.format(RAM, RAM + 4095)
        + line.format(RAM + 4096, RAM + 8191)
        + "esrt: Reserving ESRT space from 0x0000000000009000 to 0x0000000000009038.\n"
        "efi: memattr: Processing EFI Memory Attributes table:\n"
        "efi: memattr:  0x00000000a000-0x00000000afff [Runtime Code|RUN|  |WB]\n"
        "efi: memattr: ! 0x00000000b000-0x00000000bfff [Runtime Code|RUN|  |WB]\n"
    )
    found = read_firmware(file)
    assert [e.phys for e in found.memory_map] == [RAM, RAM + 4096]
    assert found.memmap == 0x1040
    assert found.tables == {
        "MEMATTR": ((0x5000, 16 + 2 * 48),),
        "MEMRESERVE": ((0x6000, 16),),
        "ESRT": ((0x9000, 0x38),),
    }
    text = " ".join(found.unknowns)
    assert "TPMEventLog" in text
    assert "--initrd" in text
    assert "taken to be empty" in text


@pytest.mark.parametrize("word", ["type=7", "conventional", " Conventional ", "7", "0x7"])
def test_spellings_of_a_type(word: str) -> None:
    assert parse_type(word) == 7


@pytest.mark.parametrize(
    ("line", "options", "expected"),
    [("", {}, False), ("", {"ACPI": "y"}, True), ("acpi=off", {"ACPI": "y"}, False)],
)
def test_acpis_absence_from_the_inputs(line: str, options: dict[str, str], expected: bool) -> None:
    wide = {"#address-cells": cells(2), "#size-cells": cells(2)}
    tree = blob(("", wide, [("chosen", {"bootargs": line.encode() + b"\0"}, [])]))
    machine = run(MAIN, tree=tree, **options)
    assert any("ACPI describes" in text for text in machine.unknowns) == expected
    assert memory(machine) == [(RAM, RAM + 512 * M, "NONE")]


@given(descriptors)
def test_words_come_back(found: Descriptor) -> None:
    made = Descriptor(found.kind, found.phys >> 12 << 12, found.pages % 1000 + 1, found.attribute)
    if made.end < 1 << 64:
        line = f"[    0.000000] efi:   {made.words}"
        log = f"{line}\nefi:   {MAIN.words}"
        assert firmware_in(log).memory_map == (made, MAIN)


@pytest.mark.parametrize("option", ["y", "n"])
def test_the_zone_of_devices_is_always_empty(option: str) -> None:
    machine = run(MAIN, stop=None, ZONE_DEVICE=option)
    lines = [message.text for message in machine.log.messages]
    at = lines.index("Movable zone start for each node")
    assert (lines[at - 1] == "  Device   empty") == (option == "y")


@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data) -> None:
    """Cut, changed or doubled, a good file of each form is a map or one line."""
    row = {"type": "Conventional", "phys": "0x40000000", "pages": 16, "attribute": "WB|RUN"}
    document = json.dumps({"memory_map": [row] * 3, "tables": {"ESRT": {"phys": 1, "size": 2}}})
    log = (
        "efi: Getting UEFI parameters from /chosen in DT:\nefi:   MemMap Size          : 0x30\n"
        f"efi:   MemMap Desc. Size    : 0x30\nefi:   {MAIN.words}\nefi: ESRT=0x5000 \n"
    )
    good = data.draw(st.sampled_from([document.encode(), log.encode(), MAIN.encode() * 3]))
    at, end = (data.draw(st.integers(0, len(good))) for _ in range(2))
    text = good[:at] + data.draw(st.binary(max_size=8)) + good[min(at, end) :]
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(text)
    try:
        found = read_firmware(file)
        assert found.ram
    except InputError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(("release", "entry"), [("6.1.192", True), ("6.12.117", False)])
def test_an_array_that_was_never_used(release: str, entry: bool) -> None:
    wide = {"#address-cells": cells(2), "#size-cells": cells(2)}
    chosen = {"bootargs": b"nokaslr memblock=debug\0"}
    tree = blob(("", wide, [("chosen", chosen, [])]))
    machine = run(MAIN, tree=tree, release=release, NUMA="y")
    lines = [message.text for message in machine.log.messages]
    at = next(n for n, line in enumerate(lines) if line.startswith(" memory.cnt"))
    empty = " memory[0x0]\t[0x0000000000000000-0xffffffffffffffff], 0x0000000000000000 bytes"
    assert lines[at] == f" memory.cnt  = {int(entry):#x}"
    assert (lines[at + 1] == f"{empty} on node 0 flags: 0x0") == entry


def stubs_tree(at: int, length: int, stride: int = 48) -> bytes:
    """A tree as the kernel of a running machine has it."""
    values = {
        **{"system-table": bytes([1] * 8), "mmap-start": at.to_bytes(8, "big")},
        **{"mmap-size": length.to_bytes(4, "big"), "mmap-desc-size": stride.to_bytes(4, "big")},
        **{"mmap-desc-ver": b"\0\0\0\1", "secure-boot": b"\0\0\0\2"},
    }
    return made.tree([], "nokaslr", **{f"linux,uefi-{name}": v for name, v in values.items()})


def test_a_running_machines_tree_says_where_the_map_lies() -> None:
    at = RAM + 300 * M + 0x40
    machine = run(MAIN, entry("Boot Data", RAM + 512 * M, M), tree=stubs_tree(at, 96), memmap=None)
    assert reserved(machine, at, 1)
    assert not any("memory map" in text for text in machine.unknowns)
    machine = run(MAIN, tree=stubs_tree(at, 96), memmap=None)
    assert any("are they of one boot?" in text for text in machine.unknowns)
    # The kernel goes by the tree.
    machine = run(MAIN, tree=stubs_tree(at, 48), memmap=RAM + 256 * M)
    assert reserved(machine, at, 1)
    assert not reserved(machine, RAM + 256 * M, 4096)
    assert any("are they of one boot?" in text for text in machine.unknowns)


@pytest.mark.parametrize("initrd", [None, (RAM + 300 * M, 4096)])
def test_an_initrd_that_is_said_is_no_longer_unknown(initrd: tuple[int, int] | None) -> None:
    log = f"efi: INITRD=0x5000 \nefi:   {MAIN.words}\n"
    kernel = made.kernel("6.12.117", 12, 48, EFI="y")
    board = Board.from_dtb(TREE, firmware=firmware_in(log))
    placement = custom(board, RAM + 2 * M, RAM + 128 * M, initrd)
    machine = boot(board, kernel, placement, cpu=made.PLAIN, stop="memblock").machine
    assert any("--initrd" in text for text in machine.unknowns) == (initrd is None)
    assert machine.initrd == initrd
