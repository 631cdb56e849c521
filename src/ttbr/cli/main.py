"""The command group, and the one place where errors become a line and an exit code."""

import os
import sys
from importlib import import_module

import click

from ttbr.errors import TtbrError
from ttbr.report.hostile import visible

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

COMMANDS = {
    "boot": ("boot", "boot_command", "Predict how Linux lays out a board's memory."),
    "run": (
        "run",
        "run_command",
        "Let Linux run on a board: processes, faults, TLBs, as a scenario says.",
    ),
    "check": (
        "check",
        "check_command",
        "Find what is wrong with a board, before it is powered on.",
    ),
    "audit": (
        "audit",
        "audit_command",
        "Find what is wrong with the tables in an image: W+X, aliases, leaks.",
    ),
    "layout": ("layout", "layout_command", "The virtual address map of a boot, as a picture."),
    "view": ("view", "view_command", "A page with a machine's memory, to look at in a browser."),
    "info": (
        "info",
        "info_command",
        "What an image holds: memory, registers, regime, roots, kernel.",
    ),
    "dump": ("dump", "dump_command", "What an address space maps, range by range."),
    "translate": (
        "translate",
        "translate_command",
        "Walk the tables for an address, or find what maps a physical one.",
    ),
    "explain": (
        "explain",
        "explain_command",
        "The bits of a descriptor or register, field by field.",
    ),
    "diff": ("diff", "diff_command", "What two images map differently, by region."),
    "ps": ("ps", "ps_command", "The processes and threads, with their root tables."),
    "maps": ("maps", "maps_command", "The areas of a process, and what is mapped in each."),
    "page": ("page", "page_command", "A page frame: struct page, and every address that maps it."),
    "read": ("read", "read_command", "Bytes by virtual address, of the kernel or a process."),
    "search": ("read", "search_command", "Where bytes or text lie in virtual memory."),
    "memblock": ("kernel_memory", "memblock_command", "The memory and reserved lists of the boot."),
    "zones": ("kernel_memory", "zones_command", "Nodes and zones: extents, pages, watermarks."),
    "buddy": ("kernel_memory", "buddy_command", "Free blocks by zone and order."),
    "vmalloc": (
        "kernel_memory",
        "vmalloc_command",
        "What lies in the vmalloc area, and who put it there.",
    ),
    "meminfo": ("kernel_memory", "meminfo_command", "Where memory went, by the kernel's counters."),
    "symbols": ("symbols", "symbols_command", "The kernel's symbols and their addresses."),
    "config": ("config", "config_command", "The configuration that the kernel was built with."),
    "serve": ("serve", "serve_command", "Images as pages over HTTP, with live data behind them."),
    "tui": ("tui", "tui_command", "Walk through an image in the terminal: map, walk, tables."),
    "query": ("query", "query_command", "SQL on everything that an image holds."),
    "export": ("query", "export_command", "The tables that an image holds, as files."),
    "fleet": ("fleet", "fleet_command", "The tables of many images, as one data set."),
    "kernel": (
        "kernel",
        "kernel_group",
        "Kernel profiles: describe a kernel, list those that ship.",
    ),
}
"""Each command: its module in `ttbr.cli`, the function there, and its line in the help."""


class _Commands(click.Group):
    """The commands by name. A module, and NumPy with it, is loaded when its command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        command = getattr(import_module(f"ttbr.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][-1]) for name in self.list_commands(ctx)])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  ttbr boot examples/qemu-virt-arm64.dtb
  ttbr dump ram.raw@0x40000000 --registers registers.json --format ptdump
  ttbr translate vmcore 0xffff800080010000 --steps
\b
IMAGE is FILE (ELF core, kdump, LiME, AVML), FILE@BASE or FILE@BANKS.json (raw
memory), or several of these joined by commas; FILE may be a URL; gzip, xz and zstd
are taken off. Exit codes: 0 done, 1 the answer is no (a fault, a difference), 2 bad
input.""",
)
@click.version_option(package_name="ttbr", prog_name="ttbr")
def cli() -> None:
    """Predict and read ARM and ARM64 translation tables as the hardware and Linux do."""


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit code 2."""
    output = sys.stdout
    if output is None:  # closed by whoever started this (>&-)
        click.echo("ttbr: error: there is no standard output to write to", err=True)
        sys.exit(EXIT_BAD_INPUT)
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = EXIT_BAD_INPUT
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        name = where.command_path if where is not None else "ttbr"
        text = " ".join(error.format_message().split())
        click.echo(f"ttbr: error: {visible(text)} (see '{name} --help')", err=True)
        code = EXIT_BAD_INPUT
    except click.exceptions.Exit as error:
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone: that is its right, and no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except SystemExit as error:
        # Click meets some closed pipes first: it then replaces the output and ends with 1.
        code = error.code if sys.stdout is output else 0
    except (TtbrError, OSError, MemoryError) as error:
        text = " ".join((_os_error(error) if isinstance(error, OSError) else str(error)).split())
        click.echo(f"ttbr: error: {visible(text) or 'out of memory'}", err=True)
        code = EXIT_BAD_INPUT
    sys.exit(code or 0)


def _os_error(error: OSError) -> str:
    """An operating-system error in the form FILE: REASON."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
