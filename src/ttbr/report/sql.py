"""SQL on an image's relations, with DuckDB.

A query may come from somebody else: it can read the relations that it names and nothing besides,
no file, no network, and change no setting.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ttbr.errors import InputError
from ttbr.report.hostile import shown
from ttbr.report.interruptible import Interruptible
from ttbr.report.relations import RELATIONS, Relations
from ttbr.report.relations.arrow import EXTRA, schema

_AT_ONCE = 10_000
_ALONE = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",  # variables of this program are no tables
    "temp_directory": "",
}
_SCANS = ("SEQ_SCAN", "TABLE_SCAN")  # of the planner's tables
_MADE_OF = "_columns"


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows with their columns' ``names``; ``is_word``: which hold addresses or words of bits.

    ``rows``: lists of rows, by and by.
    """

    names: tuple[str, ...]
    is_word: tuple[bool, ...]
    rows: Iterator[list[tuple[Any, ...]]]


class Query:
    """One SELECT, checked against the relations' columns before anything is read.

    ``needs``: the relations that it reads. `InputError` if it is no SELECT that can be run.
    """

    def __init__(self, sql: str) -> None:
        self._duckdb = _duckdb()
        self._sql = sql
        self._planner = self._duckdb.connect(":memory:", config=_ALONE)
        for name, relation in RELATIONS.items():
            self._planner.register(_MADE_OF, schema(relation).empty_table())
            self._planner.execute(f"CREATE TABLE {name} AS FROM {_MADE_OF}")
        self._planner.unregister(_MADE_OF)
        # Nothing is taken out of the plan then, though the tables are empty.
        self._planner.execute("PRAGMA disable_optimizer")
        self._planner.execute("SET lock_configuration = true")
        try:
            statements = self._planner.extract_statements(sql)
            kinds = [statement.type for statement in statements]
            if kinds != [self._duckdb.StatementType.SELECT]:
                raise InputError("the query is not one SELECT")
            plan = self._planner.execute(f"EXPLAIN (FORMAT JSON) {sql}").fetchall()
        except self._duckdb.Error as error:
            raise InputError(_line(error)) from None
        named = {name for row in plan for node in json.loads(row[1]) for name in _tables(node)}
        self.needs = tuple(name for name in RELATIONS if name in named)

    def run(
        self, relations: Relations, seconds: float | None = None, memory: int | None = None
    ) -> Cells:
        """The answer; `InputError` if a relation cannot be made or the query fails.

        ``seconds`` and ``memory`` (bytes) are the most that SQL may take, beside the relations;
        without the latter it is DuckDB's own limit, a share of the machine's.
        """
        # Without relations it is about their columns (DESCRIBE, SHOW): those the planner has.
        connection = self._planner
        if self.needs:
            limit = {} if memory is None else {"memory_limit": f"{memory}B"}
            connection = self._duckdb.connect(":memory:", config={**_ALONE, **limit})
            for name in self.needs:
                connection.register(name, relations[name])
            connection.execute("SET lock_configuration = true")
        running = Interruptible(connection, seconds)
        self._asked(running, connection.execute, self._sql)
        columns = [(name, str(kind)) for name, kind, *_ in connection.description]
        return Cells(
            tuple(name for name, _ in columns),
            tuple(kind == "UBIGINT" for _, kind in columns),
            self._fetched(running, connection),
        )

    def _fetched(self, running: Interruptible, connection: Any) -> Iterator[list[tuple[Any, ...]]]:
        while rows := self._asked(running, connection.fetchmany, _AT_ONCE):
            yield rows

    def _asked(self, running: Interruptible, function: Callable[..., Any], given: Any) -> Any:
        """What DuckDB answers; its errors are `InputError`."""
        try:
            return running.call(function, given)
        except self._duckdb.OutOfMemoryException:
            raise InputError("the query needs more memory than it may have") from None
        except self._duckdb.Error as error:
            raise InputError(_line(error)) from None


def arrow_cells(table: Any) -> Cells:
    """The rows of an Arrow table."""

    def rows() -> Iterator[list[tuple[Any, ...]]]:
        for batch in table.to_batches(max_chunksize=_AT_ONCE):
            yield list(zip(*(column.to_pylist() for column in batch.columns), strict=True))

    kinds = [str(field.type) for field in table.schema]
    return Cells(tuple(table.schema.names), tuple(kind == "uint64" for kind in kinds), rows())


def _duckdb() -> ModuleType:
    try:
        import duckdb as library  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise InputError(
            f"SQL needs duckdb, which is not installed: pip install 'ttbr[{EXTRA}]'"
        ) from None
    return library


def _tables(node: dict[str, Any]) -> Iterator[str]:
    """The names of the tables that a node of a plan and those below it read."""
    about = node.get("extra_info")
    named = about.get("Table") if isinstance(about, dict) else None
    if named is not None or node.get("name") in _SCANS:
        name = str(named).rpartition(".")[2].strip('"')
        if name not in RELATIONS:  # rather no answer than one from the planner's empty tables
            raise InputError(f"the query: it reads {shown(name)}, which is no relation")
        yield name
    for child in node.get("children", ()):
        yield from _tables(child)


def _line(error: Exception) -> str:
    """What DuckDB says is wrong, without the picture of the place; it may quote the image."""
    said = str(error).partition("\n\nLINE ")[0]
    return f"the query: {shown(' '.join(said.split()))}"
