"""Columns as bytes that compress well: differences between rows, byte by byte.

Addresses and words mostly grow by what they grew by before, so their differences are few and small.
A column is written as the differences of its values modulo 2**64, in as many bytes as the largest
of them needs: first the lowest byte of all rows, then the next.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.report.hostile import shown
from ttbr.report.relations.relation import Coded, Known, Relation, Values

WORD = 8

Head = dict[str, Any]
"""JSON values."""


class Body:
    """The bytes of a document, which its tables refer to by offset."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> int:
        """Append bytes; where they begin."""
        at = self._size
        self._parts.append(data)
        self._size += len(data)
        return at

    def joined(self) -> bytes:
        """All of them."""
        return b"".join(self._parts)

    def numbers(self, values: NDArray[Any], kind: str = "int") -> Head:
        """A column of whole numbers of 64 bits, signed or not.

        ``kind``: ``int`` for what a float holds exactly, ``word`` for all 64 bits.
        """
        data, width = encode(values)
        return {"is": kind, "at": self.add(data), "width": width}

    def integers(self, values: Sequence[int], kind: str = "int") -> Head:
        """As `numbers`, of Python's."""
        return self.numbers(np.array(values, np.uint64 if kind == "word" else np.int64), kind)

    def coded(self, codes: NDArray[Any], values: Sequence[str]) -> Head:
        """A column of text by index into ``values``; an index below 0 is nothing."""
        return {**self.numbers(codes, "code"), "values": [shown(value) for value in values]}

    def table(self, rows: int, columns: Mapping[str, Head]) -> Head:
        """Columns of one length."""
        return {"rows": rows, "columns": dict(columns)}

    def relation(self, relation: Relation, made: Mapping[str, Values]) -> Head:
        """A relation's rows, with what its columns mean."""
        rows = _length(made[relation.columns[0].name])
        columns = {
            column.name: self._column(made[column.name], column.type) | {"meaning": column.meaning}
            for column in relation.columns
        }
        return {**self.table(rows, columns), "meaning": relation.meaning}

    def _column(self, values: Values, kind: str) -> Head:
        match values:
            case Known():
                mask = np.packbits(values.known, bitorder="little").tobytes()
                return {**self._column(values.values, kind), "known": self.add(mask)}
            case Coded():
                return self.coded(values.codes, values.values)
            case np.ndarray():
                word = "word" if kind == "uint64" else "flag" if kind == "bool" else "int"
                return self.numbers(values, word)
            case _:
                return text(values)


def text(values: Sequence[str | None]) -> Head:
    """A column of text, with escapes for what does not print; None is what is not known."""
    return {"is": "text", "values": [None if v is None else shown(v) for v in values]}


def encode(values: NDArray[Any]) -> tuple[bytes, int]:
    """The bytes of a column of whole numbers, and how many bytes each difference has."""
    words = values.astype(np.int64, copy=False).view(np.uint64)
    steps = np.diff(words, prepend=np.uint64(0)).view(np.int64)
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
    width = 1
    while width < WORD and not (-(1 << 8 * width - 1) <= low and high < 1 << 8 * width - 1):
        width += 1
    planes = steps.astype("<i8").view(np.uint8).reshape(-1, WORD)[:, :width]
    return planes.T.tobytes(), width


def decode(data: bytes, width: int) -> NDArray[np.uint64]:
    """What `encode` was given, as words of 64 bits."""
    planes = np.frombuffer(data, np.uint8).reshape(width, -1)
    steps = np.zeros((planes.shape[1], WORD), np.uint8)
    steps[:, :width] = planes.T
    steps[:, width:] = np.where(planes[-1] & 0x80, 0xFF, 0)[:, None]
    return np.cumsum(steps.view("<u8").reshape(-1), dtype=np.uint64)


def _length(values: Values) -> int:
    match values:
        case Known():
            return len(values.values)
        case Coded():
            return len(values.codes)
        case _:
            return len(values)
