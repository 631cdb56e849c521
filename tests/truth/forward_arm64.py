"""Running the model on a recording's inputs, and finding the tables of a recorded arm64 machine.

The walk here is the test's own: it knows the descriptor format and nothing of the model.
"""

from __future__ import annotations

import json
import pathlib
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot
from ttbr.boot.events import Message
from ttbr.boot.loader import custom
from ttbr.kernel.cpu import Cpu
from ttbr.kernel.kernel import Kernel
from ttbr.mmu.image import Image

# Recorded stage → stage of the model.
STAGES = {
    "head-mmu-off": "head",
    "head-done": "early_map",
    "memblock-begin": "fixmap",
    "paging_init-begin": "memblock",
    "paging_init-end": "paging_init",
    "setup_arch-end": "bootmem_init",
}
REGISTERS = ("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "MAIR_EL1", "SCTLR_EL1")
PAGE = 4096
RECORD = np.dtype([("pa", "<u8"), ("page", "V4096")])
STAMP = re.compile(r"^\[ *\d+\.\d+\] ")
OFFSET = re.compile(r"\+0x[0-9a-f]+/0x[0-9a-f]+$")
NEXT = re.compile(r"^psci: |^memblock_alloc_try_nid: .* start_kernel$")

Reader = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Recording:
    """One recorded machine: what it was given, and its memory and registers by stage."""

    truth: ModuleType
    case: str

    def memory(self) -> Iterator[tuple[str, Reader]]:
        """(recorded stage, reader of the memory then), in the order of the boot.

        A reader is good until the next stage is asked for.
        """
        pages: dict[int, bytes] = {}

        def read(at: int, size: int) -> bytes:
            first = at // PAGE * PAGE
            found = b"".join(pages.get(p, bytes(PAGE)) for p in range(first, at + size, PAGE))
            return found[at - first : at - first + size]

        for stage in self.truth.stages(self.case):
            file = "stages/" + stage["file"].removesuffix(".zst")
            records = np.frombuffer(self.truth.data(self.case, file), RECORD)
            pages.update(
                zip(records["pa"].tolist(), (r.tobytes() for r in records["page"]), strict=True)
            )
            yield stage["stage"], read

    def registers(self, stage: str) -> dict[str, int]:
        found = next(s for s in self.truth.stages(self.case) if s["stage"] == stage)
        return {name: int(value, 16) for name, value in found["registers"].items()}

    @property
    def kernel(self) -> Kernel:
        root = pathlib.Path(self.truth.HERE) / self.case
        return Kernel.from_files(root / "config.gz", root / "System.map.zst")

    @property
    def handed_over(self) -> tuple[int, bytes]:
        """(address, bytes) of the device tree as the loader left it."""
        at = self.registers("head-entry")["x0"]
        read = next(reader for stage, reader in self.memory() if stage == "head-entry")
        (size,) = struct.unpack(">I", read(at + 4, 4))
        return at, read(at, size)

    @property
    def kernel_at(self) -> int:
        return int(self.truth.expected(self.case)["symbols"]["_text"]["pa"], 16)

    @property
    def cpu(self) -> Cpu | None:
        """The CPU, where the device tree does not name a real one."""
        if "-cpu max" not in self.truth.text(self.case, "cmdline.txt"):
            return None
        recorded = json.loads(self.truth.text(self.case, "registers.json"))["cpu0"]
        ids = {n: int(v, 16) for n, v in recorded.items() if n.startswith("ID_AA64")}
        return Cpu("max", "qemu,max", ids)

    def spoken(self) -> list[str]:
        """What the kernel printed up to the end of setup_arch, without time and code offsets."""
        try:
            log = self.truth.text(self.case, "console_boot.txt")
        except FileNotFoundError:
            log = self.truth.text(self.case, "dmesg.txt")
        lines = [OFFSET.sub("", STAMP.sub("", line.rstrip())) for line in log.splitlines()]
        # What comes next looks for firmware, or is start_kernel's first allocation.
        end = next(n for n, line in enumerate(lines) if NEXT.search(line))
        return lines[:end]

    def predict(self) -> Boot:
        dtb_at, blob = self.handed_over
        board = Board.from_dtb(blob)
        placement = custom(board, self.kernel_at, dtb_at)
        return boot(board, self.kernel, placement, cpu=self.cpu)


def predicted_words(boot: Boot) -> list[str]:
    """What the model says that the kernel prints about memory, up to the end of setup_arch."""
    pa = boot.machine.kernel.pa
    lines: list[str] = []
    for said in boot.events.in_order():
        if said.stage == "mm_init":
            break
        if isinstance(said, Message):
            lines += said.text.split("\n")
        elif said.logged:
            lines += [said.detail] if said.detail else []
            lines.append(f"{said.kind}: [{pa(said.start)}-{pa(said.end)}] {said.function}")
    return lines


@dataclass(frozen=True)
class Format:
    """What the walk needs to know: page size, and whether high address bits are moved."""

    shift: int
    high: int = 0  # how far PA[51:48] (64K) or PA[51:50] (LPA2) were moved down

    @classmethod
    def of(cls, tcr: int, shift: int) -> Format:
        """By TCR_EL1: DS is LPA2, and 64K pages have the other form with 52 bits of output."""
        if tcr >> 59 & 1:
            return cls(shift, 42)
        return cls(shift, 36 if shift == 16 and tcr >> 32 & 7 == 6 else 0)

    def address(self, entry: int) -> int:
        plain = entry & ((1 << 48) - (1 << self.shift))
        if self.high == 42:
            return entry & ((1 << 50) - (1 << self.shift)) | (entry & 0x300) << 42
        return plain | (entry & 0xF000) << 36 if self.high else plain


def tables(
    read: Reader, form: Format, root: int, level: int, entries: int
) -> Iterator[tuple[int, int]]:
    """(address, bytes) of every table below and including a root, each once."""
    page = 1 << form.shift
    seen: set[int] = set()
    pending = [(root, level, entries)]
    while pending:
        table, depth, count = pending.pop()
        if table in seen:
            continue
        seen.add(table)
        yield table, count * 8
        if depth == 3:
            continue
        words = np.frombuffer(read(table, count * 8), "<u8")
        for entry in words[(words & 3) == 3].tolist():
            pending.append((form.address(entry), depth + 1, page // 8))


def after_boot(image: Image, ram: dict[int, np.ndarray]) -> tuple[int, int]:
    """(entries that are as predicted, entries that changed) in the tables of a running kernel.

    An entry may have become read-only, a mapping may have gone (init code) or come: nothing else.
    """
    ((base, data),) = ram.items()
    root = image.facts.roots["swapper_pg_dir"]
    changed = kept = 0
    for table, size in tables(image.memory.read, Format(12), root, 0, 512):
        mine = np.frombuffer(image.memory.read(table, size), "<u8")
        real = data[table - base : table - base + size].view("<u8")
        differs = mine != real
        kept += int((~differs).sum())
        changed += int(differs.sum())
        became = (real[differs] ^ mine[differs]) & ~np.uint64(1 << 51 | 1 << 7)
        assert not became[(mine[differs] != 0) & (real[differs] != 0)].any(), hex(table)
    return kept, changed
