"""Conditions on mappings in words: ``w and x``, ``device and not level == 3``.

A condition is about what a leaf says, so it is evaluated once for each distinct value and the rows
are selected by index. It is parsed by Python's own parser, and everything that is not listed here
is refused: nothing is ever executed.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.attributes import Attributes
from ttbr.errors import InputError
from ttbr.mmu.mappings import Mappings

LONGEST = 1000  # characters of a condition

FLAGS: Mapping[str, Callable[[Attributes], bool]] = {
    "r": lambda a: a.el1_read,
    "w": lambda a: a.el1_write,
    "x": lambda a: a.el1_execute,
    "ur": lambda a: a.el0_read,
    "uw": lambda a: a.el0_write,
    "ux": lambda a: a.el0_execute,
    "user": lambda a: a.el0_read or a.el0_write or a.el0_execute,
    "normal": lambda a: a.memory.startswith("Normal"),
    "device": lambda a: a.memory.startswith(("Device", "Strongly-ordered")),
    "cached": lambda a: a.inner.startswith(("WB", "WT")),
    "shared": lambda a: a.shareability in ("inner", "outer"),
    "af": lambda a: a.access_flag,
    "dbm": lambda a: a.dirty_managed,
    "contiguous": lambda a: a.contiguous,
    "guarded": lambda a: a.guarded,
}
"""Names that are true or false of a mapping; ``global`` and ``nonglobal`` come on top."""

NUMBERS: Mapping[str, Callable[[Attributes, int], int | None]] = {
    "level": lambda _, level: level,
    "domain": lambda a, _: a.domain,
    "attrindx": lambda a, _: a.attr_index,
    "software": lambda a, _: a.software,
}
"""Names that are compared with numbers; a mapping without the number fits no comparison."""

_COMPARISONS: Mapping[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

Test = Callable[[Attributes, int], bool]
NAMES = (*FLAGS, "global", "nonglobal")
# ``global`` is a word of Python's, so its parser must be given another one.
_GLOBAL = "_global"


@dataclass(frozen=True, slots=True)
class Where:
    """A condition: ``text`` as it was written, and the ``test`` of (attributes, level)."""

    text: str
    test: Test

    def mask(self, mappings: Mappings) -> NDArray[np.bool_]:
        """For which rows the condition holds."""
        pairs = zip(mappings.attribute_values, mappings.attribute_keys, strict=True)
        holds = np.array([self.test(value, key[1]) for value, key in pairs], np.bool_)
        return holds[mappings.attributes]


def parse_where(text: str) -> Where:
    """Read a condition; `InputError`, in one line, if it is not one.

    Names: those of ``FLAGS``, ``global``, ``nonglobal``; comparisons (``==  !=  <  <=  >  >=``) of
    those of ``NUMBERS`` with a number; ``and``, ``or``, ``not`` and parentheses.
    """
    if len(text) > LONGEST:
        raise InputError(f"a condition of {len(text)} characters is too long (at most {LONGEST})")
    words = text.strip().replace("\n", " ")
    try:
        tree = ast.parse(re.sub(r"\bglobal\b", _GLOBAL, words), mode="eval")
        return Where(words, _compile(tree.body))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(
            f"'{words}' is not a condition; write one like: w and x and not (device or level == 2)"
        ) from None


def _compile(node: ast.expr) -> Test:
    match node:
        case ast.BoolOp(op=op, values=values):
            tests = [_compile(value) for value in values]
            if isinstance(op, ast.And):
                return lambda a, level: all(test(a, level) for test in tests)
            return lambda a, level: any(test(a, level) for test in tests)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _compile(operand)
            return lambda a, level: not inner(a, level)
        case ast.Name(id=name):
            return _flag(name)
        case ast.Compare(left=ast.Name(id=name), ops=[op], comparators=[right]):
            return _comparison(name, op, right)
        case _:
            raise InputError(
                f"'{ast.unparse(node)}' does not belong into a condition: only names, comparisons "
                "with a number, and, or, not and parentheses do"
            )


def _flag(name: str) -> Test:
    if name == _GLOBAL:
        return lambda a, _: not a.non_global
    if name == "nonglobal":
        return lambda a, _: a.non_global
    if name in NUMBERS:
        raise InputError(f"'{name}' is a number in a condition: compare it, as in {name} == 1")
    if name not in FLAGS:
        known = ", ".join((*NAMES, *NUMBERS))
        raise InputError(f"a condition does not know '{name}'; there are {known}")
    flag = FLAGS[name]
    return lambda a, _: flag(a)


def _comparison(name: str, op: ast.cmpop, right: ast.expr) -> Test:
    if name not in NUMBERS:
        raise InputError(f"'{name}' is not a number; compared can be {', '.join(NUMBERS)}")
    negative = isinstance(right, ast.UnaryOp) and isinstance(right.op, ast.USub)
    number = right.operand if isinstance(right, ast.UnaryOp) and negative else right
    compare = _COMPARISONS.get(type(op))
    if compare is None or not isinstance(number, ast.Constant) or type(number.value) is not int:
        raise InputError(f"'{name}' can be compared (==, !=, <, <=, >, >=) with a number only")
    wanted = -number.value if negative else number.value
    value = NUMBERS[name]

    def test(attributes: Attributes, level: int) -> bool:
        got = value(attributes, level)
        return got is not None and compare(got, wanted)

    return test
