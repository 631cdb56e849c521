"""What two images map differently, with the regions' names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from ttbr.format import address, counted, size
from ttbr.mmu.compare import Change, Differences, compare
from ttbr.mmu.image import Image
from ttbr.report.diff_groups import Group, grouped, named
from ttbr.report.diff_roots import Roots
from ttbr.report.mappings import space_bits
from ttbr.report.regions import RegionNames

SHOWN = 200  # ranges that the text form lists per root; JSON has them all

_WORDS = {
    Change.ONLY_A: "only in A",
    Change.ONLY_B: "only in B",
    Change.MOVED: "other physical address",
    Change.ATTRIBUTES: "other attributes",
    Change.GRANULARITY: "other granularity",
}


@dataclass(frozen=True, slots=True)
class RootDiff:
    """One pair of root tables: what was compared, and how it differs."""

    root: str
    table_a: int
    table_b: int
    mapped_a: int  # bytes
    mapped_b: int
    differences: Differences
    bits: int
    cut: tuple[str, ...]  # what a side's walk left out, and why
    groups: tuple[Group, ...] = ()  # the differences by owner and region
    only: str | None = None  # A or B, where the other image has no such root; its table is 0

    def table_json(self) -> dict[str, str | None]:
        """The root tables of both; null where there is none."""
        sides = (("a", self.table_a, "B"), ("b", self.table_b, "A"))
        return {side: None if self.only == other else hex(at) for side, at, other in sides}


@dataclass(frozen=True, slots=True)
class ImageDiff:
    """Two images compared; ``assumed`` says what had to be taken for granted."""

    roots: tuple[RootDiff, ...]
    regions: RegionNames
    assumed: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Nothing differs in any root that was compared."""
        return not any(len(root.differences) or root.only for root in self.roots)

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON values; ``differences`` is empty where roots are identical."""
        return {
            "identical": self.identical,
            "assumed": list(self.assumed),
            "roots": [
                {
                    "root": root.root,
                    "table": root.table_json(),
                    "mapped_bytes": {"a": root.mapped_a, "b": root.mapped_b},
                    "cut": list(root.cut),
                    "groups": [group.as_json() for group in root.groups],
                    "differences": [_row_json(root, self.regions, i) for i in _rows(root)],
                }
                for root in self.roots
            ],
        }


KERNEL, USER = (Roots(name, name, name) for name in ("kernel", "user"))


def diff_images(a: Image, b: Image, assumed: list[str], roots: Sequence[Roots]) -> ImageDiff:
    """Compare what A and B map through these roots."""
    regions = RegionNames(a.facts.markers or b.facts.markers)
    done: list[RootDiff] = []
    seen: set[tuple[int, int]] = set()
    for root in roots:
        compared = _compared(a, b, root, regions)
        tables = compared.table_a, compared.table_b
        if tables in seen:
            continue  # ARM32 without a split: both registers name the same table
        seen.add(tables)
        done.append(compared)
    return ImageDiff(tuple(done), regions, tuple(assumed))


def _compared(a: Image, b: Image, root: Roots, regions: RegionNames) -> RootDiff:
    space_a = None if root.a is None else a.address_space(root.a)
    space_b = None if root.b is None else b.address_space(root.b)
    known = space_a or space_b
    assert known is not None
    nothing = known.mappings(0, 0)
    maps_a = nothing if space_a is None else space_a.mappings(0, root.end)
    maps_b = nothing if space_b is None else space_b.mappings(0, root.end)
    cut = [
        f"{side}: {maps.truncated}"
        for side, maps in (("A", maps_a), ("B", maps_b))
        if maps.truncated
    ]
    found = compare(maps_a, maps_b)
    return RootDiff(
        root=root.name,
        table_a=0 if space_a is None else space_a.root,
        table_b=0 if space_b is None else space_b.root,
        mapped_a=maps_a.mapped_bytes,
        mapped_b=maps_b.mapped_bytes,
        differences=found,
        bits=space_bits(known),
        cut=tuple(cut),
        groups=tuple(_groups(root, found, regions)),
        only="A" if space_b is None else "B" if space_a is None else None,
    )


def _groups(root: Roots, found: Differences, regions: RegionNames) -> Iterator[Group]:
    """The differences by owner and region."""
    if root.is_process:
        names = named(found, *root.areas, "")
        return grouped(found, [root.name] * len(found), names)
    which, known = regions.of_many(found.va)
    places = [known[at] for at in which.tolist()]
    return grouped(found, named(found, *root.areas, root.name), places)


def print_diff(out: Console, result: ImageDiff) -> None:
    """The comparison as text: one line a range that differs, A above B."""
    for line in result.assumed:
        out.print(f"note: {line}")
    for root in result.roots:
        count = len(root.differences)
        verdict = "identical" if not count else f"{count} ranges differ"
        if root.only is not None:
            there = max(root.mapped_a, root.mapped_b)
            out.print(f"{root.root} tables only in {root.only}: {size(there)} mapped")
        else:
            out.print(
                f"{root.root} tables (A at {root.table_a:#x}, B at {root.table_b:#x}; "
                f"{size(root.mapped_a)} and {size(root.mapped_b)} mapped): {verdict}"
            )
        for line in root.cut:
            out.print(f"  note: {line}")
        for group in root.groups:
            where = f"  [{group.region}]" if group.region else ""
            out.print(
                f"  {group.owner}: {group.change} {size(group.bytes)} in "
                f"{counted(group.ranges, 'range')}{where}"
            )
        if root.only is not None:
            continue
        for i in _rows(root)[:SHOWN]:
            _print_row(out, root, result.regions, i)
        if count > SHOWN:
            out.print(f"  … and {count - SHOWN} more (--json lists them all)")
    if result.identical:
        out.print("identical")


def _rows(root: RootDiff) -> range:
    return range(len(root.differences))


def _print_row(out: Console, root: RootDiff, regions: RegionNames, i: int) -> None:
    d = root.differences
    va, last = int(d.va[i]), int(d.last[i])
    name = regions(va)
    out.print(
        f"  {address(va, root.bits)}-{address(last + 1, root.bits)} {size(last - va + 1):>9}  "
        f"{_WORDS[Change(d.change[i])]}{f'  [{name}]' if name else ''}"
    )
    if d.attributes_a[i] >= 0:
        out.print(
            f"      A: {int(d.pa_a[i]):#x} level {d.level_a[i]} "
            f"{d.values_a[d.attributes_a[i]].summary()}"
        )
    if d.attributes_b[i] >= 0:
        out.print(
            f"      B: {int(d.pa_b[i]):#x} level {d.level_b[i]} "
            f"{d.values_b[d.attributes_b[i]].summary()}"
        )


def _row_json(root: RootDiff, regions: RegionNames, i: int) -> dict[str, Any]:
    d = root.differences
    row: dict[str, Any] = {
        "va": hex(int(d.va[i])),
        "last": hex(int(d.last[i])),
        "size": int(d.last[i]) - int(d.va[i]) + 1,
        "change": Change(d.change[i]).name.lower(),
        "region": regions(int(d.va[i])),
        "a": None,
        "b": None,
    }
    if d.attributes_a[i] >= 0:
        row["a"] = {
            "pa": hex(int(d.pa_a[i])),
            "level": int(d.level_a[i]),
            "attributes": d.values_a[d.attributes_a[i]].as_dict(),
        }
    if d.attributes_b[i] >= 0:
        row["b"] = {
            "pa": hex(int(d.pa_b[i])),
            "level": int(d.level_b[i]),
            "attributes": d.values_b[d.attributes_b[i]].as_dict(),
        }
    return row
