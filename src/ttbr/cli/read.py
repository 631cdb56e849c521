"""``ttbr read`` and ``ttbr search``: memory by virtual address."""

import sys
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import click

from ttbr.cli.linux import linux_options, open_linux
from ttbr.cli.output import console, json_option, print_json, progress, say
from ttbr.cli.values import NUMBER
from ttbr.errors import InputError
from ttbr.recover.linux import Linux
from ttbr.recover.user_memory import UserMemory
from ttbr.recover.virtual_search import Readable, find_virtual

LONGEST = 1 << 30  # bytes that one call reads
ANSWER_IS_NO = 1
_LINE = 16


def pid_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--pid N``."""
    return click.option(
        "--pid", type=click.IntRange(min=1), help="In the memory of this process, not the kernel's."
    )(function)


def _memory(linux: Linux, pid: int | None) -> tuple[Readable, Iterable[tuple[int, int]]]:
    """The memory of a process, or of the kernel; and its ranges (address, bytes)."""
    if pid is None:
        first, last, _ = linux.memory.extents
        sizes = [end - start + 1 for start, end in zip(first.tolist(), last.tolist(), strict=True)]
        return linux.memory, zip(first.tolist(), sizes, strict=True)
    root = int(linux.tasks.pgd[linux.process(pid)])
    if not root:
        raise InputError(f"process {pid} has no tables: a thread of the kernel, or ended")
    user = UserMemory(linux.processes.of(root))
    return user, user.extents()


@click.command(
    "read",
    epilog="""\b
Examples:
  ttbr read ram.raw@0x40000000 0xffff8000802dccb0 128
  ttbr read vmcore --pid 4711 0x400000 64
  ttbr read vmcore 0xffff000000000000 1M --raw > linear.bin""",
)
@linux_options
@click.argument("address", type=NUMBER)
@click.argument("length", type=NUMBER)
@pid_option
@click.option("--raw", is_flag=True, help="The bytes as they are, on standard output.")
@json_option
def read_command(
    image_spec: str,
    address: int,
    length: int,
    registers: str | None,
    vmlinux: Path | None,
    btf: Path | None,
    system_map: Path | None,
    pid: int | None,
    raw: bool,
    as_json: bool,
) -> None:
    """Read LENGTH bytes at virtual ADDRESS and print them in hexadecimal, or as they are.

    Of a process also pages that only Linux can read: PROT_NONE and old ones.
    """
    if length > LONGEST:
        raise InputError(f"{length} bytes are more than the {LONGEST} that one call reads")
    if address + length > 1 << 64:
        raise InputError("the range leaves the address space")
    if raw and as_json:
        raise InputError("--raw and --json: leave one of them out")
    linux = open_linux(image_spec, registers, vmlinux, btf, system_map)
    data = _memory(linux, pid)[0].read(address, length)
    if raw:
        sys.stdout.buffer.write(data)
    elif as_json:
        print_json({"va": hex(address), "bytes": data.hex()})
    else:
        for at in range(0, length, _LINE):
            part = data[at : at + _LINE]
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
            sys.stdout.write(f"{address + at:016x}  {part.hex(' '):<{3 * _LINE}} {text}\n")


@click.command(
    "search",
    epilog="""\b
Examples:
  ttbr search ram.raw@0x40000000 'Linux version'
  ttbr search vmcore --pid 4711 --hex 7f454c46
  ttbr search vmcore password --most 100 --json""",
)
@linux_options
@click.argument("pattern")
@pid_option
@click.option("--hex", "is_hex", is_flag=True, help="PATTERN is bytes in hexadecimal.")
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Stop after so many.",
)
@json_option
def search_command(
    image_spec: str,
    pattern: str,
    registers: str | None,
    vmlinux: Path | None,
    btf: Path | None,
    system_map: Path | None,
    pid: int | None,
    is_hex: bool,
    most: int,
    as_json: bool,
) -> None:
    """Print every virtual address at which PATTERN lies. Exit code 1: nowhere.

    The kernel maps most memory twice or more (its image, the linear map), and all such addresses
    are printed.
    """
    try:
        wanted = bytes.fromhex(pattern) if is_hex else pattern.encode("utf-8", "surrogateescape")
    except ValueError as error:
        raise InputError(f"'{pattern}' is not bytes in hexadecimal") from error
    if not wanted:
        raise InputError("nothing to search for: PATTERN is empty")
    linux = open_linux(image_spec, registers, vmlinux, btf, system_map)
    with progress("searching"):
        memory, extents = _memory(linux, pid)
        found = list(islice(find_virtual(memory, extents, wanted), most + 1))
    cut = len(found) > most
    found = found[:most]
    if as_json:
        print_json({"found": [hex(va) for va in found], "more": cut})
    else:
        out = console()
        for va in found:
            out.print(f"{va:#x}")
    if cut:
        say(f"there are more than {most}: --most N prints more")
    sys.exit(0 if found else ANSWER_IS_NO)
