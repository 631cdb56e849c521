"""The command group, and the one place where errors become a line and an exit code."""

import os
import sys
from importlib.metadata import version

import click

from ttbr.cli.audit import audit_command
from ttbr.cli.boot import boot_command
from ttbr.cli.check import check_command
from ttbr.cli.config import config_command
from ttbr.cli.diff import diff_command
from ttbr.cli.dump import dump_command
from ttbr.cli.explain import explain_command
from ttbr.cli.info import info_command
from ttbr.cli.kernel import kernel_group
from ttbr.cli.kernel_memory import (
    buddy_command,
    memblock_command,
    meminfo_command,
    vmalloc_command,
    zones_command,
)
from ttbr.cli.layout import layout_command
from ttbr.cli.maps import maps_command
from ttbr.cli.page import page_command
from ttbr.cli.ps import ps_command
from ttbr.cli.read import read_command, search_command
from ttbr.cli.symbols import symbols_command
from ttbr.cli.translate import translate_command
from ttbr.errors import TtbrError
from ttbr.report.hostile import visible

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


@click.group(
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
@click.version_option(version("ttbr"), prog_name="ttbr")
def cli() -> None:
    """Predict and read ARM and ARM64 translation tables as the hardware and Linux do."""


for command in (
    boot_command,
    check_command,
    audit_command,
    layout_command,
    info_command,
    dump_command,
    translate_command,
    explain_command,
    diff_command,
    ps_command,
    maps_command,
    page_command,
    read_command,
    search_command,
    memblock_command,
    zones_command,
    buddy_command,
    vmalloc_command,
    meminfo_command,
    symbols_command,
    config_command,
    kernel_group,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit code 2."""
    output = sys.stdout
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
