"""VMCOREINFO: what a kernel writes down about itself for the readers of its dumps.

Lines of ``KEY=VALUE`` (kernel/crash_core.c, kernel/vmcore_info.c; arch/arm64/kernel/crash_core.c
and vmcore_info.c), as the note ``VMCOREINFO`` of a core, in the header of a kdump file, and in RAM
of every kernel built with CONFIG_CRASH_CORE or CONFIG_VMCORE_INFO.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from ttbr.memory.notes import Note
from ttbr.memory.physical import PhysicalMemory
from ttbr.recover.search import find

NAME = "VMCOREINFO"
LONGEST = 1 << 16  # bytes of a note that are looked at; the kernel gives it one page
FIRST = b"OSRELEASE="  # the line that every kernel writes first
# The note in RAM: sizes of name and data, type 0, and the name padded to a multiple of 4.
HEADER = struct.Struct("<III12s")

_LINE = re.compile(rb"([!-<>-~]{1,80})=([ -~]{0,256})")
_KIND = re.compile(r"(\w+)\((.+)\)")
_NUMBER = re.compile(r"-?[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}")
_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,16}")
_ADDRESSES = 1 << 64


@dataclass(frozen=True)
class VmcoreInfo:
    """The lines of a note, by key; every property is None where the kernel did not write it.

    ``entries``: the text of each line. A key that appears twice has the last value.
    """

    entries: Mapping[str, str] = field(default_factory=dict)

    @property
    def release(self) -> str | None:
        """The kernel's release as it spells it (OSRELEASE)."""
        return self.entries.get("OSRELEASE")

    @property
    def page_size(self) -> int | None:
        """Bytes of a page (PAGESIZE)."""
        return _number(self.entries.get("PAGESIZE"))

    @property
    def va_bits(self) -> int | None:
        """arm64: bits of a kernel virtual address that the kernel was built for (VA_BITS)."""
        return self.number("VA_BITS")

    @property
    def t1sz(self) -> int | None:
        """arm64: TCR_EL1.T1SZ, by which the address bits in use are 64 - T1SZ."""
        return self.number("TCR_EL1_T1SZ")

    @property
    def phys_offset(self) -> int | None:
        """arm64: the physical address of the start of the linear map, modulo 2^64.

        "Negative" with KASLR, and with a 52-bit kernel on a 48-bit CPU.
        """
        return self.number("PHYS_OFFSET")

    @property
    def kimage_voffset(self) -> int | None:
        """arm64: virtual minus physical address of the kernel image, modulo 2^64."""
        return self.number("kimage_voffset")

    @property
    def kaslr_offset(self) -> int | None:
        """Bytes by which the image runs above its link address (KERNELOFFSET)."""
        return _hexadecimal(self.entries.get("KERNELOFFSET"))

    @property
    def pac_mask(self) -> int | None:
        """arm64: the bits of a kernel pointer that hold its signature; 0 without any."""
        return self.number("KERNELPACMASK")

    @property
    def lpae(self) -> bool:
        """Whether an ARM kernel says that it uses long descriptors (CONFIG_ARM_LPAE)."""
        return self.entries.get("CONFIG_ARM_LPAE") == "y"

    @property
    def arch(self) -> str | None:
        """``arm64`` by the lines that only it writes, ``arm`` by its addresses, or None."""
        if self.va_bits is not None or self.kimage_voffset is not None:
            return "arm64"
        narrow = bool(self.symbols) and max(self.symbols.values()) < 1 << 32
        return "arm" if self.lpae or narrow else None

    @cached_property
    def symbols(self) -> Mapping[str, int]:
        """Run-time virtual addresses of kernel symbols: SYMBOL(name)."""
        return self._kind("SYMBOL", _hexadecimal)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Values of constants and variables, negative ones modulo 2^64: NUMBER(name)."""
        return self._kind("NUMBER", _number)

    @cached_property
    def offsets(self) -> Mapping[str, int]:
        """Bytes into a structure: OFFSET(type.member)."""
        return self._kind("OFFSET", _number)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of a type: SIZE(type)."""
        return self._kind("SIZE", _number)

    @cached_property
    def lengths(self) -> Mapping[str, int]:
        """Elements of an array: LENGTH(name)."""
        return self._kind("LENGTH", _number)

    def number(self, name: str) -> int | None:
        """The value of NUMBER(name)."""
        return self.numbers.get(name)

    def _kind(self, kind: str, read: Callable[[str | None], int | None]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for key, text in self.entries.items():
            named = _KIND.fullmatch(key)
            value = read(text) if named is not None and named[1] == kind else None
            if named is not None and value is not None:
                found[named[2]] = value
        return MappingProxyType(found)


def parse(data: bytes) -> VmcoreInfo:
    """The lines of a note's data; never fails: what is no line of ``KEY=VALUE`` is left out.

    Reads up to the first zero byte and at most `LONGEST` bytes.
    """
    text = data[:LONGEST].split(b"\0", 1)[0]
    entries: dict[str, str] = {}
    for line in text.split(b"\n"):
        form = _LINE.fullmatch(line)
        if form is not None:
            entries[form[1].decode("ascii")] = form[2].decode("ascii")
    return VmcoreInfo(MappingProxyType(entries))


def from_notes(notes: Iterable[Note]) -> VmcoreInfo | None:
    """What the note of a core says; None if it has none, or an empty one."""
    for note in notes:
        if note.name == NAME:
            found = parse(note.data)
            if found.entries:
                return found
    return None


def find_all(memory: PhysicalMemory) -> Iterator[tuple[int, VmcoreInfo]]:
    """Every VMCOREINFO in memory: the physical address of its first line, and what it says.

    The kernel keeps the text and, in another page, the note made of it; a crash kernel's memory
    may hold a third. A text that lacks PAGESIZE is no kernel's (a program's string, say).
    """
    for address in find(memory, FIRST):
        found = parse(_text(memory, address))
        if found.page_size is not None and found.release:
            yield address, found


def _text(memory: PhysicalMemory, address: int) -> bytes:
    """The bytes of the text at ``address``: as many as its note's header says, else up to a 0."""
    size = LONGEST
    header = _read(memory, address - HEADER.size, HEADER.size) if address >= HEADER.size else b""
    if len(header) == HEADER.size:
        name_size, data_size, _, name = HEADER.unpack(header)
        if name_size == len(NAME) + 1 and name.rstrip(b"\0") == NAME.encode():
            size = min(size, data_size)
    return _read(memory, address, size)


def _read(memory: PhysicalMemory, address: int, size: int) -> bytes:
    """Up to ``size`` bytes, fewer at the end of a bank."""
    bank = next((bank for bank in memory.banks if bank.base <= address < bank.end), None)
    if bank is None:
        return b""
    return memory.read(address, min(size, bank.end - address))


def _number(text: str | None) -> int | None:
    """Decimal or 0x…, modulo 2^64."""
    if text is None or not _NUMBER.fullmatch(text):
        return None
    return int(text, 16 if text[:2].lower() == "0x" else 10) % _ADDRESSES


def _hexadecimal(text: str | None) -> int | None:
    """Hexadecimal with or without 0x."""
    return int(text, 16) if text is not None and _HEX.fullmatch(text) else None
