"""What a rule finds: a fault, its numbers, and what to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ttbr.arch.attributes import Attributes
from ttbr.format import size


class Severity(IntEnum):
    """How bad a finding is; a higher one is worse."""

    NOTE = 1
    """Worth knowing: how something came out that is easily taken for granted."""
    WARNING = 2
    """Memory is lost or wasted, or something is not as it was asked for."""
    ERROR = 3
    """The kernel refuses something, or what it does instead cannot be meant."""

    def __str__(self) -> str:
        return self.name.lower()


class Bytes(int):
    """A number of bytes, which text shows with a unit."""

    def __str__(self) -> str:
        return size(int(self))


class Address(int):
    """A physical address, which text shows in hexadecimal."""

    def __str__(self) -> str:
        return f"{int(self):#x}"


@dataclass(frozen=True, slots=True)
class Place:
    """Something to change: a node of the device tree (and its property), or an option.

    Exactly one of ``node`` (a path), ``argument`` (of the kernel's command line), ``config`` (an
    option of the kernel's configuration) and ``loader`` (an option of the boot loader's placement,
    or of this command) is not empty.
    """

    node: str = ""
    property: str = ""
    argument: str = ""
    config: str = ""
    loader: str = ""

    def __str__(self) -> str:
        if self.node:
            return f"{self.node}: {self.property}" if self.property else self.node
        return self.argument or self.config or self.loader


@dataclass(frozen=True, slots=True)
class Mapped:
    """A range of an address space: descriptors that follow each other and say the same.

    ``owner``: whose space it is: ``kernel``, or a process's name and number, as the image spells
    it. ``root``: physical address of the root table. ``va`` to ``last`` (inclusive) is mapped to
    physical memory from ``pa`` on by ``descriptors`` of ``level``. ``descriptor`` is the first of
    them, at the physical address ``place``; None where memory does not hold it. ``attributes``: as
    it is in effect.
    """

    owner: str
    root: int
    va: int
    last: int
    pa: int
    level: int
    descriptors: int
    place: int
    descriptor: int | None
    attributes: Attributes

    @property
    def pa_last(self) -> int:
        """The last physical address."""
        return self.pa + (self.last - self.va)


@dataclass(frozen=True, slots=True)
class Found:
    """One fault, as a rule's function yields it.

    ``message`` is one plain sentence with the numbers in it, ``fix`` says what to do. ``kernel``
    holds the lines that this kernel would print, letter by letter, without time stamps.
    ``numbers`` are counts, sizes as `Bytes` or addresses as `Address`; ``ranges`` are physical
    (first, last) addresses by what they are. ``mapped`` are the ranges of address spaces that it
    is about, and ``more`` is how many others there are.
    """

    message: str
    fix: str
    kernel: tuple[str, ...] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    mapped: tuple[Mapped, ...] = ()
    more: int = 0


def node(path: str, name: str = "") -> Place:
    """A node of the device tree, and perhaps one of its properties."""
    return Place(node=path, property=name)


def argument(text: str) -> Place:
    """An argument of the kernel's command line."""
    return Place(argument=text)


def config(option: str) -> Place:
    """An option of the kernel's configuration; ``option`` is without ``CONFIG_``."""
    return Place(config=f"CONFIG_{option}")
