"""Types out of the files that a build leaves: BTF as it is, or a vmlinux with BTF or DWARF."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.elf.elffile import ELFFile

from ttbr.errors import InputError
from ttbr.kernel.btf import LARGEST, Btf
from ttbr.kernel.types import Member, Types

# Units that between them use every structure that is asked for; they are read before others.
_LIKELY = ("kernel/fork.c", "mm/vmalloc.c", "mm/page_alloc.c", "fs/proc/task_mmu.c")
_AGGREGATES = {"DW_TAG_structure_type": True, "DW_TAG_union_type": True}
_ALIASES = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type")
_DEEPEST = 12
_ELF = b"\x7fELF"


def open_types(path: Path, word: int) -> Types:
    """The types in a file; ``word``: bytes of the kernel's pointers. `InputError` without any."""
    with path.open("rb") as file:
        if file.read(4) != _ELF:
            file.seek(0)
            data = file.read(LARGEST + 1)
            try:
                return Btf(data, word, f"BTF in {path}")
            except InputError as error:
                raise InputError(f"{path}: {error}") from error
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            section = elf.get_section_by_name(".BTF")
            if section is not None:
                return Btf(section.data(), word, f"BTF in {path}")
            if elf.has_dwarf_info():
                return Dwarf(elf.get_dwarf_info(), word, f"DWARF in {path}")
    except (ELFError, DWARFError) as error:
        raise InputError(f"{path}: {error or 'damaged'}") from error
    raise InputError(f"{path}: has neither .BTF nor debugging information")


class Dwarf:
    """Types from DWARF, by pyelftools; units are read only as far as somebody asks."""

    def __init__(self, info: Any, word: int, source: str) -> None:
        self._info = info
        self.word = word
        self.source = source
        self._structs: dict[str, Any] = {}
        self._constants: dict[str, int] = {}
        self._enums: dict[str, dict[str, int]] = {}

    @cached_property
    def _units(self) -> Iterator[Any]:
        """The units that are not read yet, the likely ones first."""
        likely: list[Any] = []
        others: list[Any] = []
        for unit in self._info.iter_CUs():
            name = unit.get_top_DIE().attributes.get("DW_AT_name")
            text = b"" if name is None else name.value
            is_likely = text.decode("utf-8", "replace").endswith(_LIKELY)
            (likely if is_likely else others).append(unit)
        return iter([*likely, *others])

    def _read_unit(self) -> bool:
        """Note what the next unit defines; False if there is none."""
        unit = next(self._units, None)
        if unit is None:
            return False
        try:
            self._note(unit)
        except (ELFError, DWARFError) as error:
            raise InputError(f"{self.source} is damaged: {error}") from error
        return True

    def _note(self, unit: Any) -> None:
        for die in unit.get_top_DIE().iter_children():
            name = die.attributes.get("DW_AT_name")
            text = None if name is None else name.value.decode("utf-8", "replace")
            if die.tag in _AGGREGATES and text and "DW_AT_byte_size" in die.attributes:
                self._structs.setdefault(text, die)
            elif die.tag == "DW_TAG_enumeration_type":
                values = {
                    child.attributes["DW_AT_name"].value.decode("utf-8", "replace"): int(
                        child.attributes["DW_AT_const_value"].value
                    )
                    for child in die.iter_children()
                    if child.tag == "DW_TAG_enumerator"
                }
                for constant, value in values.items():
                    self._constants.setdefault(constant, value)
                if text:
                    self._enums.setdefault(text, values)

    def _struct(self, name: str) -> Any:
        while name not in self._structs and self._read_unit():
            pass
        return self._structs.get(name)

    def size(self, struct: str) -> int | None:
        """Bytes of a struct or union; None if there is none of the name."""
        die = self._struct(struct)
        return None if die is None else int(die.attributes["DW_AT_byte_size"].value)

    def enumerator(self, name: str) -> int | None:
        """The value of a constant of any enumeration."""
        while name not in self._constants and self._read_unit():
            pass
        return self._constants.get(name)

    def enumerators(self, enum: str) -> dict[str, int]:
        """The constants of an enumeration by name; empty if there is no such enumeration."""
        while enum not in self._enums and self._read_unit():
            pass
        return self._enums.get(enum, {})

    def member(self, struct: str, path: str) -> Member | None:
        """A member of a struct or union by name, ``a.b`` for one within another; None without."""
        die = self._struct(struct)
        base = 0
        found: Member | None = None
        for name in path.split("."):
            hit = None if die is None else self._find(die, name, 0)
            if hit is None:
                return None
            offset, die, bit, bits = hit
            base += offset
            size, count = self._shape(die)
            found = Member(base, size, count, 8 * base + bit, bits)
            die = self._resolved(die)
        return found

    def _find(self, die: Any, name: str, depth: int) -> tuple[int, Any, int, int] | None:
        if depth > _DEEPEST or die.tag not in _AGGREGATES:
            return None
        for child in die.iter_children():
            if child.tag != "DW_TAG_member":
                continue
            place = child.attributes.get("DW_AT_data_member_location")
            offset = 0 if place is None or not isinstance(place.value, int) else place.value
            kind = child.get_DIE_from_attribute("DW_AT_type")
            own = child.attributes.get("DW_AT_name")
            if own is not None and own.value.decode("utf-8", "replace") == name:
                bits = child.attributes.get("DW_AT_bit_size")
                at = child.attributes.get("DW_AT_data_bit_offset")
                bit = 0 if at is None else at.value
                return offset + bit // 8, kind, bit % 8, 0 if bits is None else bits.value
            if own is None:
                inner = self._find(self._resolved(kind), name, depth + 1)
                if inner is not None:
                    return offset + inner[0], *inner[1:]
        return None

    def _resolved(self, die: Any) -> Any:
        for _ in range(_DEEPEST):
            if die.tag not in _ALIASES or "DW_AT_type" not in die.attributes:
                break
            die = die.get_DIE_from_attribute("DW_AT_type")
        return die

    def _shape(self, die: Any) -> tuple[int, int]:
        """(bytes, elements) of a type."""
        die = self._resolved(die)
        if die.tag == "DW_TAG_pointer_type":
            return self.word, 1
        if die.tag == "DW_TAG_array_type":
            count = 1
            for child in die.iter_children():
                bound = child.attributes.get("DW_AT_upper_bound")
                number = child.attributes.get("DW_AT_count")
                if number is not None:
                    count *= int(number.value)
                elif bound is not None and isinstance(bound.value, int):
                    count *= int(bound.value) + 1
                else:
                    count = 0
            return self._shape(die.get_DIE_from_attribute("DW_AT_type"))[0] * count, count
        size = die.attributes.get("DW_AT_byte_size")
        return (0 if size is None else int(size.value)), 1
