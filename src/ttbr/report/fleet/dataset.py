"""The folder of a fleet: a data set of Parquet files for each table, with a partition an image.

    fleet.json                                 what the tables and their columns are
    manifest.jsonl                             what became of each image
    table=findings/image=ID/rows.parquet       the rows of one image

Files are written aside and moved to their place, so a partition is there wholly or not at all.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ttbr.errors import InputError
from ttbr.report.fleet.images import FleetImage
from ttbr.report.fleet.job import schema
from ttbr.report.fleet.manifest import DONE, Manifest

_SETTINGS, _MANIFEST, _ASIDE = "fleet.json", "manifest.jsonl", ".parts"
_FORM = "ttbr-fleet-1"


class Dataset:
    """The data set in ``folder``, which this process alone writes; made by `opened`."""

    def __init__(self, folder: Path, tables: Sequence[str]) -> None:
        self.folder = folder
        self.tables = tuple(tables)
        self.manifest = Manifest(folder / _MANIFEST)

    def is_done(self, image: FleetImage) -> bool:
        """Whether the image was dealt with as it is now."""
        entry = self.manifest.entries.get(image.id)
        return entry is not None and (entry.status, entry.fingerprint) == (DONE, image.fingerprint)

    def aside(self, image: FleetImage) -> Path:
        """A new folder to write the tables of an image to."""
        return Path(tempfile.mkdtemp(prefix=f"{image.id}.", dir=self.folder / _ASIDE))

    def place(self, image: FleetImage, written: Path, rows: Mapping[str, int]) -> None:
        """Make the tables in a folder of `aside` the image's partitions, in place of older ones.

        OSError if they are not there: a worker that does not share this folder wrote them.
        """
        for table in self.tables:
            path = self.folder / f"table={table}" / f"image={image.id}" / "rows.parquet"
            if table in rows:
                path.parent.mkdir(parents=True, exist_ok=True)
                (written / f"{table}.parquet").replace(path)
            elif path.exists():
                shutil.rmtree(path.parent)

    def drop(self, written: Path) -> None:
        """Remove a folder of `aside`."""
        shutil.rmtree(written, ignore_errors=True)


@contextmanager
def opened(folder: Path, tables: Sequence[str]) -> Iterator[Dataset]:
    """The data set in a folder, made where there is none.

    `InputError` if the folder holds something else, another fleet's tables, or is in use.
    """
    settings = folder / _SETTINGS
    wanted = {
        "form": _FORM,
        "tables": {name: {f.name: str(f.type) for f in schema(name)} for name in tables},
    }
    folder.mkdir(parents=True, exist_ok=True)
    if not settings.exists():
        if any(path.name != _ASIDE for path in folder.iterdir()):
            raise InputError(f"{folder}: has files in it and is no fleet's: name a new folder")
        part = Path(f"{settings}.part")
        part.write_text(json.dumps(wanted, indent=1) + "\n")
        part.replace(settings)
    with settings.open("rb") as file:
        _lock(file.fileno(), folder)
        try:
            found = json.loads(file.read())
        except ValueError:
            found = None
        if found != wanted:
            raise InputError(
                f"{folder}: a fleet with other tables or columns, by {settings}: name a new folder"
            )
        shutil.rmtree(folder / _ASIDE, ignore_errors=True)
        (folder / _ASIDE).mkdir(exist_ok=True)
        try:
            yield Dataset(folder, tables)
        finally:
            shutil.rmtree(folder / _ASIDE, ignore_errors=True)


def _lock(descriptor: int, folder: Path) -> None:
    """Keep others from writing the data set for as long as the file is open."""
    if os.name != "posix":
        return
    import fcntl  # noqa: PLC0415 - not on every system

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{folder}: another fleet writes there") from None
