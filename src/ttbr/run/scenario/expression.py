"""Numbers in a scenario: ``0x40000000``, ``4M``, names, ``a+2*4K``, and questions: ``VmPTE(p)``.

`check` reads an expression without its values, `evaluate` with them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from ttbr.format import number

TOKEN = re.compile(
    r"\s*(?:(?P<value>0[xX][\w]+|\d\w*)|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*/%(),]))"
)
DEEPEST = 32


class Questions(Protocol):
    """The questions that may be asked, by name."""

    def arguments(self, name: str) -> int | None:
        """How many arguments a question has; None if there is no such question."""

    def ask(self, name: str, arguments: Sequence[object]) -> int:
        """The answer."""


class BadExpression(ValueError):
    """What is wrong; ``offset``: at which character, from 0."""

    def __init__(self, offset: int, text: str) -> None:
        self.offset = offset
        super().__init__(text)


def check(text: str, names: Collection[str], questions: Questions) -> None:
    """Raise `BadExpression` unless the text is an expression over these names."""
    _Reader(text, dict.fromkeys(names, 0), questions).whole(checking=True)


def evaluate(text: str, names: Mapping[str, object], questions: Questions) -> object:
    """The value: a number, or what a name stands for. `BadExpression`."""
    return _Reader(text, names, questions).whole(checking=False)


class _Reader:
    """Recursive descent: sum → product → factor."""

    def __init__(self, text: str, names: Mapping[str, object], questions: Questions) -> None:
        self._text = text
        self._names = names
        self._questions = questions
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._checking = False

    def whole(self, *, checking: bool) -> object:
        self._checking = checking
        found = self._sum()
        if self._at < len(self._tokens):
            offset, token = self._tokens[self._at]
            raise BadExpression(offset, f"'{token}' is too much")
        return found

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[int, str]:
        if self._at >= len(self._tokens):
            raise BadExpression(len(self._text), "a number is missing")
        self._at += 1
        return self._tokens[self._at - 1]

    def _sum(self) -> object:
        found = self._product()
        while self._peek() in ("+", "-"):
            offset, sign = self._next()
            right = self._number(self._product(), offset)
            left = self._number(found, offset)
            found = left + right if sign == "+" else left - right
        return found

    def _product(self) -> object:
        found = self._factor()
        while self._peek() in ("*", "/", "%"):
            offset, sign = self._next()
            right = self._number(self._factor(), offset)
            left = self._number(found, offset)
            if sign == "*":
                found = left * right
            elif self._checking:
                found = 0
            elif right == 0:
                raise BadExpression(offset, "a division by 0")
            else:
                found = left // right if sign == "/" else left % right
        return found

    def _factor(self) -> object:
        self._depth += 1
        if self._depth > DEEPEST:
            raise BadExpression(0, "the expression is nested too deeply")
        try:
            return self._one()
        finally:
            self._depth -= 1

    def _one(self) -> object:
        offset, token = self._next()
        if token == "-":
            return -self._number(self._factor(), offset)
        if token == "(":
            found = self._sum()
            self._close()
            return found
        if token[0].isdigit():
            try:
                return number(token)
            except ValueError as error:
                raise BadExpression(offset, str(error)) from None
        if not token.isidentifier():
            raise BadExpression(offset, f"'{token}' is no number")
        if self._peek() == "(":
            return self._ask(offset, token)
        if token not in self._names:
            raise BadExpression(offset, f"there is no '{token}' (yet)")
        return self._names[token]

    def _ask(self, offset: int, name: str) -> object:
        wanted = self._questions.arguments(name)
        if wanted is None:
            raise BadExpression(offset, f"there is no question '{name}' ('help' lists them)")
        self._next()
        arguments: list[object] = []
        while self._peek() != ")":
            if arguments:
                at, token = self._next()
                if token != ",":
                    raise BadExpression(at, f"'{token}' in place of a comma")
            arguments.append(self._sum())
        self._close()
        if len(arguments) != wanted:
            raise BadExpression(offset, f"'{name}' has {wanted} arguments, not {len(arguments)}")
        return 0 if self._checking else self._questions.ask(name, arguments)

    def _close(self) -> None:
        offset, token = self._next()
        if token != ")":
            raise BadExpression(offset, f"'{token}' in place of ')'")

    def _number(self, value: object, offset: int) -> int:
        if isinstance(value, int):
            return value
        raise BadExpression(offset, "a process is no number")


def _tokens(text: str) -> Sequence[tuple[int, str]]:
    found = []
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise BadExpression(at, f"{text[at:]!r} is no number")
        token = match[match.lastgroup or 0]
        found.append((match.end() - len(token), token))
        at = match.end()
    return found
