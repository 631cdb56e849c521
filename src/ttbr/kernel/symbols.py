"""A kernel's symbols: the System.map that its build leaves."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from ttbr.errors import InputError, TtbrError
from ttbr.kernel.textfile import read_text

LIMIT = 256 << 20  # bytes; a distribution's kernel has less than 10 MiB

_ADDRESS = re.compile(r"[0-9a-fA-F]{8,16}\Z")


class AmbiguousSymbol(TtbrError):
    """A name that several local symbols share, asked for as if there were one."""

    def __init__(self, name: str, addresses: tuple[int, ...]) -> None:
        super().__init__(
            f"the kernel has {len(addresses)} symbols '{name}', the first at {addresses[0]:#x}"
        )


class Symbols(Mapping[str, int]):
    """Link-time addresses by symbol name.

    Local symbols of different files may share a name: `lookup_all` gives all their addresses,
    ``symbols[name]`` raises `AmbiguousSymbol` for them.
    """

    def __init__(self, pairs: Iterable[tuple[str, int]]) -> None:
        self._first: dict[str, int] = {}
        self._others: dict[str, list[int]] = {}
        for name, address in pairs:
            if self._first.setdefault(name, address) != address:
                self._others.setdefault(name, []).append(address)

    @classmethod
    def from_text(cls, text: str) -> Symbols:
        """Read System.map lines ``address type name``; `InputError` if a line is none."""
        tokens = text.split()
        if len(tokens) % 3 or not tokens or not all(map(_ADDRESS.match, tokens[::3])):
            raise InputError(
                f"not a System.map: {_odd_line(text)} (lines are like 'ffff800008000000 T _text')"
            )
        return cls(zip(tokens[2::3], map(_from_hex, tokens[::3]), strict=True))

    @classmethod
    def from_file(cls, path: str | Path) -> Symbols:
        """Read a System.map file, plain, gzip or zstd; `InputError` naming the file."""
        text = read_text(path, LIMIT)
        try:
            return cls.from_text(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def lookup_all(self, name: str) -> tuple[int, ...]:
        """All addresses of a name, in the file's order; none if there is no such symbol."""
        if name not in self._first:
            return ()
        return (self._first[name], *self._others.get(name, ()))

    def local(self, name: str) -> tuple[int, ...]:
        """Addresses of a static symbol, whose name the compiler may have given a number.

        ``local("__pi_ptes")`` finds ``__pi_ptes.1``, too. Ascending.
        """
        pattern = re.compile(re.escape(name) + r"(\.\d+)?\Z")
        names = [name] if name in self._first else []
        names += [other for other in self._first if other != name and pattern.match(other)]
        return tuple(sorted(address for found in names for address in self.lookup_all(found)))

    def unique(self, name: str) -> int | None:
        """The address of a name that there is exactly once, else None."""
        found = self.lookup_all(name)
        return found[0] if len(found) == 1 else None

    def size(self, name: str) -> int:
        """Bytes from a symbol to the next one; 0 for the last, KeyError for none of that name."""
        start = self[name]
        after = bisect_right(self._addresses, start)
        return self._addresses[after] - start if after < len(self._addresses) else 0

    @cached_property
    def _addresses(self) -> list[int]:
        return sorted({at for name in self._first for at in self.lookup_all(name)})

    def matching(self, patterns: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """All symbols whose whole name matches one of the regular expressions, by name."""
        wanted = re.compile("(?:" + "|".join(patterns) + r")\Z")
        return {name: self.lookup_all(name) for name in sorted(filter(wanted.match, self._first))}

    def moved(self, by: int, *, without: Iterable[str] = ()) -> Symbols:
        """The symbols at addresses that are ``by`` higher, less those of the names ``without``."""
        left_out = frozenset(without)
        return Symbols(
            (name, at + by)
            for name in self._first
            if name not in left_out
            for at in self.lookup_all(name)
        )

    def __getitem__(self, name: str) -> int:
        if name in self._others:
            raise AmbiguousSymbol(name, self.lookup_all(name))
        return self._first[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def __len__(self) -> int:
        return len(self._first)


def _from_hex(text: str) -> int:
    return int(text, 16)


def _odd_line(text: str) -> str:
    for number, line in enumerate(text.splitlines(), start=1):
        parts = line.split()
        if len(parts) != 3 or not _ADDRESS.match(parts[0]):
            return f"line {number} is '{line[:60]}'"
    return "it is empty"
