"""Any recording's boot, predicted; and the state of memblock that a recording had."""

from __future__ import annotations

import functools
import json
import pathlib
import re
from types import ModuleType

from forward_arm64 import Recording
from memory_log import behind_setup_arch, boot_log, events

from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot
from ttbr.boot.efi import read_firmware
from ttbr.boot.loader import custom
from ttbr.boot.machine import Machine
from ttbr.boot.regions import Regions

RESERVED = re.compile(r" reserved\[0x[0-9a-f]+\]\t\[0x([0-9a-f]+)-0x([0-9a-f]+)\]")


@functools.lru_cache(maxsize=32)
def predicted(truth: ModuleType, case: str) -> Boot:
    """The boot to its end."""
    return run(truth, case, None)


def run(truth: ModuleType, case: str, stop: str | None) -> Boot:
    """The boot of a recording up to a stage; the tree is the one that lay in its RAM."""
    recording = Recording(truth, case)
    if not has_stages(truth, case):
        return _run_running(recording, stop)
    entry = recording.registers("head-entry")
    if "x0" in entry:
        at, blob = recording.handed_over
        board = Board.from_dtb(blob)
        placement = custom(board, recording.kernel_at, at)
        return boot(board, recording.kernel, placement, cpu=recording.cpu, stop=stop)
    at = entry["r2"]
    read = next(reader for stage, reader in recording.memory() if stage == "head-entry")
    board = Board.from_dtb(read(at, int.from_bytes(read(at + 4, 4), "big")))
    return boot(board, recording.kernel, custom(board, entry["pc"], at), stop=stop)


def has_stages(truth: ModuleType, case: str) -> bool:
    try:
        return bool(truth.stages(case))
    except FileNotFoundError:
        return False


def _run_running(recording: Recording, stop: str | None) -> Boot:
    """A recording of the running kernel alone: its own tree, KASLR and firmware as observed."""
    truth, case = recording.truth, recording.case
    blob, log = truth.data(case, "fdt.dtb"), boot_log(truth, case)
    firmware, offset, memstart = None, 0, None
    if any(line.startswith("efi: EFI v") for line in log):
        firmware = read_firmware(
            next(iter((pathlib.Path(truth.HERE) / case).glob("console_boot*")))
        )
    else:
        said = truth.expected(case)
        offset = int(said["kaslr_offset"], 16)
        memstart = int(said["memstart_addr"], 16) if offset else None
    board = Board.from_dtb(blob, firmware=firmware)
    placement = custom(board, recording.kernel_at, _tree_at(log, len(blob)))
    kernel = recording.kernel
    made = boot(
        board,
        kernel,
        placement,
        kaslr_offset=offset,
        memstart=memstart,
        cpu=recording.cpu,
        stop=stop,
    )
    if firmware is not None and made.machine.initrd is not None:
        # The log has it in whole pages; the recording says how long the file was.
        (size,) = [s for n, s in json.loads(truth.text(case, "loaded.json")).items() if "init" in n]
        made.machine.initrd = made.machine.initrd[0], size
    return made


def _tree_at(log: list[str], size: int) -> int:
    """Where the loader put the tree: what was reserved before memblock's calls were printed."""
    explained = sorted(
        (start, end) for kind, start, end, _ in events(log) if kind == "memblock_reserve"
    )
    for base, last in (map(int_16, m.groups()) for m in map(RESERVED.match, log) if m):
        at = base
        for start, end in explained:
            if start > at and min(start - 1, last) - at >= size - 1:
                break
            if start <= at <= end:
                at = end + 1
        if last - at >= size - 1:
            return at
    raise AssertionError("no reserved region is without a line of its own")


def int_16(text: str) -> int:
    return int(text, 16)


def with_recorded_memblock(truth: ModuleType, case: str) -> Machine:
    """The model at the end of setup_arch(), what is reserved being as the recording's log has it.

    So what follows is held against the recording whatever the stages before may have missed.
    """
    machine = run(truth, case, "bootmem_init").machine
    lines = boot_log(truth, case)
    logged = events(lines[: behind_setup_arch(lines)])
    replayed = run(truth, case, "paging_init").machine
    done = [e for e in replayed.log if e.logged]
    replayed.memblock.growth.allow()
    for kind, start, end, function in logged[len(done) :]:
        call = {
            "memblock_reserve": replayed.memblock.reserve,
            "memblock_phys_free": replayed.memblock.phys_free,
        }[kind]
        call(start, end - start + 1, function)
    take(machine.memblock.reserved, replayed.memblock.reserved)
    return machine


def take(to: Regions, of: Regions) -> None:
    """Copy one array's regions into another."""
    to.list[:] = of.list
