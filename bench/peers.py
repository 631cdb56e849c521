"""What else answers the same questions: drgn, one page at a time; and a plain Python loop."""

import atexit
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from generated import BASE, ENTRIES, LINEAR, PAGE
from ttbr.memory.notes import Note
from ttbr.memory.physical import PhysicalMemory
from ttbr.memory.save import save_core

KIMAGE = 0xFFFF800080000000
# What a kernel dump says of itself, as far as a walk of its tables needs it.
VMCOREINFO = """OSRELEASE=6.12.0
PAGESIZE={page}
SYMBOL(swapper_pg_dir)={swapper:x}
SYMBOL(_stext)={stext:x}
NUMBER(VA_BITS)={bits}
NUMBER(kimage_voffset)={voffset:#x}
NUMBER(PHYS_OFFSET)={phys:#x}
NUMBER(TCR_EL1_T1SZ)={t1sz:#x}
KERNELOFFSET=0
NUMBER(KERNELPACMASK)=0x0
"""


class Drgn:
    """drgn on an ELF core of a memory."""

    def __init__(self, program: Any) -> None:
        self._program = program

    @classmethod
    def of(
        cls, memory: PhysicalMemory, root: int, page: int = PAGE, bits: int = 48
    ) -> "Drgn | None":
        """drgn, told where the kernel's root table is; None where it is not installed."""
        if importlib.util.find_spec("drgn") is None:
            return None
        import drgn  # noqa: PLC0415 – a peer that need not be there

        info = VMCOREINFO.format(
            page=page,
            swapper=KIMAGE + root % (1 << 30),
            stext=KIMAGE + 0x10000,
            bits=bits,
            voffset=KIMAGE - root + root % (1 << 30),
            phys=memory.banks[0].base,
            t1sz=64 - bits,
        )
        folder = Path(tempfile.mkdtemp(prefix="ttbr-bench-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        core = folder / "core"
        save_core(core, memory, [Note("VMCOREINFO", 0, info.encode())], "arm64")
        program = drgn.Program()
        program.set_core_dump(str(core))
        return cls(program)

    def reader(self, vas: list[int]) -> Callable[[], None]:
        """Reads a byte at each address: a walk for each."""

        def read() -> None:
            for va in vas:
                self._program.read(va, 1)

        return read


def plain_loop(words: list[int]) -> list[tuple[int, int, int]]:
    """(va, pa, attribute bits) of every leaf, one descriptor at a time."""
    address = 0x0000FFFFFFFFF000
    found: list[tuple[int, int, int]] = []

    def visit(table: int, level: int, va: int) -> None:
        at = (table - BASE) >> 3
        shift = 39 - 9 * level
        for index, descriptor in enumerate(words[at : at + ENTRIES]):
            if descriptor & 3 != 3:
                continue
            here = va | index << shift
            if level == 3:
                found.append((here, descriptor & address, descriptor & ~address))
            else:
                visit(descriptor & address, level + 1, here)

    visit(BASE, 0, LINEAR)
    return found
