"""The table of docs/forward-exactness.md: what was compared with each recording, and what is equal.

``TTBR_WRITE_DOCS=1 pytest tests/truth/test_forward_table.py`` writes it anew.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from types import ModuleType

from forward import has_stages, predicted
from forward_arm64 import PAGE, Format, Reader, Recording, tables
from free_lists import kernel_memory
from memory_log import about_memory, boot_log, events, same, until_hand_over
from running import about_ram, zones
from test_forward_arm import table_pages

from ttbr.boot.boot import Boot
from ttbr.boot.iomem import iomem
from ttbr.boot.when_up import when_up
from ttbr.mmu.image import Image
from ttbr.report.dmesg import dmesg
from ttbr.report.iomem import iomem_lines

HEADINGS = (
    "recording",
    "table pages",
    "memblock events",
    "log lines",
    "`/proc/iomem`",
    "zone figures",
    "free blocks",
    "`Memory:`",
)
ABSENT = "–"
AT_SETUP_ARCH_END = ("setup_arch-end", "bootmem_init")


@dataclass(frozen=True)
class Row:
    """One recording: ``equal of compared`` for each kind; `ABSENT` for what was not recorded."""

    case: str
    tables: str
    events: str
    lines: str
    iomem: str
    zones: str
    blocks: str
    memory: str

    def markdown(self) -> str:
        return "| " + " | ".join(astuple(self)) + " |"


def row(truth: ModuleType, case: str) -> Row:
    """Compare everything that the recording has."""
    made = predicted(truth, case)
    log = boot_log(truth, case)
    said = about_memory(log)
    mine = [text for text, _ in dmesg(made.machine)]
    real_events = events(until_hand_over(log))
    mine_events = [(e.kind, e.start, e.end, e.function) for e in made.machine.log if e.logged]
    return Row(
        case,
        _tables(truth, case, made),
        _of(sum(a == b for a, b in zip(mine_events, real_events, strict=False)), len(real_events)),
        _of(sum(same(a, b) for a, b in zip(mine, said, strict=False)), len(said)),
        _iomem(truth, case, made),
        _zones(truth, case, made),
        _blocks(truth, case, made),
        _memory(mine, said),
    )


def table(rows: list[Row]) -> str:
    """The rows under their headings, as Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    return "\n".join([*lines, *(found.markdown() for found in rows)]) + "\n"


def _of(equal: int, compared: int) -> str:
    return f"{equal} of {compared}"


def _tables(truth: ModuleType, case: str, made: Boot) -> str:
    """Pages of every table below the kernel's root at the end of setup_arch(), vmemmap's too."""
    stage, model_stage = AT_SETUP_ARCH_END
    if not has_stages(truth, case):
        return ABSENT
    recording = Recording(truth, case)
    read = next(reader for name, reader in recording.memory() if name == stage)
    registers = recording.registers(stage)
    image = made.images[model_stage]
    pages = _pages(image.memory.read, image, registers) | _pages(read, image, registers)
    equal = sum(read(page, PAGE) == image.memory.read(page, PAGE) for page in pages)
    return _of(equal, len(pages))


def _pages(read: Reader, image: Image, registers: dict[str, int]) -> set[int]:
    """4 KiB pages of the tables below swapper_pg_dir, itself included."""
    root = image.facts.roots["swapper_pg_dir"]
    if image.arch == "arm":
        return set(table_pages(read, root, "MAIR0" in registers))
    regime = image.kernel_regime
    shift = regime.levels[-1].shift
    first = 4 - len(regime.levels)
    form = Format.of(registers["TCR_EL1"], shift)
    return {
        page
        for table, size in tables(read, form, root, first, (1 << shift) // 8)
        for page in range(table // PAGE * PAGE, table + size, PAGE)
    }


def _iomem(truth: ModuleType, case: str, made: Boot) -> str:
    try:
        real = about_ram(truth.text(case, "iomem.txt"))
    except FileNotFoundError:
        return ABSENT
    mine = iomem_lines(iomem(made.machine))
    return _of(sum(a == b for a, b in zip(mine, real, strict=False)), len(real))


def _zones(truth: ModuleType, case: str, made: Boot) -> str:
    try:
        real = zones(truth.text(case, "zoneinfo.txt"))
    except FileNotFoundError:
        return ABSENT
    mine = {
        (up.node, up.zone.name): {
            "start_pfn": up.zone.start_pfn,
            "spanned": up.zone.spanned,
            "present": up.zone.present,
            "managed": up.managed,
        }
        for up in when_up(made.machine)
    }
    equal = sum(mine.get(z, {}).get(k) == v for z, row in real.items() for k, v in row.items())
    return _of(equal, sum(map(len, real.values())))


def _blocks(truth: ModuleType, case: str, made: Boot) -> str:
    if not has_stages(truth, case):
        return ABSENT
    machine, got = made.machine, made.machine.handed_over
    assert got is not None
    symbols = {
        name: machine.kernel.symbols[name] + machine.kaslr_offset
        for name in ("contig_page_data", "node_data", "mem_map")
        if name in machine.kernel.symbols
    }
    real = kernel_memory(truth, case, symbols).free_lists()
    equal = sum(
        len(set(found) & set(got.free.of(node, zone, order).tolist()))
        for (node, zone, order, _), found in real.items()
    )
    return _of(equal, sum(map(len, real.values())))


def _memory(mine: list[str], said: list[str]) -> str:
    """Whether the line about memory is equal, or what of it is not determined."""
    model = next(line for line in mine if line.startswith("Memory: "))
    real = next((line for line in said if line.startswith("Memory: ")), None)
    if real is None:
        return "not in the log"
    if model == real:
        return "equal"
    return "equal but for what is free" if same(model, real) else "different"
