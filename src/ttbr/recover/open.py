"""Open an image: the memory that a user names, with the registers that are known of it."""

from dataclasses import replace

from ttbr.memory.open import open_memory
from ttbr.mmu.image import Image
from ttbr.recover.note import read_note
from ttbr.recover.registers import read_registers


def open(spec: str, registers: str | None = None) -> Image:
    """The machine in ``FILE`` (an ELF core), ``FILE@BASE`` (raw memory) or several with commas.

    ``registers`` is a JSON file of registers or ``NAME=VALUE,…``; they win over those that a core
    saved by ttbr holds, whose facts of the kernel the image has, too. `InputError` if the memory
    or the registers cannot be read.
    """
    opened = open_memory(spec)
    held, facts = read_note(opened.notes)
    given = {} if registers is None else read_registers(registers)
    if not facts.source:
        facts = replace(facts, source=opened.description)
    return Image(opened.memory, {**held, **given}, facts)
