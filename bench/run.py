"""How fast ttbr reads tables, as ratios within one run.

Every figure is a ratio to something that does the same work in the same process, a moment earlier
or later: the floor (the same table bytes read once; the same dependent reads), drgn page by page
(if it is installed: pip install drgn), a plain Python loop. The works of a group take turns, and of
each the shortest time counts: of the processor, so that what else the machine does matters less.

    python bench/run.py                       the table of docs/benchmarks.md, but for what is large
    python bench/run.py --large               with 64 Mi leaves and 100 M addresses (8 GiB)
    python bench/run.py --truth FOLDER        the kernels of recordings as well
    pytest bench --benchmark-group-by=group   the same works under pytest-benchmark
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from accesses import access_groups
from generated import Generated
from page_alloc import page_groups
from processes import process_groups
from work import (
    Group,
    diff_group,
    dump_group,
    query_group,
    recording_groups,
    reverse_group,
    scan_group,
    translate_group,
)

MI = 1 << 20


def groups(large: bool) -> Iterator[Group]:
    """What is measured of generated images, by and by: each may be large."""
    yield dump_group(Generated(MI, adjoining=True))
    for leaves in (1 << 12, 1 << 17, MI, *([64 * MI] if large else [])):
        image = Generated(leaves)
        yield dump_group(image)
        yield translate_group(image, 1_000_000)
        if large and leaves >= MI:
            yield translate_group(image, 100_000_000)
        yield reverse_group(image, 1_000_000)
    image = Generated(MI, scattered=True)
    yield dump_group(image)
    yield translate_group(image, 1_000_000)
    yield reverse_group(image, 1_000_000)
    for leaves in (1 << 16, 1 << 18, MI):
        yield diff_group(leaves)
    yield query_group(Generated(MI))
    yield query_group(image)
    for size in (64 * MI, 256 * MI, *([1024 * MI] if large else [])):
        yield scan_group(size)
    yield from page_groups()
    yield from access_groups(1_000_000 if large else 100_000)
    yield from process_groups((1 << 14, 1 << 17, *([1 << 20] if large else [])))


def measure(group: Group) -> list[dict[str, Any]]:
    """A row for each work of a group."""
    best = {work.name: float("inf") for work in group.works}
    for turn in range(max(work.rounds for work in group.works)):
        for work in group.works:
            if turn < work.rounds:
                start = work.clock()
                work.call()
                best[work.name] = min(best[work.name], work.clock() - start)
    floor = best[group.works[0].name] / group.works[0].amount
    return [
        {
            "work": work.name,
            "milliseconds": best[work.name] * 1e3,
            "units_per_second": work.amount / best[work.name],
            "of_floor": best[work.name] / work.amount / floor,
        }
        for work in group.works
    ]


def table(group: Group, rows: Iterable[dict[str, Any]]) -> str:
    """A group as text."""
    lines = [f"### {group.title}", ""]
    lines += [f"{name}: {text}" for name, text in group.facts.items()] + [""] * bool(group.facts)
    lines += [f"| | ms | million {group.unit}/s | of the floor |", "|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['work']} | {row['milliseconds']:.3g} | {row['units_per_second'] / 1e6:.3g} "
            f"| {row['of_floor']:.3g} x |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--truth", type=Path, metavar="FOLDER")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for group in groups(options.large):
        show(group, options.json)
    for group in recording_groups(options.truth) if options.truth else ():
        show(group, options.json)


def show(group: Group, as_json: bool) -> None:
    """Measure one group and print it."""
    rows = measure(group)
    if as_json:
        print(json.dumps({"group": group.title, **group.facts, "rows": rows}), flush=True)
    else:
        print(table(group, rows), flush=True)


if __name__ == "__main__":
    main()
