"""Open an image: the memory that a user names, with the registers that are known of it."""

from dataclasses import replace

from ttbr.memory.open import open_memory
from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.note import read_note
from ttbr.recover.prstatus import read_prstatus
from ttbr.recover.registers import read_registers
from ttbr.recover.vmcoreinfo import VmcoreInfo, from_notes


def open(spec: str, registers: str | None = None) -> Image:
    """The machine in ``FILE`` (a core or dump), ``FILE@BASE`` (raw memory) or several with commas.

    ``registers`` is a JSON file of registers or ``NAME=VALUE,…``; they win over those that a core
    saved by ttbr holds, whose facts of the kernel the image has, too; and these over the general
    registers and the vmcoreinfo in the notes of other dumps. `InputError` if the memory or the
    registers cannot be read.
    """
    opened = open_memory(spec)
    arch, general = read_prstatus(opened.notes)
    saved, facts = read_note(opened.notes)
    held = {**general, **saved}
    facts = _with_vmcoreinfo(facts, from_notes(opened.notes), arch)
    given = {} if registers is None else read_registers(registers)
    if not facts.source:
        facts = replace(facts, source=opened.description)
    return Image(opened.memory, {**held, **given}, facts)


def _with_vmcoreinfo(facts: ImageFacts, info: VmcoreInfo | None, arch: str | None) -> ImageFacts:
    """The facts, and what they lack of those in vmcoreinfo; ``arch`` if neither has one."""
    if info is None:
        return replace(facts, arch=facts.arch or arch)
    roots: dict[str, int] = {}
    swapper, voffset = info.symbols.get("swapper_pg_dir"), info.kimage_voffset
    if swapper is not None and voffset is not None:
        roots["swapper_pg_dir"] = (swapper - voffset) % (1 << 64)
    return replace(
        facts,
        arch=facts.arch or info.arch or arch,
        symbols={**info.symbols, **facts.symbols},
        roots={**roots, **facts.roots},
        vmcoreinfo=info.entries,
    )
