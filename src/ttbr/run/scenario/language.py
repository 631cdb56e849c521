"""The text of a scenario: one command a line.

A line is ``[NAME =] COMMAND ARGUMENT … OPTION=VALUE …``. Words are separated by blanks; quotes keep
blanks together; what follows ``#`` at the beginning of a word is a comment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ttbr.run.scenario.errors import BadScenario

LONGEST_LINE = 1 << 16
QUOTES = "\"'"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line; ``column`` counts from 1. ``quoted``: it stood in quotes."""

    text: str
    column: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line with a command: where it stands, its words, and what the result is to be called."""

    source: str
    number: int
    text: str
    words: tuple[Word, ...]
    target: Word | None = None

    def error(self, word: Word | None, text: str) -> BadScenario:
        """What is wrong with a word; without one, with what is missing at the end."""
        column = len(self.text) + 1 if word is None else word.column
        return BadScenario(self.source, self.number, column, text)


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command's words, told apart: the name, the arguments in order, options by name."""

    name: Word
    arguments: tuple[Word, ...]
    options: dict[str, Word] = field(default_factory=dict)


def parse(text: str, source: str) -> list[Line]:
    """The lines of a scenario that hold commands; `BadScenario` for what is no line."""
    lines = (parse_line(line, source, number) for number, line in enumerate(text.splitlines(), 1))
    return [line for line in lines if line is not None]


def parse_line(text: str, source: str, number: int) -> Line | None:
    """A line; None if it is blank or a comment."""
    if len(text) > LONGEST_LINE:
        raise BadScenario(source, number, 1, f"the line has more than {LONGEST_LINE} characters")
    words = tuple(_words(text, source, number))
    if not words:
        return None
    line = Line(source, number, text, words)
    if len(words) > 1 and words[1].text == "=" and not words[1].quoted:
        target = words[0]
        if not target.text.isidentifier() or target.quoted:
            raise line.error(target, f"'{target.text}' cannot be a name")
        if len(words) == 2:
            raise line.error(None, "a command is missing behind '='")
        return Line(source, number, text, words[2:], target)
    return line


def invocation(line: Line, words: tuple[Word, ...], options: tuple[str, ...]) -> Invocation:
    """Tell arguments and options apart; a word with ``=`` is an option only by a known name."""
    given: dict[str, Word] = {}
    arguments: list[Word] = []
    for word in words[1:]:
        name, equals, value = word.text.partition("=")
        if equals and not word.quoted and name.isidentifier():
            if name not in options:
                known = f": it has {', '.join(options)}" if options else ", and has none"
                raise line.error(word, f"{words[0].text} has no option '{name}'{known}")
            if name in given:
                raise line.error(word, f"option '{name}' is there twice")
            given[name] = Word(value, word.column + len(name) + 1)
        else:
            arguments.append(word)
    return Invocation(words[0], tuple(arguments), given)


def _words(text: str, source: str, number: int) -> Iterator[Word]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        if text[at] == "#":
            return
        if text[at] in QUOTES:
            end = text.find(text[at], at + 1)
            if end < 0:
                raise BadScenario(source, number, at + 1, "a quote is not closed")
            yield Word(text[at + 1 : end], at + 1, quoted=True)
            at = end + 1
            continue
        end = at
        while end < len(text) and not text[end].isspace():
            end += 1
        yield Word(text[at:end], at + 1)
        at = end
