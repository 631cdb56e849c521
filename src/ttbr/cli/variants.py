"""Variants of a boot: the same request with other options, or with other kernel parameters."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ttbr.cli.boards import BOARD, OPTIONS, Request
from ttbr.errors import InputError

MOST = 1000  # variants of one sweep
# Options of a boot that a sweep can vary; any other name is a kernel parameter.
SWEPT = (
    *("memory", "kernel", "set", "cpus", "loader", "initrd", "registers", "el"),
    *("kaslr-offset", "kaslr-seed", "memstart"),
)
KERNEL_OPTIONS = ("profile", "config", "system_map", "image")


def _command() -> click.Command:
    """A command that has a boot's options, and leaves the board to who does not name one."""

    def nothing(**_: Any) -> None:
        """Nothing: only the options count."""

    decorated: Any = nothing
    for option in reversed((BOARD, *OPTIONS)):
        decorated = option(decorated)
    command = click.command(add_help_option=False)(decorated)
    for parameter in command.params:
        parameter.required = False
    return command


def with_options(request: Request, text: str, where: str) -> Request:
    """The request with what ``text`` says in the spelling of the command line.

    A text that names a file is a board. Who names a kernel in one way does not mean the other any
    more. ``where`` is the option that the text belongs to, for the `InputError`.
    """
    try:
        words = [text] if Path(text).is_file() else shlex.split(text)
    except ValueError as error:
        raise InputError(f"{where} {text!r}: {error}") from error
    return with_words(request, words, where)


def with_words(request: Request, words: list[str], where: str) -> Request:
    """As `with_options`, with the words that a shell would make of the text."""
    try:
        context = _command().make_context(where, list(words))
    except click.ClickException as error:
        what = error.format_message()
        raise InputError(f"{where} {' '.join(words)!r}: {what}") from error
    changes = {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE and value is not None
    }
    if any(name in changes for name in KERNEL_OPTIONS):
        changes = dict.fromkeys(KERNEL_OPTIONS) | changes
    if changes.get("memory") == ():
        del changes["memory"]
    return replace(request, **changes)


def with_parameter(line: str, name: str, value: str) -> str:
    """A kernel command line with another value of a parameter; without it if the value is empty."""

    def named(word: str) -> bool:
        return word.partition("=")[0].replace("-", "_") == name.replace("-", "_")

    words = line.split()
    end = words.index("--") if "--" in words else len(words)
    own, rest = [word for word in words[:end] if not named(word)], words[end:]
    return " ".join([*own, *([f"{name}={value}"] if value else []), *rest])


def parse_sweep(text: str) -> tuple[str, list[str]]:
    """``KEY=V1,V2,…`` as (key, values); values that have commas are separated by ``;``."""
    key, equals, values = text.partition("=")
    if not equals or not key:
        raise InputError(f"--sweep {text!r}: write KEY=VALUE,VALUE, such as memory=512M,1G,2G")
    return key, values.split(";" if ";" in values else ",")


def variants(
    request: Request, sweeps: Sequence[str]
) -> list[tuple[dict[str, str], Request | InputError]]:
    """Every combination of the values: what it consists of, and the request or why there is none.

    `InputError` if a sweep cannot be read, names a key twice, or they are too many.
    """
    axes = [parse_sweep(text) for text in sweeps]
    keys = [key for key, _ in axes]
    if len(set(keys)) != len(keys):
        raise InputError("--sweep: a key is there twice")
    count = 1
    for _, values in axes:
        count *= len(values)
    if count > MOST:
        raise InputError(f"--sweep: {count} variants are more than {MOST}")
    line = request.command_line()
    found: list[tuple[dict[str, str], Request | InputError]] = []
    for combination in product(*(values for _, values in axes)):
        chosen = dict(zip(keys, combination, strict=True))
        try:
            found.append((chosen, _variant(request, line, chosen)))
        except InputError as error:
            found.append((chosen, error))
    return found


def _variant(request: Request, line: str, chosen: dict[str, str]) -> Request:
    for key, value in chosen.items():
        if key in SWEPT:
            parts = value.split("+") if key in ("memory", "set") else [value]
            words = [f"--{key}={part}" for part in parts] if value else []
            request = with_options(request, shlex.join(words), "--sweep")
        else:
            line = with_parameter(line, key, value)
            request = replace(request, bootargs=line)
    return request
