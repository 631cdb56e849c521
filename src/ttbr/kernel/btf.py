"""BTF: the types that a kernel carries with it (include/uapi/linux/btf.h), read lazily.

A header, types one after the other, and strings. Type 0 is void. Nothing in the bytes makes the
reader fail or run for long: what is not well-formed is a member that is not there.
"""

import struct
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ttbr.errors import InputError
from ttbr.kernel.types import Member

MAGIC = b"\x9f\xeb\x01"
HEADER = struct.Struct("<HBBIIIII")
LARGEST = 64 << 20  # bytes; a distribution's kernel has 5 MiB

(INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT) = range(1, 12)
(FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64) = range(12, 20)
_ALIASES = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
# Bytes behind the three words of a type: once, and for each of its ``vlen`` parts.
_BEHIND = {
    INT: (4, 0),
    ARRAY: (12, 0),
    STRUCT: (0, 12),
    UNION: (0, 12),
    ENUM: (0, 8),
    FUNC_PROTO: (0, 8),
    VAR: (4, 0),
    DATASEC: (0, 12),
    DECL_TAG: (4, 0),
    ENUM64: (0, 12),
}
_MOST_ALIASES = 32
_DEEPEST = 12  # unnamed members within unnamed members, arrays of arrays
_MOST_SEARCHED = 1 << 14  # members looked at in one search


class Btf:
    """The types of one ``.BTF`` section; ``word``: bytes of a pointer; ``source``: where it is.

    `InputError` if the bytes are no BTF.
    """

    def __init__(self, data: bytes, word: int, source: str = "BTF") -> None:
        size = btf_size(data)
        if size is None or size > len(data):
            raise InputError("not BTF: no header, or less bytes than it says")
        _, _, _, header, type_at, type_size, text_at, text_size = HEADER.unpack_from(data)
        self._types = data[header + type_at : header + type_at + type_size]
        self._text = data[header + text_at : header + text_at + text_size]
        self.word = word
        self.source = source

    @cached_property
    def _index(self) -> NDArray[np.int64]:
        """Where each type begins, in words; type 0 is void, and at -1."""
        words = np.frombuffer(self._types[: len(self._types) // 4 * 4], "<u4").tolist()
        places = [-1]
        at, end = 0, len(words)
        behind = {kind: (fixed // 4, each // 4) for kind, (fixed, each) in _BEHIND.items()}
        while at + 3 <= end:
            info = words[at + 1]
            kind = info >> 24 & 31
            if not 0 < kind <= ENUM64:
                break
            places.append(at)
            fixed, each = behind.get(kind, (0, 0))
            at += 3 + fixed + each * (info & 0xFFFF)
        return np.array(places, np.int64)

    @cached_property
    def _words(self) -> NDArray[np.int64]:
        return np.frombuffer(self._types[: len(self._types) // 4 * 4], "<u4").astype(np.int64)

    @cached_property
    def _named(self) -> dict[tuple[int, str], int]:
        """The number of each struct, union and enum that has a name; the first of a name."""
        places = self._index[1:]
        kinds = self._words[places + 1] >> 24 & 31
        names = self._words[places]
        found: dict[tuple[int, str], int] = {}
        chosen = np.isin(kinds, (STRUCT, UNION, ENUM, ENUM64)) & (names != 0)
        for row in np.flatnonzero(chosen).tolist():
            found.setdefault((int(kinds[row]), self._string(int(names[row]))), row + 1)
        return found

    @cached_property
    def _constants(self) -> dict[str, int]:
        found: dict[str, int] = {}
        places = self._index[1:]
        kinds = self._words[places + 1] >> 24 & 31
        for row in np.flatnonzero(np.isin(kinds, (ENUM, ENUM64))).tolist():
            for name, value in self._enumerators(row + 1):
                found.setdefault(name, value)
        return found

    def _string(self, at: int) -> str:
        end = self._text.find(b"\0", at)
        return self._text[at:end].decode("ascii", "replace") if 0 <= at < end else ""

    def _type(self, number: int) -> tuple[int, int, int, int] | None:
        """(kind, place in words, parts, third word); None for void and what is not there."""
        if not 0 < number < len(self._index):
            return None
        at = int(self._index[number])
        info = int(self._words[at + 1])
        return info >> 24 & 31, at, info & 0xFFFF, int(self._words[at + 2])

    def _part(self, at: int) -> tuple[int, int, int] | None:
        if at + 3 > len(self._words):
            return None
        a, b, c = self._words[at : at + 3].tolist()
        return a, b, c

    def _resolved(self, number: int) -> int:
        """The type behind typedefs and qualifiers."""
        for _ in range(_MOST_ALIASES):
            found = self._type(number)
            if found is None or found[0] not in _ALIASES:
                break
            number = found[3]
        return number

    def _shape(self, number: int, depth: int = 0) -> tuple[int, int]:
        """(bytes, elements) of a type; 0 bytes where it has no size."""
        found = self._type(self._resolved(number))
        if found is None or depth > _DEEPEST:
            return 0, 1
        kind, at, _, third = found
        if kind == PTR:
            return self.word, 1
        if kind == ARRAY:
            part = self._part(at + 3)
            if part is None:
                return 0, 1
            size, inner = self._shape(part[0], depth + 1)
            return size * part[2], inner * part[2]
        return (third if kind in (INT, STRUCT, UNION, ENUM, ENUM64, FLOAT) else 0), 1

    def _struct(self, name: str) -> int | None:
        return self._named.get((STRUCT, name), self._named.get((UNION, name)))

    def size(self, struct: str) -> int | None:
        """Bytes of a struct or union; None if there is none of the name."""
        number = self._struct(struct)
        return None if number is None else self._shape(number)[0]

    def member(self, struct: str, path: str) -> Member | None:
        """A member of a struct or union by name, ``a.b`` for one within another; None without."""
        number = self._struct(struct)
        base = 0
        found: Member | None = None
        for name in path.split("."):
            if number is None:
                return None
            budget = [_MOST_SEARCHED]
            hit = self._find(number, name, 0, budget)
            if hit is None:
                return None
            member, number = hit
            found = Member(
                base + member.offset, member.size, member.count, member.bit + 8 * base, member.bits
            )
            base = found.offset
        return found

    def _find(
        self, number: int, name: str, depth: int, budget: list[int]
    ) -> tuple[Member, int] | None:
        """The member ``name``, and its type's number."""
        found = self._type(self._resolved(number))
        if found is None or found[0] not in (STRUCT, UNION) or depth > _DEEPEST:
            return None
        _, at, parts, _ = found
        fields = bool(int(self._words[at + 1]) >> 31)
        for part in range(parts):
            budget[0] -= 1
            read = self._part(at + 3 + 3 * part)
            if read is None or budget[0] < 0:
                return None
            text, kind, where = read
            bits, bit = (where >> 24, where & 0xFFFFFF) if fields else (0, where)
            if text and self._string(text) == name:
                size, count = self._shape(kind)
                return Member(bit // 8, size, count, bit, bits), kind
            if not text:
                inner = self._find(kind, name, depth + 1, budget)
                if inner is not None:
                    member, inner_kind = inner
                    moved = Member(
                        bit // 8 + member.offset,
                        member.size,
                        member.count,
                        bit + member.bit,
                        member.bits,
                    )
                    return moved, inner_kind
        return None

    def enumerators(self, enum: str) -> dict[str, int]:
        """The constants of an enumeration by name; empty if there is no such enumeration."""
        number = self._named.get((ENUM, enum), self._named.get((ENUM64, enum)))
        return {} if number is None else dict(self._enumerators(number))

    def _enumerators(self, number: int) -> list[tuple[str, int]]:
        found = self._type(number)
        if found is None:
            return []
        kind, at, parts, _ = found
        width = 2 if kind == ENUM else 3
        words = self._words[at + 3 : at + 3 + width * parts]
        rows = words[: len(words) // width * width].reshape(-1, width).tolist()
        if kind == ENUM:
            return [(self._string(name), (v ^ 1 << 31) - (1 << 31)) for name, v in rows]
        return [(self._string(name), low | high << 32) for name, low, high in rows]

    def enumerator(self, name: str) -> int | None:
        """The value of a constant of any enumeration."""
        return self._constants.get(name)

    def __contains__(self, struct: object) -> bool:
        return isinstance(struct, str) and self._struct(struct) is not None


def btf_size(data: bytes) -> int | None:
    """Bytes of the BTF that ``data`` begins with, by its header; None if it is none."""
    if len(data) < HEADER.size:
        return None
    magic, version, flags, header, type_at, type_size, text_at, text_size = HEADER.unpack_from(data)
    sound = magic == 0xEB9F and version == 1 and flags == 0 and HEADER.size <= header <= 256
    size = header + max(type_at + type_size, text_at + text_size)
    if not sound or type_at % 4 or type_size < 12 or text_size < 2 or size > LARGEST:
        return None
    return int(size)
