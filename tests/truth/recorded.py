"""A recording's machine after boot, as an image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.image import Image
from ttbr.recover.registers import registers_in


@dataclass(frozen=True)
class Recorded:
    """The case's name, its image, and what else the recording says."""

    case: str
    image: Image
    expected: dict[str, Any]
    truth: ModuleType

    def text(self, name: str) -> str:
        return self.truth.text(self.case, name)


def cases(truth: ModuleType | None, needed: str) -> list[str]:
    """The recordings that have the file ``needed``."""
    if truth is None:
        return ["absent"]
    found = []
    for case in truth.cases():
        try:
            truth.data(case, needed)
        except FileNotFoundError:
            continue
        found.append(case)
    return found


def load(truth: ModuleType, case: str) -> Recorded:
    """All RAM after boot, not copied, with the registers of the first CPU."""
    memory = BankedMemory(Piece(base, len(data), data) for base, data in truth.ram(case).items())
    registers = registers_in(json.loads(truth.text(case, "registers.json")), "registers.json")
    return Recorded(case, Image(memory, registers), truth.expected(case), truth)
