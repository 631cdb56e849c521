"""``ttbr diff``: two images, or a prediction and an image."""

import sys
from collections.abc import Sequence
from dataclasses import replace

import click

import ttbr
from ttbr.arch import MissingRegister
from ttbr.cli.images import ROOT_HELP, look_for_kernel, registers_option, root_of
from ttbr.cli.output import console, json_option, print_json, progress
from ttbr.errors import InputError
from ttbr.recover.linux import Linux
from ttbr.report.diff import USER, diff_images, print_diff
from ttbr.report.diff_roots import Roots, kernel_roots, one_root, process_roots
from ttbr.report.identified import inferred

ANSWER_IS_NO = 1
MOST_ROOTS = 2


@click.command(
    "diff",
    epilog="""\b
Examples:
  ttbr diff prediction.elf ram.raw.zst@0x40000000
  ttbr diff before.elf after.elf --json
  ttbr diff vmcore vmcore --root pid:1 --root pid:7
\b
Exit code 0: identical; 1: they differ.""",
)
@click.argument("spec_a", metavar="A")
@click.argument("spec_b", metavar="B")
@registers_option
@click.option(
    "--root",
    "roots",
    metavar="ROOT",
    multiple=True,
    help=f"Only these tables; given twice, those of A and those of B. {ROOT_HELP}",
)
@json_option
def diff_command(
    spec_a: str, spec_b: str, registers: str | None, roots: tuple[str, ...], as_json: bool
) -> None:
    """Compare what the images A and B map: only in one, moved, other attributes, other granularity.

    What differs is added up by owner (a process, or who asked for memory of the vmalloc space) and
    by region (of the kernel's layout, or an area of the process), then listed range by range.

    --registers go to the images that hold none of their own; where only one image has registers
    and none are given, the other is read with the same ones, and the answer says so. Where none
    has any, the kernel's tables are looked for in both. Without --root the kernel's tables and
    those of all processes are compared: of one number and name, or else at one address. Where no
    processes are found, it is the user's table in place of theirs.
    """
    if len(roots) > MOST_ROOTS:
        raise InputError("--root: once for both images, or once for each")
    a, b, assumed = _open_both(spec_a, spec_b, registers)
    with progress("comparing"):
        chosen = _roots(a, b, roots, registers, assumed)
        result = diff_images(a, b, assumed, chosen)
    if as_json:
        print_json(result.as_json())
    else:
        print_diff(console(), result)
    if not result.identical:
        sys.exit(ANSWER_IS_NO)


def _open_both(
    spec_a: str, spec_b: str, registers: str | None
) -> tuple["ttbr.Image", "ttbr.Image", list[str]]:
    """Both images and what had to be assumed about their registers."""
    a, b = ttbr.open(spec_a), ttbr.open(spec_b)
    assumed = []
    if registers is not None:
        a = a if a.registers else ttbr.open(spec_a, registers)
        b = b if b.registers else ttbr.open(spec_b, registers)
    elif a.registers and not b.registers:
        b = replace(b, registers=a.registers)
        assumed.append(f"{spec_b} holds no registers: read with those of {spec_a}")
    elif b.registers and not a.registers:
        a = replace(a, registers=b.registers)
        assumed.append(f"{spec_a} holds no registers: read with those of {spec_b}")
    elif not a.registers:
        a, b = _found(a, spec_a, assumed), _found(b, spec_b, assumed)
    return a, b, assumed


def _found(image: "ttbr.Image", spec: str, assumed: list[str]) -> "ttbr.Image":
    """The image with what memory tells of its kernel's tables."""
    image, found = look_for_kernel(spec, image)
    if found is not None:
        assumed.append(f"{spec}: {inferred(found)}")
    return image


def _roots(
    a: "ttbr.Image",
    b: "ttbr.Image",
    roots: tuple[str, ...],
    registers: str | None,
    assumed: list[str],
) -> Sequence[Roots]:
    """What to compare. The user's table is no part of it where only memory was there to tell."""
    linux_a, linux_b = Linux(a), Linux(b)
    if roots:
        return [one_root(linux_a, linux_b, root_of(a, roots[0]), root_of(b, roots[-1]))]
    kernel, processes = kernel_roots(linux_a, linux_b), process_roots(linux_a, linux_b)
    if processes:
        return [kernel, *processes]
    try:
        for image in (a, b):
            image.address_space("user")
    except MissingRegister as error:
        if registers is not None:
            raise
        assumed.append(f"the user's tables are not compared: {error}")
        return [kernel]
    return [kernel, USER]
