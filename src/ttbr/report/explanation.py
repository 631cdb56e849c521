"""A descriptor's or register's fields as text."""

from rich.console import Console

from ttbr.arch.explain import Explanation
from ttbr.format import size


def print_explanation(out: Console, found: Explanation) -> None:
    """The word, what it is, and one line a field."""
    where = ""
    if found.levels:
        where = f" at level {' or '.join(str(level) for level in found.levels)}"
    out.print(f"{found.value:#x}: {found.title}{where}  ({found.source})")
    for row in found.rows:
        out.print(f"  {row.bits:>8} {row.name:<22} {row.value:#x}  {row.text}".rstrip())
    if found.address is not None:
        out.print(f"  address    {found.address:#x}")
    if found.size is not None:
        out.print(f"  maps       {size(found.size)}")
    if found.attributes is not None:
        out.print(f"  attributes {found.attributes.summary()}")
    for note in found.notes:
        out.print(f"  note       {note}")
