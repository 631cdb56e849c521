"""`ttbr query` and `ttbr export` as a user runs them, on predictions."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from ttbr.report.relations import RELATIONS

COLUMNS = """va, last, pa, size, levels, memory, inner_cache AS "inner", outer_cache AS "outer",
shareability, access_flag, non_global"""
RANGES = f"SELECT {COLUMNS}, contiguous FROM regions ORDER BY va"


@pytest.fixture(params=["qemu-virt-arm64", "qemu-virt-arm32"])
def image(request, predictions):
    return predictions[request.param]


def test_regions_are_what_dump_prints(ttbr, image, say):
    dumped = list(csv.DictReader(io.StringIO(ttbr("dump", image, "--format", "csv").out)))
    kept = [name for name in dumped[0] if name not in ("el1", "el0")]
    wanted = [{name: row[name] for name in kept} for row in dumped]
    found = list(csv.DictReader(io.StringIO(ttbr("query", image, RANGES, "--csv").out)))
    assert found == wanted
    rows = ttbr("query", image, RANGES, "--json").json
    assert [
        {k: str(int(v) if isinstance(v, bool) else v) for k, v in r.items()} for r in rows
    ] == wanted
    text = ttbr("query", image, RANGES).out.splitlines()
    assert len(text) == len(wanted) + 1
    assert [line.split()[:3] for line in text[1:]] == [list(r.values())[:3] for r in wanted]
    say(f"ranges of a prediction by SQL: compared {len(wanted)}, equal {len(wanted)}")


def test_permissions_are_columns(ttbr, image):
    sql = """SELECT sum(size)::BIGINT AS bytes FROM mappings
             WHERE el1_write AND el1_execute AND NOT el0_read"""
    dumped = ttbr("dump", image, "--where", "w and x and not ur", "--json").json
    wanted = sum(row["size"] for row in dumped["mappings"])
    assert wanted or "arm64" in image.name
    assert (ttbr("query", image, sql, "--json").json[0]["bytes"] or 0) == wanted


def test_another_root(ttbr, image):
    named = ttbr("query", image, "SELECT count(*) AS n FROM tables", "--json").json
    root = ttbr("dump", image, "--json").json["root"]
    by_address = ttbr("query", image, "SELECT count(*) AS n FROM tables", "--root", root, "--json")
    assert by_address.json == named


def test_files_have_the_same_rows(ttbr, image, tmp_path):
    done = ttbr("export", image, "-o", tmp_path / "new" / "out")
    assert done.code == 0
    assert "tasks is left out: no tasks were found" in done.err
    made = sorted((tmp_path / "new" / "out").iterdir())
    assert [path.name for path in made] == [
        f"{name}.parquet"
        for name in ("findings", "mappings", "meminfo", "regions", "symbols", "tables")
    ]
    for form in ("csv", "json"):
        done = ttbr("export", image, "--tables", "regions,tables", "--format", form, "-o", tmp_path)
        assert (done.code, done.err) == (0, "")
    for name in ("regions", "tables"):
        table = pyarrow.parquet.read_table(tmp_path / "new" / "out" / f"{name}.parquet")
        assert [
            (field.name, field.metadata[b"description"].decode()) for field in table.schema
        ] == [(column.name, column.meaning) for column in RELATIONS[name].columns]
        by_sql = ttbr("query", image, f"FROM {name}", "--json").json
        assert json.loads((tmp_path / f"{name}.json").read_text()) == by_sql
        assert (tmp_path / f"{name}.csv").read_text() == ttbr(
            "query", image, f"FROM {name}", "--csv"
        ).out
        words = [column.name for column in RELATIONS[name].columns if column.type == "uint64"]
        rows = [
            {k: hex(v) if k in words and v is not None else v for k, v in row.items()}
            for row in table.to_pylist()
        ]
        assert rows == by_sql


def test_nothing_is_replaced_by_accident(ttbr, image, tmp_path):
    (tmp_path / "regions.csv").write_text("mine")
    arguments = ("export", image, "--tables", "tables,regions", "--format", "csv", "-o", tmp_path)
    ttbr(*arguments).refused("regions.csv", "--force")
    assert [path.name for path in tmp_path.iterdir()] == ["regions.csv"]
    assert (tmp_path / "regions.csv").read_text() == "mine"
    done = ttbr(*arguments, "--force", "--json")
    assert [row["relation"] for row in done.json] == ["tables", "regions"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["regions.csv", "tables.csv"]
    assert (tmp_path / "regions.csv").read_text().startswith("va,last")


def test_a_list_of_relations(ttbr):
    assert [row["relation"] for row in ttbr("query", "--tables", "--json").json] == [*RELATIONS]
    lines = ttbr("query", "--tables").out.splitlines()
    assert len(lines) == sum(1 + len(relation.columns) for relation in RELATIONS.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["query", "IMAGE", "SELEC 1"], "syntax error"),
        (["query", "IMAGE", "FROM mapping"], "mapping"),
        (["query", "IMAGE", "SELECT vaddr FROM mappings"], "vaddr"),
        (["query", "IMAGE", "FROM '/etc/passwd'"], "/etc/passwd"),
        (["query", "IMAGE", "SELECT 1; SELECT 2"], "not one SELECT"),
        (["query", "IMAGE", "FROM memblock"], "memblock: not found"),
        (["query", "IMAGE", "FROM tasks"], "no tasks were found"),
        (["query", "IMAGE", "SELECT 1", "--json", "--csv"], "leave one"),
        (["query", "IMAGE", "FROM mappings", "--root", "x"], "root 'x'"),
        (["query", "nowhere.elf", "SELECT 1"], "nowhere.elf"),
        (["query", "IMAGE"], "SELECT"),
        (["export", "IMAGE"], "--output"),
        (["export", "IMAGE", "-o", "OUT", "--tables", "zones"], "zones: not found"),
        (["export", "IMAGE", "-o", "OUT", "--tables", "x,y"], "'x' is no relation"),
        (["export", "IMAGE", "-o", "IMAGE"], "is a file"),
    ],
)
def test_bad_input(ttbr, predictions, tmp_path, arguments, words):
    given = {"IMAGE": predictions["qemu-virt-arm64"], "OUT": tmp_path / "out"}
    ttbr(*(given.get(word, word) for word in arguments)).refused(words)


ENDLESS = """SELECT count(*) FROM range(1000000000) a, range(1000000000) b, tables
             WHERE (a.range * b.range) % 7 = level"""
LARGE = """SELECT a.range, b.range FROM range(100000) a, range(100000) b, tables
           ORDER BY a.range * b.range % 999"""


@pytest.mark.parametrize(
    "sql", [ENDLESS, "SELECT a.range, va FROM range(1000000000) a, tables WHERE a.range > 900000"]
)
def test_a_query_that_takes_too_long(predictions, ttbr, sql):
    done = ttbr("query", predictions["qemu-virt-arm32"], sql, "--timeout", "0.5", "--csv")
    assert done.code == 2
    assert done.err == "ttbr: error: the query took longer than 0.5 s\n"


def test_a_query_that_takes_too_much(predictions, ttbr):
    done = ttbr("query", predictions["qemu-virt-arm32"], LARGE, "--memory-limit", "64M")
    done.refused("the query needs more memory than it may have")


@pytest.mark.parametrize("form", ["text", "--json"])
def test_a_query_is_interrupted(predictions, form):
    """Where it works without a row, and where it gives rows without end."""
    image = predictions["qemu-virt-arm32"]
    sql = ENDLESS if form == "text" else "SELECT a.range FROM range(1000000000000) a, tables"
    command = [sys.executable, "-m", "ttbr", "query", str(image), sql]
    with subprocess.Popen(
        command + ["--json"] * (form != "text"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as query:
        if form == "text":
            busy(query.pid)
        else:
            assert query.stdout.read(1000).startswith("[\n{")
        query.send_signal(signal.SIGINT)
        _, err = query.communicate(timeout=60)
    assert (query.returncode, err.strip()) == (130, "")


def busy(pid):
    """Wait until a process has a thread of DuckDB's and some of the processor."""
    file = Path(f"/proc/{pid}/stat")
    before = None
    while True:
        fields = file.read_text().rpartition(") ")[2].split()
        threads, used = int(fields[17]), int(fields[11])
        if threads > 2 and before is not None and used > before + 50:
            return
        before = used if threads > 2 and before is None else before
        time.sleep(0.05)


def test_text_of_many_rows_comes_in_parts(predictions, ttbr):
    sql = "SELECT range AS n FROM range(25000), (SELECT 1 FROM tables LIMIT 1) ORDER BY n"
    lines = ttbr("query", predictions["qemu-virt-arm32"], sql).out.split()
    assert lines.count("N") == 3
    assert [line for line in lines if line != "N"] == [str(n) for n in range(25000)]


@pytest.mark.parametrize(
    ("absent", "arguments"),
    [
        ("duckdb", ["query", "x", "SELECT 1"]),
        ("pyarrow", ["query", "x", "SELECT 1"]),
        ("pyarrow", ["export", "IMAGE", "--tables", "regions", "-o", "out"]),
    ],
)
def test_without_the_extra(predictions, tmp_path, absent, arguments):
    image = str(predictions["qemu-virt-arm64"])
    program = (
        f"import sys; sys.modules[{absent!r}] = None; sys.argv = ['ttbr', *{arguments!r}];"
        "from ttbr.cli.main import main; main()"
    ).replace("'IMAGE'", repr(image))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert absent in done.stderr
    assert "ttbr[query]" in done.stderr


def test_findings_are_those_of_the_audit(ttbr, image):
    audited = ttbr("audit", image, "--json").json["findings"]
    sql = "SELECT finding, code, severity, message, count(va) AS n FROM findings GROUP BY ALL"
    rows = ttbr("query", image, f"{sql} ORDER BY finding", "--json").json
    assert [(row["code"], row["severity"]) for row in rows] == [
        (one["code"], one["severity"]) for one in audited
    ]
    assert [row["n"] for row in rows] == [
        len(one.get("mapped", ())) + one.get("more", 0) for one in audited
    ]
