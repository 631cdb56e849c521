"""``ttbr run``: a scenario on a running kernel, or a shell for it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ttbr.boot.boot import Boot
from ttbr.cli.boards import FILE, OPTIONS, Request
from ttbr.cli.output import json_option, print_json
from ttbr.cli.variants import with_words
from ttbr.errors import InputError, TtbrError
from ttbr.kernel.textfile import read_text
from ttbr.memory.save import save_core
from ttbr.recover.note import image_note
from ttbr.report.hostile import visible
from ttbr.report.running import KERNEL_VIEWS, PROCESS_VIEWS
from ttbr.report.scenario import EVENT_INDENT, event_line, step_json, step_lines
from ttbr.run.kernel import RunningKernel
from ttbr.run.scenario import NotAsExpected, Outside, Session, Step, StepFailed, parse, parse_line
from ttbr.run.scenario.shipped import shipped, shipped_names

MOST_BYTES = 1 << 20  # of a scenario
ANSWER_IS_NO, BAD_INPUT = 1, 2
PROMPT = "ttbr> "
SHELL = "shell"


def _optional_board_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a boot as ``request`` and ``given``; the board may be left out."""

    @wraps(function)
    def collect(**arguments: Any) -> Any:
        context = click.get_current_context()
        names = [field.name for field in fields(Request)]
        given = {
            name: arguments[name]
            for name in names
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
            and arguments[name] is not None
        }
        request = Request(**{name: arguments.pop(name) for name in names})
        return function(request=request, given=given, **arguments)

    optional = click.argument("dtb", metavar="[BOARD.dtb]", type=FILE, required=False)
    scenario = click.argument("scenario", metavar="[SCENARIO]", required=False)
    decorated: Callable[..., Any] = collect
    for option in reversed((scenario, optional, *OPTIONS)):
        decorated = option(decorated)
    return decorated


class _Machine:
    """Boots what the command line and the scenario's ``boot`` ask for, and saves the result."""

    def __init__(self, request: Request, given: dict[str, Any], folder: Path) -> None:
        self._request = request
        self._given = given
        self._folder = folder

    def boot(self, words: list[str]) -> Boot:
        """A boot; what the command line says wins over the scenario's words."""
        found = [self._in_folder(word) for word in words]
        request = replace(with_words(self._request, found, "boot"), **self._given)
        if request.dtb is None:
            raise InputError("no board: name one, as in 'boot BOARD.dtb' or on the command line")
        return request.run()

    def save(self, kernel: RunningKernel, file: str) -> None:
        """An ELF core, as ``ttbr boot --save`` writes it."""
        image = kernel.image()
        save_core(file, image.memory, [image_note(image)], image.arch)

    def _in_folder(self, word: str) -> str:
        """A file that lies beside the scenario, where there is none of that name here."""
        beside = self._folder / word
        return str(beside) if not Path(word).exists() and beside.is_file() else word


@click.command(
    "run",
    epilog="""\b
Examples:
  ttbr run fork-cow                              # a scenario that ships
  ttbr run my.scenario examples/qemu-virt-arm64.dtb
  ttbr run my.scenario --memory 0x40000000:2G --save after.elf --at 12
  ttbr run highmem-kmap --json
  ttbr run -i examples/qemu-virt-arm32.dtb       # a shell
  echo 'p = spawn' | ttbr run -i examples/qemu-virt-arm64.dtb
\b
docs/scenarios.md has the language. Exit codes: 1 if an 'expect' does not hold or something is
found wrong with tables and TLBs, 2 if a line cannot be carried out.""",
)
@_optional_board_options
@click.option("-i", "--interactive", is_flag=True, help="A shell: commands from standard input.")
@click.option("--list", "list_shipped", is_flag=True, help="List the scenarios that ship.")
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="OUT.elf",
    help="Write an ELF core at the end.",
)
@click.option(
    "--at", type=click.IntRange(1), metavar="LINE", help="Save after this line, and go on."
)
@click.option("--quiet", is_flag=True, help="Print what commands print, and no events.")
@json_option
def run_command(
    request: Request,
    given: dict[str, Any],
    scenario: str | None,
    interactive: bool,
    list_shipped: bool,
    save: Path | None,
    at: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Let Linux run on a board: processes, memory, faults, TLBs, as SCENARIO says.

    SCENARIO is a file or the name of one that ships. It begins on the machine that its ``boot``
    or the command line describes, with all memory in the page allocator's lists.
    """
    if list_shipped:
        names = shipped_names()
        if as_json:
            print_json(names)
        else:
            click.echo("\n".join(f"{name:28} {title}" for name, title in names.items()))
        return
    if interactive:
        # A shell has no scenario: what stands in its place is the board.
        if scenario is not None and request.dtb is None:
            request = replace(request, dtb=Path(scenario))
            given["dtb"] = request.dtb
        elif scenario is not None:
            raise InputError("-i takes commands from standard input, and no scenario")
        _shell(Session(_outside(_Machine(request, given, Path()))), quiet=quiet)
        return
    if scenario is None:
        raise InputError("name a scenario, or -i for a shell ('--list' lists those that ship)")
    text, folder = _text(scenario)
    machine = _Machine(request, given, folder)
    session = Session(_outside(machine))
    lines = parse(text, scenario)
    session.check(lines)
    if at is not None and (save is None or at not in {line.number for line in lines}):
        raise InputError(f"--at {at}: no command is on that line, or --save is missing")
    steps: list[Step] = []
    for step in _steps(session, text, scenario, steps if as_json else None):
        if not as_json:
            _print(step, quiet=quiet)
        if save is not None and at == step.line.number:
            machine.save(session.kernel, str(save))
    if save is not None and at is None:
        machine.save(session.kernel, str(save))
    wrong = KERNEL_VIEWS["violations"](session.kernel)
    if as_json:
        print_json({"steps": [step_json(step) for step in steps], "violations": wrong})
    for line in wrong:
        click.echo(f"ttbr: {visible(line)}", err=True)
    if wrong:
        sys.exit(ANSWER_IS_NO)


def _outside(machine: _Machine) -> Outside:
    return Outside(machine.boot, machine.save, KERNEL_VIEWS, PROCESS_VIEWS)


def _text(scenario: str) -> tuple[str, Path]:
    """The text of a scenario, and the folder that its files are looked for in."""
    if Path(scenario).is_file():
        return read_text(scenario, MOST_BYTES), Path(scenario).parent
    return shipped(scenario)


def _steps(session: Session, text: str, source: str, kept: list[Step] | None) -> Iterator[Step]:
    """The commands in turn; one that fails ends them, after what it did was printed."""
    for line in parse(text, source):
        try:
            step = session.step(line)
        except (StepFailed, NotAsExpected) as error:
            _explain(session, error, as_json=kept is not None, steps=kept or [])
        if kept is not None:
            kept.append(step)
        yield step


def _explain(session: Session, error: TtbrError, *, as_json: bool, steps: list[Step]) -> None:
    """What a failed command did, and the end."""
    report = error.report if isinstance(error, StepFailed) else ()
    if as_json:
        done = [step_json(step) for step in steps]
        print_json({"steps": done, "error": str(error), "report": list(report)})
    else:
        for event in session.events():
            click.echo(visible(EVENT_INDENT + event_line(event), "\t"))
        for each in report:
            click.echo(visible(EVENT_INDENT + each, "\t"))
    click.echo(f"ttbr: error: {visible(' '.join(str(error).split()))}", err=True)
    sys.exit(ANSWER_IS_NO if isinstance(error, NotAsExpected) else BAD_INPUT)


def _print(step: Step, *, quiet: bool) -> None:
    lines = step_lines(step)
    if quiet:
        lines = [lines[0], *lines[len(lines) - len(step.output) :]] if step.output else lines[:1]
    click.echo("\n".join(lines))


def _shell(session: Session, *, quiet: bool) -> None:
    """Commands from standard input until it ends; an error is a line, and the shell goes on."""
    terminal = sys.stdin.isatty()
    if terminal:
        readline = import_module("readline")  # not everywhere, and only for terminals
        names = sorted(session.commands)
        readline.set_completer(
            lambda text, state: next(
                iter([n for n in names if n.startswith(text)][state : state + 1]), None
            )
        )
        readline.parse_and_bind("tab: complete")
    failed = 0
    for number, text in enumerate(_input(terminal), 1):
        try:
            line = parse_line(text, SHELL, number)
            if line is None:
                continue
            if line.words[0].text in ("exit", "quit") and len(line.words) == 1:
                break
            _print(session.step(line), quiet=quiet)
        except TtbrError as error:
            for event in session.events():
                click.echo(visible(EVENT_INDENT + event_line(event), "\t"))
            for each in error.report if isinstance(error, StepFailed) else ():
                click.echo(visible(EVENT_INDENT + each, "\t"))
            click.echo(f"error: {visible(' '.join(str(error).split()))}", err=True)
            failed = BAD_INPUT
    if failed and not terminal:
        sys.exit(failed)


def _input(terminal: bool) -> Iterator[str]:
    if not terminal:
        yield from sys.stdin
        return
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            click.echo()
            return
