"""``ttbr translate``: one address at a time, step by step."""

import sys

import click

from ttbr.arch.faults import Access
from ttbr.cli.images import open_image, registers_option, root_of, root_option
from ttbr.cli.output import console, json_option, print_json
from ttbr.cli.values import NUMBER
from ttbr.errors import InputError
from ttbr.recover.translate import Translator
from ttbr.report.translation import print_translation, translation_json

ANSWER_IS_NO = 1


@click.command(
    "translate",
    epilog="""\b
Examples:
  ttbr translate prediction.elf 0xffff800080010000 --steps
  ttbr translate ram.raw@0x40000000 0xffffb9a00000 --registers registers.json --root user:0x40dff000
  ttbr translate vmcore --reverse 0x40200000
\b
Exit code 1: at least one address faults (its name and level are printed), or nothing
maps the physical address.""",
)
@click.argument("image_spec", metavar="IMAGE")
@click.argument("vas", metavar="VA...", nargs=-1, type=NUMBER)
@registers_option
@root_option(None)
@click.option("--steps", is_flag=True, help="Show every table, index and descriptor of the walk.")
@click.option(
    "--access",
    type=click.Choice([str(access) for access in Access]),
    help="Also check this access: permission, access flag and domain faults count. With --root "
    "el2 and el3, el1 stands for that exception level.",
)
@click.option("--pan", is_flag=True, help="With --access: PSTATE.PAN is set.")
@click.option("--reverse", multiple=True, type=NUMBER, metavar="PA", help="Which VAs map PA?")
@json_option
def translate_command(
    image_spec: str,
    vas: tuple[int, ...],
    registers: str | None,
    root: str | None,
    steps: bool,
    access: str | None,
    pan: bool,
    reverse: tuple[int, ...],
    as_json: bool,
) -> None:
    """Translate each VA in IMAGE: its physical address and attributes, or the fault.

    Without --root the hardware's own choice between TTBR0 and TTBR1 is made for each address; with
    it, and for --reverse, one table is walked (--reverse takes the kernel's by default).
    """
    if not vas and not reverse:
        raise InputError("nothing to translate: give a VA, or --reverse PA")
    if pan and not access:
        raise InputError("--pan is about an access: say which with --access")
    image = open_image(image_spec, registers, root)
    root = None if root is None else root_of(image, root)
    translator = Translator(image, root)
    checked = Access(access) if access else None
    answers = [translator.translate(va, checked, pan=pan) for va in vas]
    missing = []
    if reverse:
        through = Translator(image, root or "kernel")
        mappings = image.address_space(root or "kernel").mappings()
        for pa in reverse:
            found = mappings.reverse(pa).tolist()
            answers += [through.translate(va) for va in found]
            if not found:
                missing.append(pa)
    if as_json:
        print_json([translation_json(answer) for answer in answers])
    else:
        out = console()
        for answer in answers:
            print_translation(out, answer, steps=steps)
        for pa in missing:
            out.print(f"{pa:#x} is mapped by nothing")
    if missing or any(answer.hardware.fault for answer in answers):
        sys.exit(ANSWER_IS_NO)
