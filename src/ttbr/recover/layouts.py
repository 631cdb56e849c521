"""Where the members of the kernel's structures lie, and how that is known.

In this order: types that somebody wrote down (BTF, DWARF), vmcoreinfo, and what was recovered from
the data itself. What none of them tells is unknown, and never guessed.
"""

from collections.abc import Callable, Mapping

from ttbr.kernel.types import Types
from ttbr.recover.finding import Finding, certain
from ttbr.recover.vmcoreinfo import VmcoreInfo

SIZE = "size"
"""The name under which a recovered layout has the bytes of the structure itself."""

Recovered = Mapping[str, Finding[int]]


class Layouts:
    """Offsets and sizes, each with its confidence and evidence.

    ``recover`` finds the offsets of a structure's members in the data; it is asked only where
    neither types nor ``info`` tell.
    """

    def __init__(
        self,
        types: Types | None,
        info: VmcoreInfo,
        recover: Callable[[str], Recovered],
    ) -> None:
        self.types = types
        self._info = info
        self._recover = recover
        self.used: dict[tuple[str, str], Finding[int] | None] = {}

    def finding(self, struct: str, path: str) -> Finding[int] | None:
        """The offset of a member, in bytes; None where it is unknown, or no such member is."""
        key = (struct, path)
        if key not in self.used:
            self.used[key] = self._look_up(struct, path)
        return self.used[key]

    def _look_up(self, struct: str, path: str) -> Finding[int] | None:
        if self.types is not None:
            member = self.types.member(struct, path)
            return None if member is None else certain(member.offset, self.types.source)
        noted = self._info.offsets.get(f"{struct}.{path}")
        if noted is not None:
            return certain(noted, "vmcoreinfo")
        return self._recover(struct).get(path)

    def offset(self, struct: str, path: str) -> int | None:
        """The offset alone."""
        found = self.finding(struct, path)
        return None if found is None else found.value

    def offsets(self, struct: str, *paths: str) -> list[int] | None:
        """Several offsets; None if one of them is unknown."""
        found = [self.offset(struct, path) for path in paths]
        known = [offset for offset in found if offset is not None]
        return known if len(known) == len(found) else None

    def size(self, struct: str) -> int | None:
        """Bytes of a structure, or None."""
        if self.types is not None:
            return self.types.size(struct)
        noted = self._info.sizes.get(struct)
        if noted is not None:
            return noted
        found = self._recover(struct).get(SIZE)
        return None if found is None else found.value
