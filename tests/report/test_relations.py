"""Relations: declared and made alike, in NumPy's own memory, with hostile text as data."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest
import query_page
from rich.console import Console

from ttbr.errors import InputError
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.assumed_registers import arm64_registers
from ttbr.report.cells import print_cells, write_cells_csv, write_cells_json
from ttbr.report.relation_list import relations_markdown
from ttbr.report.relations import RELATIONS, Column, Relation, Relations, arrow
from ttbr.report.relations.relation import TYPES, Coded, Known, coded
from ttbr.report.sql import Query, arrow_cells

HOSTILE = "\x1b[31mred\n\u202e\"',;DROP\\<b>\x00é"
NOT_UTF8 = b"a\xffb".decode("utf-8", "surrogateescape")


def relation(*columns):
    declared = tuple(Column(name, kind, "") for name, kind in columns)
    return Relation("pages", "", "", declared, lambda source: None)


class Made(Relations):
    """Relations with given Arrow tables."""

    def __init__(self, **tables):
        self._made = tables


def test_the_page_says_what_the_table_says():
    assert query_page.relations() == relations_markdown()


def test_the_queries_of_the_page_can_be_run():
    asked = query_page.queries()
    assert len(asked) >= 12
    assert set().union(*(Query(sql).needs for sql in asked.values())) == {*RELATIONS} - {"meminfo"}


def test_every_name_can_be_written_without_quotes():
    sql = """SELECT keyword_name FROM duckdb_keywords()
             WHERE keyword_category NOT IN ('unreserved', 'column_name')"""
    reserved = {row[0] for part in Query(sql).run(Made()).rows for row in part}
    assert {"table", "inner"} <= reserved
    for each in RELATIONS.values():
        names = [column.name for column in each.columns]
        assert not reserved & {each.name, *names}
        assert len(set(names)) == len(names)
        assert all(column.type in TYPES and column.meaning for column in each.columns)


def test_numbers_are_not_copied():
    numbers = np.arange(1000, dtype=np.uint64)
    table = arrow.table(relation(("va", "uint64")), {"va": numbers})
    data = table["va"].chunk(0).buffers()[1]
    assert data.address == numbers.ctypes.data
    codes = np.zeros(1000, np.int32)
    table = arrow.table(relation(("k", "category")), {"k": Coded(codes, ["a"])})
    assert table["k"].chunk(0).indices.buffers()[1].address == codes.ctypes.data


def test_what_is_not_known_is_null():
    table = arrow.table(
        relation(("n", "int64"), ("k", "category"), ("s", "string")),
        {
            "n": Known(np.array([1, -1]), np.array([True, False])),
            "k": coded(np.array([2, -1]), ["x", "y", "x"]),
            "s": ["", None],
        },
    )
    assert table.to_pylist() == [
        {"n": 1, "k": "x", "s": ""},
        {"n": None, "k": None, "s": None},
    ]
    assert table["k"].chunk(0).dictionary.to_pylist() == ["x", "y"]


@pytest.fixture
def hostile():
    table = arrow.table(
        RELATIONS["meminfo"],
        {"name": [HOSTILE, NOT_UTF8], "kib": np.array([1, 2]), "count": np.array([0, 0])},
    )
    return Made(meminfo=table)


def test_hostile_names_are_data(hostile):
    assert hostile["meminfo"]["name"].to_pylist() == [HOSTILE, "a\\xffb"]
    cells = Query("SELECT name FROM meminfo ORDER BY kib").run(hostile)
    assert [row for part in cells.rows for row in part] == [(HOSTILE,), ("a\\xffb",)]


def test_hostile_names_are_escaped_where_there_is_text(hostile):
    called = HOSTILE.replace('"', "").replace("\0", "")
    query = Query(f'SELECT name, kib AS "{called}" FROM meminfo ORDER BY kib')
    text, as_csv, as_json = io.StringIO(), io.StringIO(), io.StringIO()
    out = Console(file=text, markup=False, highlight=False, width=1000)
    assert print_cells(out, query.run(hostile)) == 2
    write_cells_csv(as_csv, query.run(hostile))
    write_cells_json(as_json, query.run(hostile))
    for said, lines in ((text, 3), (as_csv, 3), (as_json, 4)):
        assert said.getvalue().count("\n") == lines
        assert said.getvalue().replace("\n", "").isascii()
        assert said.getvalue().replace("\n", "").isprintable()
    assert next(iter(json.loads(as_json.getvalue())[0].values())) == HOSTILE
    assert list(csv.reader(io.StringIO(as_csv.getvalue())))[1][0].startswith("\\x1b[31mred\\x0a")
    with pytest.raises(InputError) as error:
        Query("SELECT name::INT FROM meminfo").run(hostile)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", RELATIONS)
def test_only_what_is_read_is_made(name):
    for sql in (
        f"FROM {name} LIMIT 1",
        f"SELECT count(*) FROM {name.upper()} WHERE false",
        f"WITH t AS (SELECT * FROM {name}) SELECT 1 FROM t a JOIN t b ON true",
        f"SELECT 1 WHERE EXISTS (FROM {name})",
        f"FROM query('FROM {name}')",
    ):
        assert Query(sql).needs == (name,), sql
    assert Query(f"WITH {name} AS (SELECT 1 AS one) SELECT one FROM {name}").needs == ()
    described = Query(f"DESCRIBE FROM {name}")  # DESCRIBE tables lists all of them
    assert described.needs == ()
    rows = [row for part in described.run(Made()).rows for row in part]
    assert [row[0] for row in rows] == [column.name for column in RELATIONS[name].columns]


@pytest.mark.parametrize(
    "sql",
    [
        "",
        ";",
        "SELEC 1",
        "SELECT 1; SELECT 2",
        "SELECT nothing FROM mappings",
        "FROM nowhere",
        "FROM '/etc/passwd'",
        "FROM 'http://localhost/x.parquet'",
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('/etc/passwd')",
        "FROM read_blob('/etc/passwd')",
        "FROM read_json('/etc/passwd')",
        "FROM sniff_csv('/etc/passwd')",
        "FROM glob('/*')",
        "FROM parquet_metadata('/etc/passwd')",
        "FROM query('FROM ''/etc/passwd''')",
        "FROM hostile",  # a variable of this module
        "COPY meminfo TO '/tmp/never.csv'",
        "COPY (SELECT 1) TO '/tmp/never.csv'",
        "EXPORT DATABASE '/tmp/never'",
        "ATTACH '/tmp/never.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET GLOBAL lock_configuration = false",
        "PRAGMA enable_profiling",
        "RESET temp_directory",
        "CREATE TABLE x AS SELECT 1",
        "DROP TABLE meminfo",
        "INSERT INTO meminfo VALUES ('x', 1)",
        "CALL pragma_version()",
        "SELECT getenv('HOME')",
        "SELECT $1",
        "EXPLAIN ANALYZE SELECT 1",
    ],
)
def test_what_a_query_cannot_do(sql, hostile):
    with pytest.raises(InputError) as error:
        list(Query(sql).run(hostile).rows)
    assert "\n" not in str(error.value)


def test_a_query_that_fails_on_the_way(hostile):
    sql = "SELECT CASE WHEN range = 99999 THEN error('now') ELSE 1 END FROM range(100000), meminfo"
    with pytest.raises(InputError, match="now"):
        list(Query(sql).run(hostile).rows)


def test_values_that_json_has_no_form_for(hostile):
    sql = """SELECT 'nan'::DOUBLE AS f, [18446744073709551615::UBIGINT] AS l, {'a': 1} AS s,
             DATE '2000-01-01' AS d, true AS b, 255::UBIGINT AS u, 'x'::BLOB AS x, NULL AS n"""
    out = io.StringIO()
    write_cells_json(out, Query(sql).run(hostile))
    assert json.loads(out.getvalue()) == [
        {
            **{"f": None, "l": [2**64 - 1], "s": {"a": 1}, "d": "2000-01-01", "b": True},
            **{"u": "0xff", "x": "b'x'", "n": None},
        }
    ]


def test_names_that_came_with_an_image():
    facts = ImageFacts(symbols={HOSTILE: 0xFFFF800008000000, NOT_UTF8: 0xFFFF800008001000})
    registers = {**arm64_registers(0x1000, 48, 0), "TTBR1_EL1": 0x40000000}
    image = Image(Ram([Bank(0x40000000, 0x1000)]), registers, facts)
    relations = Relations.of(image)
    cells = Query("SELECT address, name FROM symbols ORDER BY address").run(relations)
    assert [row for part in cells.rows for row in part] == [
        (0xFFFF800008000000, HOSTILE),
        (0xFFFF800008001000, "a\\xffb"),
    ]


def test_an_empty_space():
    registers = {**arm64_registers(0x1000, 48, 0), "TTBR1_EL1": 0x40000000}
    relations = Relations.of(Image(Ram([Bank(0x40000000, 0x1000)]), registers))
    for name in ("mappings", "regions"):
        assert relations[name].num_rows == 0
        assert relations[name].schema.equals(arrow.schema(RELATIONS[name]))
    assert relations["tables"].num_rows == 1
    assert arrow_cells(relations["tables"]).is_word[0]
    assert isinstance(relations["tables"], pa.Table)
    with pytest.raises(InputError, match="memblock"):
        relations["memblock"]
    with pytest.raises(KeyError):
        relations["nothing"]
