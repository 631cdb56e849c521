"""The kernel's own account of memory: memblock, zones, buddy, vmalloc, meminfo."""

import sys
from collections.abc import Callable
from typing import Any

import click

from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import console, json_option, print_json, progress, say
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.report.kernel_memory import (
    buddy_rows,
    free_block_rows,
    memblock_rows,
    meminfo_rows,
    vmalloc_rows,
    zone_rows,
)
from ttbr.report.rows import Rows

ANSWER_IS_NO = 1


def _show(
    what: str,
    rows: Callable[[KernelMemory], Rows | None],
    as_json: bool,
    image_spec: str,
    **given: Any,
) -> None:
    """Print some rows of the image's kernel; exit code 1 where it does not hold them."""
    memory = KernelMemory(open_linux(image_spec, **given))
    with progress(f"looking for {what}"):
        found = rows(memory)
    if found is None or not found.rows:
        click.echo(
            f"ttbr: note: {what}: not found in the image, or its layout is unknown", err=True
        )
        sys.exit(ANSWER_IS_NO)
    if as_json:
        print_json(found.as_json())
    else:
        found.print(console())


def _memblock(memory: KernelMemory) -> Rows | None:
    return None if memory.memblock is None else memblock_rows(memory.memblock)


@click.command(
    "memblock",
    epilog="""\b
Examples:
  ttbr memblock ram.raw@0x40000000
  ttbr memblock vmcore --json""",
)
@linux_options
@json_option
def memblock_command(**given: Any) -> None:
    """List the regions that memblock has in IMAGE's kernel: memory, and what was reserved of it."""
    _show("memblock", _memblock, **given)


@click.command(
    "zones",
    epilog="""\b
Examples:
  ttbr zones ram.raw@0x40000000
  ttbr zones vmcore --json""",
)
@linux_options
@json_option
def zones_command(**given: Any) -> None:
    """List the zones of every node in IMAGE; numbers are pages, as in /proc/zoneinfo."""
    _show("zones", lambda m: zone_rows(m.zones, m.linux.page_size), **given)


@click.command(
    "buddy",
    epilog="""\b
Examples:
  ttbr buddy ram.raw@0x40000000
  ttbr buddy vmcore --blocks --json""",
)
@linux_options
@click.option("--blocks", is_flag=True, help="Every block: order, migrate type, address.")
@json_option
def buddy_command(blocks: bool, **given: Any) -> None:
    """Count the free blocks of each zone by order, by walking the free lists themselves."""

    def rows(memory: KernelMemory) -> Rows | None:
        found = memory.free_blocks
        if found is None:
            return None
        if found.broken:
            say(f"{found.broken} free lists are damaged")
        if blocks:
            types, size = memory.migrate_types, memory.linux.page_size
            return free_block_rows(memory.zones, found, types, size)
        return buddy_rows(memory.zones, found)

    _show("free lists", rows, **given)


@click.command(
    "vmalloc",
    epilog="""\b
Examples:
  ttbr vmalloc ram.raw@0x40000000
  ttbr vmalloc vmcore --json""",
)
@linux_options
@json_option
def vmalloc_command(**given: Any) -> None:
    """List the areas of IMAGE's vmalloc space, as /proc/vmallocinfo does, with their addresses."""

    def rows(memory: KernelMemory) -> Rows | None:
        found = memory.vmalloc
        return None if found is None else vmalloc_rows(found, memory.linux.symbols)

    _show("vmalloc areas", rows, **given)


@click.command(
    "meminfo",
    epilog="""\b
Examples:
  ttbr meminfo ram.raw@0x40000000
  ttbr meminfo vmcore --json""",
)
@linux_options
@json_option
def meminfo_command(**given: Any) -> None:
    """Print /proc/meminfo as IMAGE's kernel would: KiB, numbers of huge pages, ? where unknown."""
    _show("counters", meminfo_rows, **given)
