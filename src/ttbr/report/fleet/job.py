"""What is done with one image: its relations are made and written to files."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ttbr.errors import InputError
from ttbr.recover.identify import with_kernel
from ttbr.recover.linux import Linux
from ttbr.recover.open import open as open_image
from ttbr.report import export
from ttbr.report.hostile import visible
from ttbr.report.relations import RELATIONS, Relations, arrow

FILE = "file"
"""The column that every table has before those of its relation: the image's file or URL."""
_MOST_NOTES, _LONGEST = 16, 400


@dataclass(frozen=True, slots=True)
class Job:
    """The relations ``tables`` of an image, to be written to ``folder``/TABLE.parquet.

    ``name``, ``spec`` and ``registers`` as in `FleetImage`. ``seconds`` and ``memory`` (bytes) are
    the most that it may take.
    """

    name: str
    spec: str
    registers: str | None
    tables: tuple[str, ...]
    folder: str
    seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: ``error`` is None if it was done.

    ``rows``: of each table that was written. ``missing``: why the image does not have the others.
    ``notes``: what the tables leave out. ``seconds``: how long it took.
    """

    rows: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As a child's answer to its parent."""
        return asdict(self)


def schema(table: str) -> Any:
    """The Arrow schema of a table's files: `FILE`, then the relation's columns."""
    pa = arrow.pyarrow()
    own = pa.field(
        FILE,
        pa.dictionary(pa.int32(), pa.string()),
        metadata={"description": b"the image: absolute path or URL of its file"},
    )
    known = arrow.schema(RELATIONS[table])
    return pa.schema([own, *known], metadata=known.metadata)


def do(job: Job) -> Outcome:
    """Read the image and write its tables; `TtbrError` if it cannot be read, or has none of them.

    A table that this image does not hold is ``missing``.
    """
    began = time.monotonic()
    pa = arrow.pyarrow()
    image, _ = with_kernel(open_image(job.spec, job.registers), job.name)
    if not len(image.address_space("kernel").mappings().runs):
        raise InputError("the kernel's root table maps nothing: what is there is no table of it")
    relations = Relations(Linux(image))
    rows: dict[str, int] = {}
    missing: dict[str, str] = {}
    for name in job.tables:
        try:
            table = relations[name]
        except InputError as error:
            missing[name] = line(str(error).removeprefix(f"{name}: "))
            continue
        count = table.num_rows
        index = pa.array(np.zeros(count, np.int32))
        file = pa.DictionaryArray.from_arrays(index, pa.array([arrow.utf8(job.name)], pa.string()))
        table = pa.Table.from_arrays([file, *table.columns], schema=schema(name))
        export.write(table, Path(job.folder) / f"{name}.parquet", "parquet", force=True)
        rows[name] = count
    if not rows:
        raise InputError("; ".join(f"{name}: {why}" for name, why in missing.items()))
    notes = [line(note) for note in relations.notes[:_MOST_NOTES]]
    return Outcome(rows, missing, notes, None, time.monotonic() - began)


def line(text: str) -> str:
    """A line of bounded length that can be shown: it may quote the image."""
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
