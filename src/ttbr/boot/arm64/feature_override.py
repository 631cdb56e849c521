"""What the command line makes of the CPU's features, before anything else of it counts.

The kernel reads the line itself here, without regard to quotes. Only what decides on tables is
kept: fields of ID registers, and the switches that 6.12 treats as features of the software.

Source: arch/arm64/kernel/{pi/,}idreg-override.c of 6.1 and 6.12; 6.1 kernel/pi/kaslr_early.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ttbr.boot.params import memparse
from ttbr.kernel.config import Config
from ttbr.kernel.cpu import TGRAN_SHIFTS, Cpu
from ttbr.kernel.release import Release

MMFR0 = "ID_AA64MMFR0_EL1"
# Without LPA2: TGran4 is 0, TGran16 is 1.
TGRAN_WITHOUT_LPA2 = {12: 0, 14: 1}
SOFTWARE = "software"

VH = "id_aa64mmfr1.vh"
VARANGE = "id_aa64mmfr2.varange"
NOKASLR, HVHE, RODATA_OFF = "arm64_sw.nokaslr", "arm64_sw.hvhe", "arm64_sw.rodataoff"

# Option → (register, lowest bit of the field), in both releases.
FIELDS = {
    VH: ("ID_AA64MMFR1_EL1", 8),
    "id_aa64pfr1.bt": ("ID_AA64PFR1_EL1", 0),
    "id_aa64isar1.gpi": ("ID_AA64ISAR1_EL1", 28),
    "id_aa64isar1.gpa": ("ID_AA64ISAR1_EL1", 24),
    "id_aa64isar1.api": ("ID_AA64ISAR1_EL1", 8),
    "id_aa64isar1.apa": ("ID_AA64ISAR1_EL1", 4),
    "id_aa64isar2.gpa3": ("ID_AA64ISAR2_EL1", 8),
    "id_aa64isar2.apa3": ("ID_AA64ISAR2_EL1", 12),
}
# And in 6.12.
LATER_FIELDS = {
    VARANGE: ("ID_AA64MMFR2_EL1", 16),
    NOKASLR: (SOFTWARE, 0),
    HVHE: (SOFTWARE, 4),
    RODATA_OFF: (SOFTWARE, 8),
}
NO_POINTER_AUTHENTICATION = " ".join(f"{name}=0" for name in FIELDS if "isar" in name)
ALIASES = {
    "arm64.nobti": "id_aa64pfr1.bt=0",
    "arm64.nopauth": NO_POINTER_AUTHENTICATION,
    "kvm_arm.mode=nvhe": f"{VH}=0",
    "kvm_arm.mode=protected": f"{VH}=0",
}
LATER_ALIASES = {
    "kvm_arm.mode=nvhe": f"{HVHE}=0 {VH}=0",
    "kvm_arm.mode=protected": f"{HVHE}=1",
    "nokaslr": f"{NOKASLR}=1",
    "rodata=off": f"{RODATA_OFF}=1",
    "arm64.nolva": f"{VARANGE}=0",
}
WORD = 255  # bytes that one word has at most; 6.12 takes what follows for another
SPACES = re.compile("[ \t\n\v\f\r\xa0]+")
NUMBER = re.compile(r"0x[0-9a-f]+|[0-9]+", re.IGNORECASE)
HEX_DIGIT = re.compile(r"(?:0x)?([0-9a-f])", re.IGNORECASE)


@dataclass(slots=True)
class Overrides:
    """Fields that the command line gives a value, by option."""

    values: dict[str, int] = field(default_factory=dict)
    without_lpa2: bool = False

    def is_set(self, option: str) -> bool:
        """Whether a switch such as `RODATA_OFF` is on."""
        return bool(self.values.get(option))

    def cpu(self, cpu: Cpu) -> Cpu:
        """The CPU as the kernel takes it; hiding large addresses hides LPA2, too."""
        registers = dict(cpu.registers)
        for option, value in self.values.items():
            name, shift = (FIELDS | LATER_FIELDS)[option]
            if name != SOFTWARE:
                registers[name] = _with(registers.get(name, 0), shift, value)
        for page_shift, without in TGRAN_WITHOUT_LPA2.items():
            if self.without_lpa2 and cpu.lpa2(page_shift):
                registers[MMFR0] = _with(registers[MMFR0], TGRAN_SHIFTS[page_shift], without)
        return replace(cpu, registers=registers)


def overrides(bootargs: str, config: Config, release: Release, cpu: Cpu, el: int) -> Overrides:
    """``init_feature_override``, on the tree's command line or the kernel's own in its place.

    ``el``: the exception level that the kernel is entered at, 1 or 2.
    """
    later = release.has("arm64_software_overrides")
    line = bootargs
    if config.enabled("CMDLINE_FORCE") or not bootargs:
        line = config.get("CMDLINE") or ""
    found = Overrides()
    aliases = ALIASES | LATER_ALIASES if later else ALIASES
    for word in _words(line, later):
        _match(found, word, later, cpu, el)
        for part in aliases.get(word, "").split():
            _match(found, part, later, cpu, el)
    return found


def kaslr_disabled(
    found: Overrides, bootargs: str | None, config: Config, release: Release
) -> bool:
    """Whether early code leaves the kernel where it was linked to (kaslr_disabled_cmdline).

    6.1 looks for the text alone, and only at its first place.
    """
    if release.has("arm64_software_overrides"):
        return found.is_set(NOKASLR)
    own = config.get("CMDLINE") or ""
    if config.enabled("CMDLINE_FORCE") or bootargs is None:
        return _contains_nokaslr(own)
    if _contains_nokaslr(bootargs):
        return True
    return config.enabled("CMDLINE_EXTEND") and _contains_nokaslr(own)


def _contains_nokaslr(line: str) -> bool:
    at = line.find("nokaslr")
    return at == 0 or (at > 0 and line[at - 1] == " ")


def _words(line: str, later: bool) -> Iterator[str]:
    """The words up to a lone ``--``, with ``_`` for ``-`` in them."""
    for word in SPACES.split(line):
        if word == "--":
            return
        if not later:
            yield word[:WORD].replace("-", "_")
            continue
        for at in range(0, len(word), WORD):
            yield word[at : at + WORD].replace("-", "_")


def _match(found: Overrides, word: str, later: bool, cpu: Cpu, el: int) -> None:
    """``match_options``: take one word's value, or with one that makes no sense drop what was."""
    option, equals, text = word.partition("=")
    if not equals or option not in (FIELDS | LATER_FIELDS if later else FIELDS):
        return
    value = _value(text, later)
    if value is None:
        return
    capable = cpu.field("ID_AA64MMFR1_EL1", 8) > 0
    if (option == VARANGE and value) or (
        option == HVHE and not (value == 1 and el == 2 and capable)
    ):
        found.values.pop(option, None)
        return
    found.values[option] = value & 0xF
    found.without_lpa2 |= option == VARANGE


def _value(text: str, later: bool) -> int | None:
    """The number behind ``=``: one hexadecimal digit; in 6.1 any that kstrtou64 takes."""
    if later:
        digit = HEX_DIGIT.fullmatch(text)
        return int(digit[1], 16) if digit else None
    number = NUMBER.fullmatch(text)
    return memparse(text)[0] if number else None


def _with(register: int, shift: int, value: int) -> int:
    """`register` with another value of the four-bit field at `shift`."""
    return register & ~(0xF << shift) | value << shift
