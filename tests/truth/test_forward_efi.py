"""A boot through UEFI: memory by the firmware's map, as the recorded kernel says it has it."""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from forward_arm64 import Format, Recording, after_boot, predicted_words, tables

from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot
from ttbr.boot.efi import Firmware, read_firmware
from ttbr.boot.efi.boot_log import firmware_in
from ttbr.boot.efi.stub import stub_tree
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import with_chosen
from ttbr.boot.loader import custom

CASE = "arm64-4k-48-efi"
DTB_AT = 0x7B40_0000  # the region of that size which its log shows reserved before efi_init
LINE = re.compile(r"^ *\d+: 0x([0-9a-f]+)\.\.0x([0-9a-f]+) +\d+ (\w+)$", re.MULTILINE)


def firmware(truth: ModuleType) -> Firmware:
    return read_firmware(pathlib.Path(truth.HERE) / CASE / "console_boot.txt.zst")


@functools.lru_cache(maxsize=1)
def predicted(truth: ModuleType) -> Boot:
    recording = Recording(truth, CASE)
    board = Board.from_dtb(truth.data(CASE, "fdt.dtb"), firmware=firmware(truth))
    return boot(board, recording.kernel, custom(board, recording.kernel_at, DTB_AT))


def test_memblock_events_are_the_kernels_words(
    truth: ModuleType, say: Callable[[str], None]
) -> None:
    spoken = Recording(truth, CASE).spoken(), predicted_words(predicted(truth))
    real, mine = ([line for line in lines if line.startswith("memblock_")] for lines in spoken)
    same = sum(a == b for a, b in zip(real, mine, strict=False))
    say(f"{CASE}: {len(real)} memblock lines compared, {same} equal, {len(mine)} predicted")
    assert mine == real
    assert sum("early_init_dt_add_memory_arch" in line for line in real) == 33


def test_every_line_from_the_map_to_the_end_of_setup_arch(
    truth: ModuleType, say: Callable[[str], None]
) -> None:
    spoken = Recording(truth, CASE).spoken(), predicted_words(predicted(truth))
    real, mine = (lines[lines.index("efi: Processing EFI memory map:") :] for lines in spoken)
    same = sum(a == b for a, b in zip(real, mine, strict=False))
    say(f"{CASE}: {len(real)} lines from the map on compared, {same} equal")
    assert mine == real


def test_efi_debug_is_the_kernels_words(truth: ModuleType, say: Callable[[str], None]) -> None:
    """The model's own log is one that the model reads again."""
    mine = [m.text for m in predicted(truth).events.messages if m.text.startswith("efi: ")]
    log = [line.partition("] ")[2] for line in truth.text(CASE, "console_boot.txt").splitlines()]
    said = [line for line in log if line.startswith("efi: ")]
    # What the firmware and its tables are called is not in the map.
    said = [line for line in said if "EFI v" not in line and "MEMATTR=" not in line]
    said = [line for line in said if "Remapping" not in line and "memattr" not in line]
    same = sum(a == b for a, b in zip(said, mine, strict=False))
    say(f"{CASE}: {len(said)} efi=debug lines compared, {same} equal")
    assert mine == said
    assert firmware_in("\n".join(mine)).memory_map == firmware(truth).memory_map


def test_final_tables_and_memory(truth: ModuleType, say: Callable[[str], None]) -> None:
    made = predicted(truth)
    image, ram = made.images["paging_init"], truth.ram(CASE)
    kept, changed = after_boot(image, ram)
    ((base, data),) = ram.items()
    root = image.facts.roots["swapper_pg_dir"]

    def real(at: int, size: int) -> bytes:
        return bytes(data[at - base : at - base + size])

    linear = dict(tables(image.memory.read, Format(12), root, 0, 256))
    assert linear == dict(tables(real, Format(12), root, 0, 256))
    say(
        f"{CASE}: {len(linear)} tables of the linear map at the recorded addresses; "
        f"{kept} entries as predicted, {changed} changed after paging_init"
    )
    assert kept > 50 * changed

    memory = [
        (int(start, 16), int(last, 16), flags)
        for start, last, flags in LINE.findall(truth.text(CASE, "memblock.memory"))
    ]
    assert memory == [(r.base, r.end - 1, r.flags.name) for r in made.machine.memblock.memory.list]
    # What was freed since: init code and the initrd.
    state = made.machine.arch_state
    gone = [(state.pa("__init_begin"), state.pa("__init_end")), (0x7BD3_0000, 0x7BDF_6000)]
    reserved = [
        (int(start, 16), int(last, 16) + 1)
        for start, last, _ in LINE.findall(truth.text(CASE, "memblock.reserved"))
    ]
    still = np.zeros(data.size >> 3, bool)  # of eight bytes each
    for start, end in [*reserved, *gone]:
        still[start - base >> 3 : -(-(end - base) // 8)] = True
    for region in made.machine.memblock.reserved.list:
        inside = still[region.base - base >> 3 : -(-(region.end - base) // 8)]
        assert inside.all(), hex(region.base)
    say(f"{CASE}: {len(memory)} regions of memblock.memory, all equal")


def test_the_stub_changes_the_firmwares_tree_alone(truth: ModuleType) -> None:
    """QEMU's tree, with the two properties that its firmware adds, has the recorded size."""
    recorded = DeviceTree.parse(truth.data(CASE, "fdt.dtb"))
    found = recorded.find("/chosen")
    line = found.prop("bootargs").data[:-1].decode()
    tree = DeviceTree.parse(with_chosen(DeviceTree.parse(truth.data(CASE, "machine.dtb"))))
    made = stub_tree(DeviceTree.parse(with_chosen(tree, bootargs=line)), firmware(truth))
    added = 2 * (12 + 12) + len(b"status\0")
    assert made.totalsize + added == recorded.totalsize
    chosen = made.find("/chosen")
    for name, prop in found.properties.items():
        if name != "kaslr-seed":
            assert chosen.prop(name).data == prop.data, name
    ours = [name for name in chosen.properties if name != "rng-seed"]
    assert ours == list(found.properties)


@pytest.mark.parametrize("cut", ["efi:   0x00004771a000", "efi:   MemMap Size"])
def test_a_log_with_lines_missing(truth: ModuleType, tmp_path: pathlib.Path, cut: str) -> None:
    lines = truth.text(CASE, "console_boot.txt").splitlines()
    log = tmp_path / "log"
    log.write_text("\n".join(line for line in lines if cut not in line))
    if "Size" in cut:
        assert "may lack lines" in read_firmware(log).unknowns[0]
    else:
        with pytest.raises(Exception, match="33 of the 34"):
            read_firmware(log)
