"""Every command on a dump whose own note of its kernel was written to do harm: nothing acts."""

from dataclasses import replace
from pathlib import Path

import harmless
import pytest
from click.testing import CliRunner

from ttbr.boot import Board, boot, default_kernel, qemu
from ttbr.cli.main import cli
from ttbr.memory.save import save_core
from ttbr.recover.note import image_note

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TABLE = [
    *(
        ("csv" if form == "csv" else "text" if form == "ptdump" else form, command)
        for form in ("text", "json", "csv", "ptdump")
        for command in (["dump", "IMAGE", "--format", form],)
    ),
    *(
        (form, [*command, *(["--json"] if form == "json" else [])])
        for form in ("text", "json")
        for command in (
            ["info", "IMAGE"],
            ["dump", "IMAGE", "--root", "0x40204000"],
            ["translate", "IMAGE", "0xc0008000", "--steps"],
            ["translate", "IMAGE", "--reverse", "0x40208000"],
            ["layout", "IMAGE"],
            ["layout", "IMAGE", "--physical"],
            ["diff", "IMAGE", "CLEAN"],
            ["diff", "CLEAN", "IMAGE"],
            ["symbols", "IMAGE"],
            ["audit", "IMAGE"],
            ["query", "IMAGE", "FROM mappings"],
            ["query", "IMAGE", "FROM regions"],
            ["query", "IMAGE", "FROM symbols"],
            ["query", "IMAGE", "FROM tables"],
        )
    ),
    ("csv", ["query", "IMAGE", "FROM regions", "--csv"]),
    ("csv", ["query", "IMAGE", "FROM symbols", "--csv"]),
    ("sarif", ["audit", "IMAGE", "--sarif", "-"]),
    ("github", ["audit", "IMAGE", "--github"]),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A prediction, and the same with another kernel and a note full of harm."""
    folder = tmp_path_factory.mktemp("note")
    board = Board.from_dtb((EXAMPLES / "qemu-virt-arm32.dtb").read_bytes())
    kernel = default_kernel(board)
    image = boot(board, kernel, qemu(board, kernel)).images["mm_init"]
    save_core(folder / "clean.elf", image.memory, [image_note(image)], "arm")
    facts = replace(
        image.facts,
        release=f"6.1.0-{harmless.HOSTILE}",
        stage=harmless.HOSTILE,
        source=harmless.HOSTILE,
        markers=tuple((va, harmless.HOSTILE + name) for va, name in image.facts.markers),
        symbols={**image.facts.symbols, harmless.HOSTILE: 0xC0008000},
        roots={**image.facts.roots, harmless.HOSTILE: 0x40204000},
    )
    registers = {**image.registers, harmless.HOSTILE: 1}
    hostile = replace(image, facts=facts, registers=registers)
    other = next(va for va, _ in image.facts.markers if va >= 0xC0000000)
    entry = image.address_space("kernel").translate(other + (1 << 20)).steps[-1].address
    image.memory.write(entry, bytes(4))
    save_core(folder / "hostile.elf", image.memory, [image_note(hostile)], "arm")
    return {"IMAGE": str(folder / "hostile.elf"), "CLEAN": str(folder / "clean.elf")}


def test_nothing_acts(files, say):
    shown = set()
    for form, arguments in TABLE:
        done = CliRunner().invoke(cli, [files.get(word, word) for word in arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), (
            arguments,
            done.exception,
        )
        assert done.exit_code in (0, 1), (arguments, done.stderr)
        harmless.check(form, done.stdout)
        harmless.check("text", done.stderr)
        if harmless.MARK in done.stdout:
            shown.add((form, arguments[0]))
    say(f"a hostile note: {len(TABLE)} commands and forms, {len(shown)} kinds showed some")
    assert shown >= {("text", "dump"), ("csv", "query")} | {
        (form, name) for name in ("info", "query") for form in ("text", "json")
    }
