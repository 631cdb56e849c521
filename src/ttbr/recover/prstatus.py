"""NT_PRSTATUS: the general registers of a CPU, as kernels and QEMU write them into cores.

There is one for each CPU, in their order; system registers are in no note that either writes (QEMU
adds floating point, VFP or SVE registers, which do not concern memory).
"""

from collections.abc import Iterable
from struct import Struct

from ttbr.memory.notes import Note

NAME = "CORE"
TYPE = 1

# struct elf_prstatus: pr_reg is struct user_pt_regs (arm64) or pt_regs (arm) of the kernel's uapi.
_ARM64_NAMES = (*(f"x{number}" for number in range(31)), "sp", "pc", "cpsr")
_ARM_NAMES = (*(f"r{number}" for number in range(13)), "sp", "lr", "pc", "cpsr")
GENERAL = frozenset((*_ARM64_NAMES, *_ARM_NAMES))
"""The general registers of both architectures, as notes and registers files name them."""
_FORMS = {
    392: ("arm64", 112, Struct("<34Q"), _ARM64_NAMES),
    148: ("arm", 72, Struct("<17I"), _ARM_NAMES),
}


def read_prstatus(notes: Iterable[Note]) -> tuple[str | None, dict[str, int]]:
    """Architecture and general registers (lower-case names) of the first CPU; None, {} without.

    A note of another size than the two architectures' is not looked at.
    """
    for note in notes:
        form = _FORMS.get(len(note.data))
        if (note.name, note.type) == (NAME, TYPE) and form is not None:
            arch, offset, registers, names = form
            return arch, dict(zip(names, registers.unpack_from(note.data, offset), strict=True))
    return None, {}
