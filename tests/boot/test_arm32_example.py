"""2 GiB at 0x60000000 on 32-bit ARM: the tables of the example, and what real kernels said."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot, boot_until_failure
from ttbr.boot.loader import custom
from ttbr.kernel.kernel import Kernel, profile_names
from ttbr.kernel.what_if import with_options

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "arm32-2g-at-60000000.md"
EXAMPLE = CHECKOUT / "examples" / "arm32-2g-at-60000000.dtb"
CONSOLES = CHECKOUT / "tests" / "fixtures" / "arm32_2g"
DTB_AT = 0x6800_0000
M = 1 << 20
SPLITS = ("VMSPLIT_3G", "VMSPLIT_3G_OPT", "VMSPLIT_2G", "VMSPLIT_1G")
SIZES = ("16M", "128M", "240M", "384M", "512M", "768M", "900M", "1M", "2G")
TABLE = re.compile(r"<!-- (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def booted(bootargs: str = "", **options: str) -> Boot:
    kernel = with_options(Kernel.from_profile("debian-6.1-armmp"), options)
    board = Board.from_dtb(EXAMPLE.read_bytes(), bootargs=bootargs)
    placed = custom(board, 0x6000_0000 + kernel.text_offset, DTB_AT)
    return boot_until_failure(board, kernel, placed)


def said(made: Boot, pattern: str) -> list[str]:
    found = (message.text for message in made.machine.log.messages)
    return [text for text in found if re.match(pattern, text)]


def row(made: Boot) -> list[str]:
    """Lowmem, highmem, RAM given up, vmalloc, user space: in MiB."""
    arm = made.machine.arch_state
    zones = {zone.name: zone for node in made.machine.nodes for zone in node.zones}
    high = zones["HighMem"].spanned // 256 if "HighMem" in zones else 0
    low = (arm.lowmem.limit - 0x6000_0000) // M
    return [
        f"{value} MiB"
        for value in (
            *(low, high, 2048 - low - high),
            *((0xFF80_0000 - arm.vmalloc_start) // M, arm.layout.task_size // M),
        )
    ]


def table_of_splits() -> Iterator[list[str]]:
    yield ["", "HIGHMEM", "lowmem", "highmem", "not used", "vmalloc", "user space"]
    for split in SPLITS:
        for highmem in "yn":
            yield [split, highmem, *row(booted(**{split: "y", "HIGHMEM": highmem}))]


def table_of_vmalloc() -> Iterator[list[str]]:
    yield ["", "lowmem", "highmem", "not used", "vmalloc", "the kernel says"]
    for size in SIZES:
        made = booted(f"vmalloc={size}")
        words = said(made, "vmalloc area") + ([str(made.failure)] if made.failure else [])
        yield [f"vmalloc={size}", *row(made)[:-1], "; ".join(words) or "nothing"]


def table_of_messages() -> Iterator[list[str]]:
    yield ["", "the kernel says"]
    for split in SPLITS:
        for highmem in "yn":
            made = booted(**{split: "y", "HIGHMEM": highmem})
            words = said(made, r"Ignoring|Consider|  (DMA|Normal|HighMem) |cma:")
            yield [f"{split}, HIGHMEM={highmem}", "<br>".join(f"`{w.strip()}`" for w in words)]


def markdown(rows: Iterator[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([lines[0], "|" + "---|" * lines[0].count(" | ") + "---|", *lines[1:]]) + "\n"


MADE = {"splits": table_of_splits, "vmalloc": table_of_vmalloc, "messages": table_of_messages}


def test_the_documents_tables_are_what_the_model_says() -> None:
    """With TTBR_WRITE_DOCS set, writes them instead."""
    text = DOCUMENT.read_text("utf-8")
    fresh = TABLE.sub(lambda m: f"<!-- {m[1]} -->\n{markdown(MADE[m[1]]())}<!-- end -->", text)
    if "TTBR_WRITE_DOCS" in os.environ:
        DOCUMENT.write_text(fresh, "utf-8")
    assert {m[1] for m in TABLE.finditer(fresh)} == set(MADE)
    assert DOCUMENT.read_text("utf-8") == fresh


@pytest.mark.parametrize("console", sorted(path.stem for path in CONSOLES.glob("*.txt")))
def test_real_kernels_say_the_same(console: str) -> None:
    heading, log = split_console((CONSOLES / f"{console}.txt").read_text("utf-8"))
    name = heading["kernel"]
    kernel = Kernel.from_profile(name if name in profile_names() else CONSOLES / name)
    folder = EXAMPLE.parent if (EXAMPLE.parent / heading["board"]).exists() else CONSOLES
    board = Board.from_dtb((folder / heading["board"]).read_bytes(), bootargs=heading["bootargs"])
    placed = custom(board, int(heading["kernel-at"], 0), int(heading["dtb-at"], 0))
    made = boot_until_failure(board, kernel, placed)
    early = made.stages[: made.stages.index("bootmem_init") + 1] if not made.failure else None
    ours = [
        message.text
        for message in made.machine.log.messages
        if (early is None or message.stage in early) and "memblock_alloc" not in message.text
    ]
    # Every line about memory until the zones are made is predicted, and in this order.
    end = next(at for at, line in enumerate(log) if line.startswith("Initmem setup"))
    about_memory = [line for line in log[: end + 1] if WORDS.match(line)]
    assert [text for text in ours if WORDS.match(text)] == about_memory
    assert len(about_memory) >= 15
    calls = [line for line in log if line.startswith("memblock_")]
    events = [
        f"{event.kind}: [{event.start:#010x}-{event.end:#010x}] {event.function}"
        for event in made.events
        if event.logged
    ]
    assert calls == events[: len(calls)]
    assert len(calls) > len(events) - 8  # the log ends where the page allocator takes over
    assert len(events) >= 9
    if log[-1].startswith("Kernel panic"):
        assert made.failure is not None
        assert log[-1].partition("syncing: ")[2] in str(made.failure)
    else:
        assert made.failure is None


WORDS = re.compile(
    r"Memory policy|vmalloc area|Ignoring|Consider|Truncating|cma:|MEMBLOCK| memory| reserved"
    r"|Zone ranges|Movable zone|Early memory|Initmem|  (DMA|Normal|HighMem|node) "
)


def split_console(text: str) -> tuple[dict[str, str], list[str]]:
    """The heading's ``# key: value`` lines, and the log."""
    lines = text.splitlines()
    heading = [line[2:].partition(": ") for line in lines if line.startswith("# ")]
    return (
        {key: value for key, _, value in heading},
        [line for line in lines if not line.startswith("#")],
    )


def test_a_kernel_built_without_highmem_says_what_is_assumed_of_one_with_it() -> None:
    """The approximation of --set, held against a kernel that was built with the other option."""
    heading, log = split_console((CONSOLES / "lean-6.12-no-highmem.txt").read_text("utf-8"))
    built = Kernel.from_profile(CONSOLES / "lean-6.12-3g.json")
    board = Board.from_dtb(EXAMPLE.read_bytes(), bootargs=heading["bootargs"])
    placed = custom(board, int(heading["kernel-at"], 0), DTB_AT)
    words = r"Ignoring|Consider|Zone ranges|Initmem|  (Normal|HighMem|node) |cma:"
    made = boot(board, with_options(built, {"HIGHMEM": "n"}), placed)
    end = next(at for at, line in enumerate(log) if line.startswith("Initmem"))
    there = [line for line in log[: end + 1] if re.match(words, line)]
    assert said(made, words) == there
    assert len(there) >= 7
    assert said(boot(board, built, placed), words) != there
