"""``ttbr boot``: Linux's memory set-up, predicted."""

import sys
from pathlib import Path

import click

from ttbr.boot.boot import STAGES as STAGES_OF
from ttbr.boot.boot import Boot, stage_names
from ttbr.boot.iomem import iomem as resources
from ttbr.cli.boards import Request, board_options
from ttbr.cli.output import console, json_option, print_json, progress
from ttbr.cli.what_if import ANSWER_IS_NO, against_option, compare, run_sweep, sweep_options
from ttbr.errors import InputError
from ttbr.memory.save import save_core
from ttbr.recover.note import image_note
from ttbr.report.boot import boot_json, print_boot, print_events
from ttbr.report.dmesg import dmesg as kernel_log
from ttbr.report.dmesg import dmesg_json
from ttbr.report.hostile import visible
from ttbr.report.iomem import iomem_json, iomem_lines

STAGES = "\n".join(dict.fromkeys(f"Stages: {', '.join(stage_names(arch))}." for arch in STAGES_OF))


@click.command(
    "boot",
    epilog="""\b
Examples:
  ttbr boot examples/qemu-virt-arm64.dtb
  ttbr boot board.dtb --memory 0x60000000:2G --save prediction.elf
  ttbr boot board.dtb --config .config --system-map System.map --loader custom \\
       --kernel-at 0x40200000 --dtb-at 0x48200000 --initrd 0x48000000:808060
  ttbr boot board.dtb --stage memblock --events --json
  ttbr boot a.dtb --against b.dtb
  ttbr boot board.dtb --against '--memory 512M --bootargs "cma=64M"'
  ttbr boot board32.dtb --sweep memory=512M,1G,2G --sweep vmalloc=240M,512M
  ttbr boot board.dtb --dmesg                 # what the kernel will say about memory
  ttbr boot board.dtb --iomem                 # /proc/iomem's part about RAM
\b
"""
    + STAGES,
)
@board_options
@click.option("--stage", metavar="NAME", help="Stop after this stage (default: the last).")
@click.option(
    "--save", type=click.Path(path_type=Path), metavar="OUT.elf", help="Write an ELF core of it."
)
@click.option(
    "--events", is_flag=True, help="List every event: reserved, allocated, mapped, freed."
)
@against_option
@sweep_options
@click.option(
    "--dmesg", is_flag=True, help="Print the kernel's log lines about memory; ? is not determined."
)
@click.option("--iomem", is_flag=True, help="Print what /proc/iomem will say about RAM.")
@json_option
def boot_command(
    request: Request,
    stage: str | None,
    save: Path | None,
    events: bool,
    against: str | None,
    sweep: tuple[str, ...],
    as_csv: bool,
    dmesg: bool,
    iomem: bool,
    as_json: bool,
) -> None:
    """Boot Linux on BOARD.dtb, from the loader's hand-over to the free lists.

    Every table is written where Linux would allocate it. --save keeps the result as an ELF core
    that all other commands read. A boot that cannot go on is shown as far as it came; a line on
    stderr says why, and the exit code is 1.

    With --against, print what another board, kernel or command line changes (exit code 1 if
    anything does). With --sweep, print a row for each combination of values (exit code 1 if one
    of them does not boot).
    """
    if against is not None or sweep or as_csv:
        printed = events or dmesg or iomem
        if save is not None or printed or (against is not None and (sweep or as_csv)):
            raise InputError(
                "--against and --sweep: one of them, without --save, --events, --dmesg and --iomem"
            )
        if against is not None:
            compare(request, against, stage, as_json=as_json)
        run_sweep(request, sweep, stage, as_csv=as_csv, as_json=as_json)
        return
    if events and (dmesg or iomem):
        raise InputError("--events is another answer than --dmesg and --iomem: choose one")
    subject = request.attempt(stage)
    failure = subject.failure
    if subject.boot is None or isinstance(failure, InputError):
        assert failure is not None
        raise failure
    _show(subject.boot, save, events=events, dmesg=dmesg, iomem=iomem, as_json=as_json)
    if failure is not None:
        text = f"the boot ends here, after {subject.boot.stages[-1]}: {failure}"
        click.echo(f"ttbr: {visible(' '.join(text.split()))}", err=True)
        sys.exit(ANSWER_IS_NO)


def _show(
    result: Boot, save: Path | None, *, events: bool, dmesg: bool, iomem: bool, as_json: bool
) -> None:
    """Print and save the boot at the last stage that it reached."""
    reached = result.stages[-1]
    if save is not None:
        with progress(f"writing {save}"):
            image = result.images[reached]
            save_core(save, image.memory, [image_note(image)], image.arch)
    if as_json:
        words: dict[str, object] = {}
        if dmesg:
            words["dmesg"] = dmesg_json(result.machine)
        if iomem:
            words["iomem"] = iomem_json(resources(result.machine))
        print_json(words or boot_json(result, reached, events=events))
        return
    out = console()
    if dmesg or iomem:
        lines = [text for text, _ in kernel_log(result.machine)] if dmesg else []
        lines += iomem_lines(resources(result.machine)) if iomem else []
        for line in lines:
            out.print(line, soft_wrap=True)
        return
    print_boot(out, result, reached)
    if events:
        print_events(out, result)
