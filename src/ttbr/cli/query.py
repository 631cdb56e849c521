"""``ttbr query`` and ``ttbr export``: the tables that an image holds, by SQL and as files."""

import sys
from pathlib import Path
from typing import Any

import click

from ttbr.cli.images import root_of, root_option
from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import console, json_option, print_json, progress, say
from ttbr.cli.values import NUMBER
from ttbr.errors import InputError
from ttbr.report.cells import print_cells, write_cells_csv, write_cells_json
from ttbr.report.export import FORMATS, places, write
from ttbr.report.relation_list import print_relations, relations_json
from ttbr.report.relations import RELATIONS, Relations
from ttbr.report.sql import Query


def _list_tables(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        if "--json" in sys.argv:  # options that are not eager have no value yet
            print_json(relations_json())
        else:
            print_relations(console())
        context.exit(0)


def _relations(image_spec: str, root: str, **given: Any) -> Relations:
    linux = open_linux(image_spec, **given)
    return Relations(linux, root_of(linux.image, root))


def _say(notes: list[str]) -> None:
    for note in notes:
        say(note)


@click.command(
    "query",
    epilog="""\b
Examples:
  ttbr query --tables
  ttbr query vmcore "SELECT region, sum(size) FROM mappings GROUP BY region"
  ttbr query vmcore "SELECT va, last FROM regions WHERE el1_write AND el1_execute"
  ttbr query vmcore "SELECT pid, name FROM tasks WHERE mm IS NOT NULL" --json
  ttbr query vmcore --root pid:1 "SELECT count(*) FROM mappings"
  ttbr query vmcore --timeout 10 --memory-limit 1G "$SOMEBODY_ELSES"
\b
Exit codes: 0 done, 2 the query or the image cannot be used, or a limit was met.""",
)
@linux_options
@click.argument("sql", metavar="SELECT")
@click.option(
    "--tables",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_tables,
    help="List the relations and their columns, and end.",
)
@root_option("kernel")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of text.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="The most time that SQL may take, once the image is read.",
)
@click.option(
    "--memory-limit",
    "memory",
    type=NUMBER,
    metavar="SIZE",
    help="The most memory that SQL may take beside the relations.",
)
def query_command(
    image_spec: str,
    sql: str,
    root: str,
    as_json: bool,
    as_csv: bool,
    timeout: float | None,
    memory: int | None,
    **given: Any,
) -> None:
    """Run one SELECT (DuckDB's SQL) on the relations of IMAGE.

    Only the relations that it names are read. It can reach no file and no network. What has
    DuckDB's type UBIGINT is an address or a word of bits, and is written in hexadecimal.
    """
    if as_json and as_csv:
        raise InputError("--json and --csv: leave one of them out")
    query = Query(sql)
    relations = _relations(image_spec, root, **given)
    with progress("reading the image"):
        cells = query.run(relations, timeout, memory)
    _say(relations.notes)
    if as_json:
        write_cells_json(sys.stdout, cells)
    elif as_csv:
        write_cells_csv(sys.stdout, cells)
    else:
        print_cells(console(), cells)


def relation_names(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    """The relations of ``--tables``."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in RELATIONS:
            raise InputError(f"'{name}' is no relation: {', '.join(RELATIONS)}")
    return names


@click.command(
    "export",
    epilog="""\b
Examples:
  ttbr export vmcore -o tables/
  ttbr export vmcore --tables mappings,tasks,vmas --format csv -o tables/""",
)
@linux_options
@click.option(
    "--tables",
    "names",
    metavar="NAME,…",
    callback=relation_names,
    help="Which relations (see 'ttbr query --tables'); without it all that the image holds.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the files, NAME.FORMAT; made where it is missing.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@root_option("kernel")
@json_option
def export_command(
    image_spec: str,
    names: tuple[str, ...] | None,
    form: str,
    output: Path,
    force: bool,
    root: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Write relations of IMAGE to files, each wholly or not at all."""
    files = places(output, names or tuple(RELATIONS), form, force)
    relations = _relations(image_spec, root, **given)
    written: list[dict[str, Any]] = []
    for name, path in files.items():
        with progress(name):
            try:
                table = relations[name]
            except InputError as error:
                if names is not None:
                    raise
                reason = str(error).removeprefix(f"{name}: ")
                _say([f"{name} is left out: {reason}"])
                continue
            write(table, path, form, force)
        written.append({"relation": name, "file": str(path), "rows": table.num_rows})
    _say(relations.notes)
    if as_json:
        print_json(written)
        return
    for each in written:
        click.echo(f"{each['file']}: {each['rows']} rows")
