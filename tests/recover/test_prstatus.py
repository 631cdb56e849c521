"""NT_PRSTATUS of both architectures."""

import struct

from ttbr.memory.notes import Note
from ttbr.recover.prstatus import read_prstatus

ARM64 = bytes(112) + struct.pack("<34Q", *range(100, 134)) + bytes(8)
ARM = bytes(72) + struct.pack("<18I", *range(100, 118)) + bytes(4)


def test_arm64():
    arch, registers = read_prstatus([Note("CORE", 2, ARM64), Note("CORE", 1, ARM64)])
    assert arch == "arm64"
    assert (registers["x0"], registers["x30"]) == (100, 130)
    assert (registers["sp"], registers["pc"], registers["cpsr"]) == (131, 132, 133)


def test_arm():
    arch, registers = read_prstatus([Note("CORE", 1, ARM), Note("CORE", 1, ARM64)])
    assert arch == "arm"
    assert (registers["r0"], registers["r12"]) == (100, 112)
    assert [registers[name] for name in ("sp", "lr", "pc", "cpsr")] == [113, 114, 115, 116]


def test_others():
    for notes in ([], [Note("CORE", 1, b"x" * 336)], [Note("LINUX", 1, ARM)]):
        assert read_prstatus(notes) == (None, {})
