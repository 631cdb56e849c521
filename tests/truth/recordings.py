"""What the command needs to be told of a recording: the tree as handed over, where things lay."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

STAGES = {
    # recorded stage: ttbr's, by whether the kernel maps itself in C before the C code proper
    "head-mmu-off": {True: "head", False: None},
    "head-done": {True: "early_map", False: "head"},
    "memblock-begin": {True: "fixmap", False: "fixmap"},
    "paging_init-begin": {True: "memblock", False: "memblock"},
    "paging_init-end": {True: "paging_init", False: "paging_init"},
}

Ram = dict[int, NDArray[np.uint8]]


@dataclass(frozen=True)
class Recording:
    """One recording, and the files made of it for the command line."""

    truth: ModuleType
    case: str

    @property
    def folder(self) -> Path:
        return Path(self.truth.HERE) / self.case

    def stages(self) -> list[dict[str, object]]:
        return list(self.truth.stages(self.case))

    def registers(self, stage: str) -> dict[str, str]:
        (found,) = [s for s in self.stages() if s["stage"] == stage]
        registers = found["registers"]
        assert isinstance(registers, dict)
        return registers

    @property
    def dtb_at(self) -> int:
        registers = self.registers("head-entry")
        return int(registers["x0" if "x0" in registers else "r2"], 16)

    @property
    def kernel_at(self) -> int:
        return int(self.registers("head-entry")["pc"], 16)

    def ram(self, stage: str) -> Ram:
        return dict(self.truth.stage(self.case, stage))

    def device_tree(self) -> bytes:
        """The tree as the loader left it in RAM."""
        for base, memory in self.ram("head-entry").items():
            if base <= self.dtb_at < base + len(memory):
                start = self.dtb_at - base
                size = int.from_bytes(memory[start + 4 : start + 8].tobytes(), "big")
                return memory[start : start + size].tobytes()
        raise AssertionError("the device tree is not in RAM")

    def boot_arguments(self, tree: Path) -> list[str]:
        """Arguments of ``ttbr boot`` for this recording; writes the tree to a file."""
        tree.write_bytes(self.device_tree())
        system_map = self.folder / "System.map.zst"
        return [
            str(tree),
            *("--config", str(self.folder / "config.gz"), "--system-map", str(system_map)),
            *("--kernel-at", hex(self.kernel_at), "--dtb-at", hex(self.dtb_at)),
        ]


def image_spec(ram: Ram, folder: Path) -> str:
    """RAM written into files, as IMAGE."""
    parts = []
    for base, memory in ram.items():
        file = folder / f"{base:x}.raw"
        memory.tofile(file)
        parts.append(f"{file}@{base:#x}")
    return ",".join(parts)


def registers_file(registers: dict[str, str], file: Path) -> Path:
    file.write_text(json.dumps({"cpu0": registers}))
    return file
