"""A recording's machine after boot, as an image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import unpacked

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
    """All RAM after boot, mapped, with the registers of the first CPU."""
    memory = BankedMemory(_pieces(truth, case))
    registers = registers_in(json.loads(truth.text(case, "registers.json")), "registers.json")
    return Recorded(case, Image(memory, registers), truth.expected(case), truth)


def _pieces(truth: ModuleType, case: str) -> Iterator[Piece]:
    for base, file in unpacked.files(truth, case).items():
        data = np.frombuffer(unpacked.mapped(file), np.uint8)
        yield Piece(base, len(data), data)
