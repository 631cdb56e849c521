"""Every command on a recording whose names somebody chose to do harm: none of them acts."""

import json
from dataclasses import replace

import harmless
import numpy as np
import pytest
import unpacked
from click.testing import CliRunner

from ttbr.cli.main import COMMANDS, cli
from ttbr.kernel.config import Config
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux

CASE = "arm64-4k-48"
ELSEWHERE = {
    *("boot", "run", "check", "kernel", "explain"),  # of no image
    *(
        "dump",
        "translate",
        "diff",
        "layout",
        "tui",
    ),  # names of regions: tests/cli/test_hostile_note.py
    "fleet",  # tests/cli/test_fleet.py
    "serve",  # the pages of view
}
SQL = {
    "tasks": "SELECT *, [name] AS l, {'n': name} AS s FROM tasks",
    "vmas": "SELECT * FROM vmas",
    "symbols": "SELECT * FROM symbols ORDER BY length(name) DESC LIMIT 200",
    "vmalloc": "SELECT * FROM vmalloc",
    "findings": "SELECT * FROM findings",
    "names": f"""SELECT name AS "{harmless.HOSTILE.replace(chr(0xDCFF), "")}" FROM tasks""",
}
TABLE = [
    *(
        (form, [command, "IMAGE", *more])
        for command, *more in (
            *(("ps",), ("ps", "--users"), ("maps", "1"), ("page", "PFN", "--as", "pfn")),
            *(("symbols", "--name", "(?s).*zq.*"), ("symbols", "--at", "CALLER"), ("config",)),
            *(("vmalloc",), ("memblock",), ("zones",), ("buddy",), ("meminfo",), ("info",)),
            *(("read", "TASK", "64"), ("search", harmless.MARK), ("audit", "--fail-on", "note")),
            *(("query", sql) for sql in SQL.values()),
        )
        for form in ("text", "json")
    ),
    *(("csv", ["query", "IMAGE", sql]) for sql in SQL.values()),
    ("sarif", ["audit", "IMAGE", "--sarif", "-"]),
    ("github", ["audit", "IMAGE", "--github"]),
    ("page", ["view", "IMAGE", "-o", "OUT"]),
    ("file", ["audit", "IMAGE", "--write-baseline", "OUT"]),
    ("file", ["export", "IMAGE", "--tables", "tasks,vmas", "--format", "csv", "-o", "OUT"]),
    ("file", ["export", "IMAGE", "--tables", "tasks,vmas", "--format", "json", "-o", "OUT"]),
]


@pytest.fixture(scope="module")
def planted(truth):
    """The recording's Linux with hostile names of tasks, files, modules and symbols."""
    ram = {
        base: np.frombuffer(unpacked.mapped(file, changeable=True), np.uint8)
        for base, file in unpacked.files(truth, CASE).items()
    }
    memory = BankedMemory(Piece(base, len(data), data) for base, data in ram.items())
    image = with_registers(Image(memory))[0]
    clean = Linux(image)

    def put(pa, data):
        base = max(base for base in ram if base <= pa)
        ram[base][pa - base : pa - base + len(data)] = np.frombuffer(data, np.uint8)

    comm = clean.layouts.offset("task_struct", "comm")
    for row, task in enumerate(clean.tasks.address.tolist()):
        name = harmless.SHORT[row % len(harmless.SHORT)]
        put(clean.memory.pa(task + comm), name.ljust(16, b"\0"))
    files = {name.rpartition("/")[2] for name in clean.vmas.name if name and "/" in name}
    for base, data in ram.items():
        text = data.tobytes()
        for number, file in enumerate(sorted(files)):
            name, at = (b"zq\x1b\n" + harmless.SHORT[number % 3] * 9)[: len(file.encode())], -1
            while (at := text.find(file.encode() + b"\0", at + 1)) >= 0:
                put(base + at, name)
    linux = Linux(image)
    symbols = clean.symbols
    callers = [symbols.nearest(at) for at in KernelMemory(clean).vmalloc.caller.tolist() if at]
    chosen = {near[0] for near in callers} | set(symbols.names[::97])
    names = [harmless.HOSTILE + name if name in chosen else name for name in symbols.names]
    names[0] = "\x1b" * (1 << 14)
    modules = tuple(harmless.HOSTILE for _ in symbols.modules)
    linux.__dict__["symbols"] = replace(symbols, names=names, modules=modules)
    linux.__dict__["kallsyms"] = clean.kallsyms
    config = f'CONFIG_LOCALVERSION="{harmless.HOSTILE}"\nCONFIG_X=y\n\x1b[2J\n'
    linux.__dict__["built_in_config"] = Config.from_text(config), config
    return linux


@pytest.fixture(scope="module")
def command(planted):
    """Runs a command on the planted image; stdout, whatever the answer is."""
    patch = pytest.MonkeyPatch()
    for name in (
        "audit",
        "config",
        "kernel_memory",
        "maps",
        "page",
        "ps",
        "query",
        "read",
        "symbols",
    ):
        patch.setattr(f"ttbr.cli.{name}.open_linux", lambda *given, **also: planted)
    patch.setattr("ttbr.cli.view.open_image", lambda *given: planted.image)
    patch.setattr("ttbr.cli.view.is_board", lambda spec: False)
    patch.setattr("ttbr.open", lambda *given: planted.image)
    row = planted.process(1)
    pages = planted.processes.of(int(planted.tasks.pgd[row])).view
    words = {
        "IMAGE": "dump.elf",
        "TASK": hex(
            int(planted.tasks.address[row] + planted.layouts.offset("task_struct", "comm"))
        ),
        "PFN": str(int(pages.readings.pa[pages.readings.has_page][0]) >> 12),
        "CALLER": hex(int(planted.symbols.address[97]) + 1),
    }

    def run(*arguments):
        given = [words.get(word, word) for word in arguments]
        done = CliRunner().invoke(cli, given)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code in (0, 1), (given, done.stderr)
        harmless.check("text", done.stderr)
        return done.stdout

    yield run
    patch.undo()


def test_no_name_acts(command, tmp_path, say):
    shown = set()
    for number, (form, arguments) in enumerate(TABLE):
        flag = {"json": ["--json"], "csv": ["--csv"]}.get(form, [])
        out = tmp_path / str(number)
        said = command(*(str(out) if word == "OUT" else word for word in arguments), *flag)
        harmless.check("text" if form in ("file", "page") else form, said)
        written = [said]
        for file in [*out.glob("*")] if out.is_dir() else [out] * out.exists():
            written.append(file.read_text("utf-8"))
            if form == "page":
                raw = ("\x1b", "\u202e", "<b>|$", "<script>=")
                assert not any(text in written[-1] for text in raw)
            else:
                harmless.check("csv" if file.suffix == ".csv" else "json", written[-1])
        if any(harmless.MARK in text for text in written):
            shown.add((form, arguments[0]))
    say(f"hostile names: {len(TABLE)} commands and forms, {len(shown)} kinds showed some")
    both = ("ps", "maps", "symbols", "config", "vmalloc", "audit", "query")
    assert shown >= {(form, name) for name in both for form in ("text", "json")} | {
        *(("csv", "query"), ("sarif", "audit"), ("github", "audit")),
        *(("file", "audit"), ("file", "export")),
    }


def test_every_command_is_in_the_table():
    assert {arguments[0] for _, arguments in TABLE} == COMMANDS.keys() - ELSEWHERE


def test_the_names_are_there(planted):
    names = [name.encode("utf-8", "surrogateescape") for name in planted.tasks.comm]
    assert set(names) == set(harmless.SHORT)
    assert any("\x1b" in (name or "") for name in planted.vmas.name)
    assert json.dumps(planted.symbols.modules) != "[]"
