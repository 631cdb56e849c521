"""The firmware's memory map in a kernel's log: what ``efi=debug`` prints, and what it leaves out.

Source of the lines: drivers/firmware/efi/efi-init.c (reserve_regions), fdtparams.c, efi.c
(match_config_table), memattr.c, esrt.c; arch/x86/platform/efi/efi.c (efi_print_memmap) has another
form of them.
"""

from __future__ import annotations

import re

from ttbr.boot.efi.firmware import INITRD_NOT_KNOWN, Firmware
from ttbr.boot.efi.memory_map import PAGE_SIZE, Descriptor, parse_attribute, parse_type
from ttbr.errors import InputError

HEADING = "Processing EFI memory map:"
RANGE = re.compile(
    r"efi:\s+0x(?P<first>[0-9a-f]+)-0x(?P<last>[0-9a-f]+) +\[(?P<type>[^|\]]*)\|(?P<bits>[^\]]*)\]"
)
NUMBERED = re.compile(
    r"efi: mem\d+: \[(?P<type>[^|\]]*)\|(?P<bits>[^\]]*)\] "
    r"range=\[0x(?P<first>[0-9a-f]+)-0x(?P<last>[0-9a-f]+)(?P<open>[\])])"
)
PARAMETER = re.compile(r"efi:\s+(System Table|MemMap [A-Z][\w. ]*?)\s*: 0x([0-9a-f]+)")
TABLE = re.compile(
    r"\b(MEMATTR|TPMEventLog|TPMFinalLog|MEMRESERVE|INITRD|ESRT|MOKvar)=0x([0-9a-f]+)"
)
ATTRIBUTES_ENTRY = re.compile(r"efi: memattr: !? *0x[0-9a-f]+-0x[0-9a-f]+ ")
ESRT = re.compile(r"Reserving ESRT space from 0x([0-9a-f]+) to 0x([0-9a-f]+)")
MEMBLOCK = re.compile(r"memblock_(reserve|add): \[0x([0-9a-f]+)-0x([0-9a-f]+)\] (\w+)")
# memblock's caller → the table that it reserves.
CALLERS = {
    "efi_memattr_init": "MEMATTR",
    "efi_tpm_eventlog_init": "TPM",
    "efi_config_parse_tables": "MEMRESERVE",
}
ATTRIBUTES_HEADER = 16  # bytes of efi_memory_attributes_table_t before its entries
EMPTY_RESERVATION = 16  # bytes of linux_efi_memreserve with no entries
Ranges = list[tuple[int, int]]


def firmware_in(text: str) -> Firmware:
    """The firmware whose kernel wrote the log; of several boots the last one.

    `InputError` if the log has no memory map, or not all of one.
    """
    start = text.rfind("Getting UEFI parameters")
    heading = text.rfind(HEADING)
    lines = text[max(start, 0) :].splitlines()
    descriptors = [entry for line in lines if (entry := _descriptor(line))]
    if not descriptors:
        raise InputError(
            "the log has no EFI memory map: boot with efi=debug on the command line"
            + (", and give the log from the kernel's first line on" if heading < 0 else "")
        )
    parameters = {name: int(value, 16) for line in lines for name, value in PARAMETER.findall(line)}
    stride = parameters.get("MemMap Desc. Size", 48)
    size = parameters.get("MemMap Size")
    unknowns: list[str] = []
    if size is None:
        unknowns.append("the log does not say how long the EFI memory map is: it may lack lines")
    elif not stride or size != len(descriptors) * stride:
        raise InputError(
            f"the log shows {len(descriptors)} of the {size // max(stride, 1)} ranges of the EFI "
            "memory map: lines are missing"
        )
    tables, more = _tables(lines, stride)
    return Firmware(
        memory_map=tuple(descriptors),
        memmap=parameters.get("MemMap Address"),
        stride=stride,
        tables={name: tuple(ranges) for name, ranges in tables.items()},
        system_table=parameters.get("System Table"),
        unknowns=(*unknowns, *more),
    )


def _descriptor(line: str) -> Descriptor | None:
    """The descriptor that a line shows; None for another line."""
    found = RANGE.search(line) or NUMBERED.search(line)
    if found is None:
        return None
    first, last = int(found["first"], 16), int(found["last"], 16)
    end = last if found.groupdict().get("open") == ")" else last + 1
    if first > end or (end - first) % PAGE_SIZE:
        raise InputError(f"the log has an EFI memory range of {end - first:#x} bytes: no pages")
    pages = (end - first) // PAGE_SIZE
    return Descriptor(parse_type(found["type"]), first, pages, parse_attribute(found["bits"]))


def _tables(lines: list[str], stride: int) -> tuple[dict[str, Ranges], list[str]]:
    """What the tables need reserved, and what of it the log does not tell."""
    named = {name: int(at, 16) for line in lines for name, at in TABLE.findall(line)}
    seen = _reservations(lines)
    tables: dict[str, Ranges] = {}
    unknowns: list[str] = []
    entries = sum(bool(ATTRIBUTES_ENTRY.search(line)) for line in lines)
    for name, at in named.items():
        if name in seen:
            tables[name] = seen[name]
        elif name == "MEMATTR" and entries:
            # The kernel shows them all, or none.
            tables[name] = [(at, ATTRIBUTES_HEADER + entries * stride)]
        elif name == "MEMRESERVE":
            tables[name] = [(at, EMPTY_RESERVATION)]
            unknowns.append(
                "what the MEMRESERVE table reserves is not in the log: it is taken to be empty, as "
                "the EFI stub makes it (memblock=debug tells)"
            )
        elif name == "INITRD":
            unknowns.append(INITRD_NOT_KNOWN)
        else:
            unknowns.append(
                f"how long the {name} table at {at:#x} is is not in the log: what it needs is not "
                "among the reserved memory (memblock=debug tells)"
            )
    return tables, unknowns


def _reservations(lines: list[str]) -> dict[str, Ranges]:
    """Ranges by table, out of the log that ``memblock=debug`` makes."""
    found: dict[str, Ranges] = {}
    before: tuple[str, int, int] | None = None
    for line in lines:
        if (esrt := ESRT.search(line)) is not None:
            start, end = int(esrt[1], 16), int(esrt[2], 16)
            found["ESRT"] = [(start, end - start)]
        call = MEMBLOCK.search(line)
        if call is None:
            continue
        what, start, last, caller = call[1], int(call[2], 16), int(call[3], 16), call[4]
        if what == "reserve" and caller in CALLERS:
            name = CALLERS[caller]
            if name == "TPM":
                name = "TPMFinalLog" if "TPMEventLog" in found else "TPMEventLog"
            found.setdefault(name, []).append((start, last + 1 - start))
        # The initrd's memory is added and reserved at once.
        if what == "reserve" and before == ("add", start, last):
            found["INITRD"] = [(start, last + 1 - start)]
        is_setup = caller == "arm64_memblock_init"
        before = (what, start, last) if is_setup else None
    return found
