"""What an image is: memory, registers, regimes, roots, kernel; each as far as it is known."""

from typing import Any

from rich.console import Console

from ttbr.arch.registers import REGISTERS
from ttbr.arch.translation_regime import TranslationRegime
from ttbr.errors import TtbrError
from ttbr.format import about, address, counted, size
from ttbr.mmu.image import Image
from ttbr.recover.identified import Identified
from ttbr.recover.release import find_release
from ttbr.report.hostile import visible
from ttbr.report.identified import identified_json, print_identified
from ttbr.report.mappings import notes

ROOTS = (("kernel", 1), ("user", 0))


def image_info(image: Image, found: Identified | None = None) -> dict[str, Any]:
    """Everything that can be said, as JSON values; ``unknown`` says what can't, and why.

    ``found``: what was found out where the image has no registers of its own.
    """
    unknown: list[str] = []
    facts = image.facts
    release = facts.release
    evidence = facts.source
    if release is None and found is not None and found.release is not None:
        release, evidence = found.release.value, found.release.evidence
    elif release is None:
        named = find_release(image.memory)
        if named is None:
            unknown.append("kernel release: neither banner nor vmcoreinfo found in memory")
        else:
            release, evidence = str(named), "named in memory"
    if not image.registers:
        unknown.append("registers: the image holds none and no kernel was found; give --registers")
    info: dict[str, Any] = {
        "banks": [
            {"base": hex(b.base), "last": hex(b.end - 1), "size": b.size}
            for b in image.memory.banks
        ],
        "memory_bytes": sum(b.size for b in image.memory.banks),
        "arch": image.arch if image.registers or facts.arch else None,
        "release": release,
        "evidence": evidence,
        "stage": facts.stage,
        "registers": {name: hex(value) for name, value in sorted(image.registers.items())},
        "regimes": [],
        "roots": [],
        "symbols_of_roots": {name: hex(pa) for name, pa in sorted(facts.roots.items())},
        "identified": None if found is None else identified_json(found),
        "unknown": unknown,
    }
    if not image.registers:
        return info
    for name, number in ROOTS:
        try:
            space = image.address_space(name)
        except TtbrError as error:
            unknown.append(f"{name} root: {error}")
            continue
        mappings = space.mappings()
        info["regimes"].append({"root": name, **regime_facts(space.regime)})
        info["roots"].append(
            {
                "root": name,
                "ttbr": number,
                "table": hex(space.root),
                "tables": len(mappings.tables),
                "table_bytes": int(
                    (mappings.tables.entries.astype("int64") * space.regime.format.entry_size).sum()
                ),
                "descriptors": len(mappings),
                "mapped_bytes": mappings.mapped_bytes,
                "notes": notes(mappings),
            }
        )
    return info


def regime_facts(regime: TranslationRegime) -> dict[str, Any]:
    """One regime as JSON values: geometry, levels, control bits."""
    controls = regime.controls
    return {
        "format": regime.format.name,
        "ttbr": regime.ttbr,
        "first": hex(regime.first),
        "last": hex(regime.last),
        "input_bits": regime.input_bits,
        "output_bits": regime.output_bits,
        "root_bytes": regime.root_size,
        "levels": [
            {"level": level.number, "entries": level.entries, "entry_maps": 1 << level.shift}
            for level in regime.levels
        ],
        "mair": None if controls.mair is None else [f"{byte:#04x}" for byte in controls.mair],
        "wxn": controls.wxn,
        "hardware_access_flag": controls.ha,
        "hardware_dirty_state": controls.hd,
        "hierarchical_permissions": not controls.hpd,
        "top_byte_ignored": regime.tbi,
        "unknown": list(regime.unknown),
    }


def print_info(out: Console, info: dict[str, Any]) -> None:
    """The facts as text, a heading a group."""
    out.print(f"memory     {about(info['memory_bytes'])} in {counted(len(info['banks']), 'bank')}")
    for bank in info["banks"]:
        out.print(f"           {bank['base']}-{bank['last']}  {size(bank['size'])}")
    stage = f", stage {info['stage']}" if info["stage"] else ""
    release = info["release"] or "unknown"
    evidence = f" ({info['evidence']})" if info["evidence"] else ""
    kernel = f"Linux {release} on {info['arch'] or 'unknown'}{stage}{evidence}"
    out.print(f"kernel     {visible(kernel)}")
    for root, regime in zip(info["roots"], info["regimes"], strict=True):
        levels = f"levels {regime['levels'][0]['level']} to {regime['levels'][-1]['level']}"
        bits = 64 if regime["format"] == "vmsav8-64" else 32
        first, last = (address(int(regime[end], 16), bits) for end in ("first", "last"))
        out.print(
            f"{root['root']:<10} TTBR{root['ttbr']} -> table {root['table']}: {regime['format']}, "
            f"{regime['input_bits']}-bit addresses {first}-{last}, {levels}, "
            f"output {regime['output_bits']} bits"
        )
        out.print(
            f"           {counted(root['tables'], 'table')} ({about(root['table_bytes'])}), "
            f"{root['descriptors']} leaf descriptors, {about(root['mapped_bytes'])} mapped"
        )
        for note in (*root["notes"], *regime["unknown"]):
            out.print(f"           note: {note}")
    if info["identified"] is not None:
        print_identified(out, info["identified"])
    for name, pa in info["symbols_of_roots"].items():
        out.print(f"root       {visible(name)} at {pa}")
    for name, value in info["registers"].items():
        if name in REGISTERS:
            out.print(f"register   {name:<18} {value}")
    for line in info["unknown"]:
        out.print(f"unknown    {line}")
