"""``ttbr fleet``: the tables of many images, as one data set."""

import os
from pathlib import Path

import click

from ttbr.cli.output import console, json_option, print_json, progress
from ttbr.cli.query import relation_names
from ttbr.cli.values import NUMBER
from ttbr.report.fleet.dataset import opened
from ttbr.report.fleet.executors import cluster, local
from ttbr.report.fleet.images import find_images
from ttbr.report.fleet.run import Limits, run_fleet
from ttbr.report.fleet.summary import fleet_json, print_fleet

SOME_FAILED = 1


@click.command(
    "fleet",
    epilog="""\b
Examples:
  ttbr fleet 'dumps/*.elf' -o out/
  ttbr fleet 'raw/*.raw@0x40000000' --registers '{dir}/{stem}.json' --tables tasks,vmas -o out/
  ttbr fleet 's3://bucket/dumps/**.kdump' --tables findings,regions --workers 8 -o out/
  ttbr fleet 'dumps/*' --scheduler tcp://10.0.0.1:8786 -o /shared/out --json
\b
Then, for example:
  duckdb -c "SELECT image, count(*) FROM 'out/table=findings/*/*.parquet' GROUP BY 1"
\b
Exit codes: 0 all images are done, 1 some failed, 2 bad input. The same command again
goes on where it was stopped, and tries those that failed once more.""",
)
@click.argument("patterns", metavar="IMAGE…", nargs=-1, required=True)
@click.option(
    "--tables",
    "names",
    metavar="NAME,…",
    callback=relation_names,
    default="findings,regions",
    show_default=True,
    help="Which relations (see 'ttbr query --tables').",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the data set, made where it is missing.",
)
@click.option(
    "--registers",
    metavar="FILE|NAME=VALUE,…",
    help="System registers of each image. {dir}, {name} and {stem} are those of its file.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    help="Images at a time on this machine; as many as it has processors unless given.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Work on the Dask cluster with this scheduler, whose workers see the same files.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="How often an image that failed is tried again, after all others.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="The most time that an image may take.",
)
@click.option(
    "--memory-limit",
    "memory",
    type=NUMBER,
    default="4G",
    show_default=True,
    metavar="SIZE",
    help="The most memory that an image may take, its file not counted.",
)
@json_option
@click.pass_context
def fleet_command(
    context: click.Context,
    patterns: tuple[str, ...],
    names: tuple[str, ...],
    output: Path,
    registers: str | None,
    workers: int,
    scheduler: str | None,
    retries: int,
    timeout: float,
    memory: int,
    as_json: bool,
) -> None:
    """Read tables of many images, and write them to a data set of Parquet files.

    IMAGE is one as other commands take it, or a pattern ('dumps/*.elf', also of URLs); in what
    stands behind its file (@BANKS.json) {dir}, {name} and {stem} are those of the file. Each is
    read in a process of its own: one that is damaged, hangs or takes too much memory fails alone,
    and is named in the manifest.
    """
    images = find_images(patterns, registers)
    with opened(output, names) as dataset:
        place = local(workers) if scheduler is None else cluster(scheduler)
        with progress("images") as step, place as submit:
            limits = Limits(timeout, memory, retries)
            fleet = run_fleet(images, dataset, submit, limits, step)
        if as_json:
            print_json(fleet_json(fleet, dataset))
        else:
            print_fleet(console(), fleet, dataset)
    context.exit(SOME_FAILED if fleet.failed else 0)
