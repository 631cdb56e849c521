"""What two images map differently, with the regions' names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Console

from ttbr.format import address, size
from ttbr.mmu.compare import Change, Differences, compare
from ttbr.mmu.image import Image
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


@dataclass(frozen=True, slots=True)
class ImageDiff:
    """Two images compared; ``assumed`` says what had to be taken for granted."""

    roots: tuple[RootDiff, ...]
    regions: RegionNames
    assumed: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Nothing differs in any root that was compared."""
        return not any(len(root.differences) for root in self.roots)

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON values; ``differences`` is empty where roots are identical."""
        return {
            "identical": self.identical,
            "assumed": list(self.assumed),
            "roots": [
                {
                    "root": root.root,
                    "table": {"a": hex(root.table_a), "b": hex(root.table_b)},
                    "mapped_bytes": {"a": root.mapped_a, "b": root.mapped_b},
                    "cut": list(root.cut),
                    "differences": [_row_json(root, self.regions, i) for i in _rows(root)],
                }
                for root in self.roots
            ],
        }


class Roots(NamedTuple):
    """A root to compare: what it is called, and what it is called in A and in B."""

    name: str
    a: str
    b: str


KERNEL, USER = (Roots(name, name, name) for name in ("kernel", "user"))


def diff_images(a: Image, b: Image, assumed: list[str], roots: Sequence[Roots]) -> ImageDiff:
    """Compare what A and B map through these roots."""
    done: list[RootDiff] = []
    seen: set[tuple[int, int]] = set()
    for root in roots:
        space_a, space_b = a.address_space(root.a), b.address_space(root.b)
        if (space_a.root, space_b.root) in seen:
            continue  # ARM32 without a split: both registers name the same table
        seen.add((space_a.root, space_b.root))
        maps_a, maps_b = space_a.mappings(), space_b.mappings()
        cut = [
            f"{side}: {maps.truncated}"
            for side, maps in (("A", maps_a), ("B", maps_b))
            if maps.truncated
        ]
        done.append(
            RootDiff(
                root=root.name,
                table_a=space_a.root,
                table_b=space_b.root,
                mapped_a=maps_a.mapped_bytes,
                mapped_b=maps_b.mapped_bytes,
                differences=compare(maps_a, maps_b),
                bits=space_bits(space_a),
                cut=tuple(cut),
            )
        )
    regions = RegionNames(a.facts.markers or b.facts.markers)
    return ImageDiff(tuple(done), regions, tuple(assumed))


def print_diff(out: Console, result: ImageDiff) -> None:
    """The comparison as text: one line a range that differs, A above B."""
    for line in result.assumed:
        out.print(f"note: {line}")
    for root in result.roots:
        count = len(root.differences)
        verdict = "identical" if not count else f"{count} ranges differ"
        out.print(
            f"{root.root} tables (A at {root.table_a:#x}, B at {root.table_b:#x}; "
            f"{size(root.mapped_a)} and {size(root.mapped_b)} mapped): {verdict}"
        )
        for line in root.cut:
            out.print(f"  note: {line}")
        for i in list(_rows(root))[:SHOWN]:
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
