"""Where text goes: JSON, tables (colour only on a terminal), progress on stderr."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from ttbr.report.hostile import visible

PIPE_WIDTH = 200  # a file or pipe has no width; lines there are not folded below this


class _Output(Console):
    """A console that shows escapes, and leaves it to `ttbr.cli.main` what a closed pipe means.

    Rich would end the program with exit code 1, which says here that the answer is no.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does, but a line stays one where there is no terminal.

        Folded, it could go on with what an image chose to have at the begin of a line, which those
        who read logs may take for a command.
        """
        if not self.is_terminal and all(isinstance(each, str) for each in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does, without what could move a cursor: names come from trees and images."""
        return super().render_str(visible(text, "\n\t"), **options)


def console() -> Console:
    """Standard output as a console: folded and coloured for a terminal only."""
    terminal = sys.stdout.isatty()
    return _Output(
        highlight=False, markup=False, emoji=False, width=None if terminal else PIPE_WIDTH
    )


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")


def say(note: str) -> None:
    """A note on standard error, in one line: it may quote an image."""
    click.echo(f"ttbr: note: {visible(note)}", err=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while something long runs; the yielded call names the step.

    Nothing is shown where stderr is not a terminal.
    """
    errors = Console(stderr=True, markup=False, emoji=False)
    with errors.status(what) as status:
        yield lambda step: status.update(f"{what}: {step}")


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The ``--json`` flag that every command has; known before other options are looked at."""
    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, help="Print JSON instead of text."
    )(function)
