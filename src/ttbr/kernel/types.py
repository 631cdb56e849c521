"""What the C types of a kernel look like: where a member lies, how long a type is."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct: ``offset`` and ``size`` in bytes; ``bits`` wide if it is a bit field.

    ``bit``: the first bit of a bit field within the struct, counted from the least significant.
    ``count``: elements of an array, 1 for anything else.
    """

    offset: int
    size: int
    count: int = 1
    bit: int = 0
    bits: int = 0


class Types(Protocol):
    """Where types come from: BTF or DWARF of a kernel."""

    @property
    def source(self) -> str:
        """Who says so."""

    def member(self, struct: str, path: str) -> Member | None:
        """A member, ``a.b`` for one of a member; those of unnamed members count as the struct's."""

    def size(self, struct: str) -> int | None:
        """Bytes of a struct or union."""

    def enumerator(self, name: str) -> int | None:
        """The value of an enumeration's constant."""

    def enumerators(self, enum: str) -> dict[str, int]:
        """The constants of an enumeration by name; empty if there is no such enumeration."""
