"""What came of a fleet, as text and JSON."""

from collections import Counter
from typing import Any

from rich.console import Console

from ttbr.format import counted
from ttbr.report.fleet.dataset import Dataset
from ttbr.report.fleet.run import Fleet
from ttbr.report.hostile import shown

SHOWN = 50
"""Failed images that the text names; the manifest has them all."""


def fleet_json(fleet: Fleet, dataset: Dataset) -> dict[str, Any]:
    """Counts of images and rows, and every image that failed with the reason."""
    return {
        "output": str(dataset.folder),
        "manifest": str(dataset.manifest.path),
        "images": len(fleet.entries),
        "done": len(fleet.entries) - len(fleet.failed),
        "before": fleet.before,
        "failed": len(fleet.failed),
        "rows": _rows(fleet, dataset),
        "missing": dict(_missing(fleet)),
        "seconds": round(fleet.seconds, 3),
        "failures": [
            {"image": entry.image, "file": entry.file, "error": entry.error}
            for entry in fleet.failed
        ],
    }


def print_fleet(out: Console, fleet: Fleet, dataset: Dataset) -> None:
    """The same as text."""
    done = len(fleet.entries) - len(fleet.failed)
    before = f", {fleet.before} of them before" if fleet.before else ""
    failed = f", {len(fleet.failed)} failed" if fleet.failed else ""
    out.print(f"{done} of {counted(len(fleet.entries), 'image')} done{before}{failed}")
    missing = _missing(fleet)
    for table, rows in _rows(fleet, dataset).items():
        left = f" ({counted(missing[table], 'image')} without)" if table in missing else ""
        out.print(f"  {table}: {counted(rows, 'row')}{left}")
    for entry in fleet.failed[:SHOWN]:
        out.print(f"failed: {shown(entry.file)}: {entry.error}", soft_wrap=True)
    if len(fleet.failed) > SHOWN:
        out.print(f"failed: … {len(fleet.failed) - SHOWN} more, see {dataset.manifest.path}")


def _rows(fleet: Fleet, dataset: Dataset) -> dict[str, int]:
    """Rows of each table over all images."""
    return {
        table: sum(entry.rows.get(table, 0) for entry in fleet.entries) for table in dataset.tables
    }


def _missing(fleet: Fleet) -> Counter[str]:
    """How many images lack each table."""
    return Counter(table for entry in fleet.entries for table in entry.missing)
