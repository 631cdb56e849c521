"""A command of the scenario language: its parameters, and what a line gives for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ttbr.errors import InputError
from ttbr.run.mm.process import Process
from ttbr.run.scenario.expression import BadExpression, Questions, check, evaluate
from ttbr.run.scenario.language import Invocation, Line, Word

if TYPE_CHECKING:
    from ttbr.run.scenario.session import Session

KERNEL = "kernel"
"""Stands for the kernel where a process may be named."""
Value = int | Process
Result = Value | None
LITERAL = ("word", "words")


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument: ``name``, what it holds, and whether it may be left out.

    ``kind``: ``number`` (an expression), ``process``, ``space`` (a process or ``kernel``),
    ``data`` (text in quotes, ``hex:…``, or a number), ``word``, ``words`` (all that follow).
    """

    name: str
    kind: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A command. ``flags``: words without a value; ``help``: one line.

    ``options``: names of ``NAME=VALUE``, with the kind of the value. ``inner``: takes the words of
    the command that its own words end with.
    """

    name: str
    run: Callable[[Session, Arguments], Result]
    help: str
    parameters: tuple[Parameter, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    inner: Callable[[tuple[Word, ...]], tuple[Word, ...]] | None = None

    @property
    def usage(self) -> str:
        """The command as it is written."""
        parts = [self.name]
        for parameter in self.parameters:
            name = parameter.name.upper() + (" …" if parameter.kind == "words" else "")
            parts.append(f"[{name}]" if parameter.optional else name)
        parts += [f"[{name}=…]" for name in self.options] + [f"[{flag}]" for flag in self.flags]
        return " ".join(parts)


def command(
    run: Callable[[Session, Arguments], Result],
    usage: str,
    help: str,
    *,
    options: str = "",
    flags: str = "",
    inner: Callable[[tuple[Word, ...]], tuple[Word, ...]] | None = None,
) -> Command:
    """A command from its parts, ``NAME parameter:kind parameter:kind? …``."""
    name, *words = usage.split()
    parameters = []
    for word in words:
        title, _, kind = word.partition(":")
        parameters.append(Parameter(title, kind.removesuffix("?"), kind.endswith("?")))
    named = dict(pair.split(":") for pair in options.split())
    return Command(name, run, help, tuple(parameters), named, tuple(flags.split()), inner)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a line gives a command."""

    line: Line
    command: Command
    words: Mapping[str, Word]
    rest: tuple[Word, ...]
    flags: frozenset[str]
    names: Mapping[str, Value]
    questions: Questions

    def __contains__(self, name: str) -> bool:
        return name in self.words

    def text(self, name: str) -> str:
        """A word as it stands."""
        return self.words[name].text

    def number(self, name: str, default: int | None = None) -> int:
        """A number; ``default`` where it was left out."""
        if name not in self.words:
            assert default is not None
            return default
        value = self._value(name)
        if not isinstance(value, int):
            raise self.line.error(self.words[name], f"'{self.text(name)}' is no number")
        return value

    def process(self, name: str) -> Process:
        """A process."""
        value = self._value(name)
        if not isinstance(value, Process):
            raise self.line.error(self.words[name], f"'{self.text(name)}' is no process")
        return value

    def space(self, name: str) -> Process | None:
        """A process, or None for the kernel."""
        return None if self.text(name) == KERNEL else self.process(name)

    def data(self, name: str, word_size: int) -> bytes:
        """Bytes: of a text in quotes, of ``hex:``, or a number in ``word_size`` bytes."""
        word = self.words[name]
        if word.quoted:
            return word.text.encode()
        if word.text.startswith("hex:"):
            try:
                return bytes.fromhex(word.text[4:])
            except ValueError as error:
                raise self.line.error(word, f"'{word.text}' is no hexadecimal: {error}") from None
        value = self.number(name) & ((1 << 64) - 1)
        size = 8 if value >> 32 else word_size
        return value.to_bytes(size, "little")

    def choice(self, name: str, known: Mapping[str, object]) -> str:
        """One of some words."""
        text = self.text(name)
        if text not in known:
            raise self.line.error(
                self.words[name], f"'{text}' is not one of {', '.join(sorted(known))}"
            )
        return text

    def value_of(self, word: Word) -> object:
        """The value of an expression in any word."""
        try:
            return evaluate(word.text, self.names, self.questions)
        except BadExpression as error:
            raise self.line.error(Word(word.text, word.column + error.offset), str(error)) from None

    def _value(self, name: str) -> object:
        return self.value_of(self.words[name])


def bind(
    line: Line,
    given: Invocation,
    found: Command,
    names: Mapping[str, Value],
    questions: Questions,
) -> Arguments:
    """A line's words as a command's parameters; `BadScenario` if they are too many or too few."""
    words: dict[str, Word] = {}
    rest: tuple[Word, ...] = ()
    flags = [word for word in given.arguments if word.text in found.flags and not word.quoted]
    plain = [word for word in given.arguments if word not in flags]
    for parameter in found.parameters:
        if parameter.kind == "words":
            rest, plain = tuple(plain), []
        elif plain:
            words[parameter.name] = plain.pop(0)
        elif not parameter.optional:
            raise line.error(
                None, f"{found.name}: {parameter.name} is missing (usage: {found.usage})"
            )
    if plain:
        raise line.error(
            plain[0], f"{found.name}: '{plain[0].text}' is too much (usage: {found.usage})"
        )
    words.update(given.options)
    flagged = frozenset(word.text for word in flags)
    return Arguments(line, found, words, rest, flagged, names, questions)


def check_words(arguments: Arguments, names: Collection[str]) -> None:
    """Read all expressions of a line without their values; ``names`` are those that there are."""
    kinds = {p.name: p.kind for p in arguments.command.parameters}
    kinds.update(arguments.command.options)
    for name, word in arguments.words.items():
        kind = kinds[name]
        literal = kind in LITERAL or (kind == "space" and word.text == KERNEL)
        if literal or (kind == "data" and (word.quoted or word.text.startswith("hex:"))):
            continue
        check_word(arguments.line, word, names, arguments.questions)


def check_word(line: Line, word: Word, names: Collection[str], known: Questions) -> None:
    """Read an expression without its values."""
    try:
        check(word.text, names, known)
    except BadExpression as error:
        raise line.error(Word(word.text, word.column + error.offset), str(error)) from None


def not_negative(value: int, what: str) -> int:
    """A number that has to be one of addresses or pages; `InputError`."""
    if not 0 <= value < 1 << 64:
        raise InputError(f"{what} cannot be {value:#x}")
    return value
