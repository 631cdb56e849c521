"""The manifest of a fleet: a line of JSON for each image that was tried, the last one counts."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ttbr.errors import InputError

DONE, FAILED = "done", "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of an image: ``status`` is `DONE` or `FAILED`, ``error`` then says why.

    ``image``: the partition, as in the data set's column of that name; ``file``: its path or URL.
    ``size``, ``fingerprint`` as in `FleetImage`; the others as in `Outcome`. ``attempts``: how
    often it was tried.
    """

    image: str
    file: str
    size: int | None
    fingerprint: str
    status: str
    error: str | None
    rows: dict[str, int]
    missing: dict[str, str]
    notes: list[str]
    seconds: float
    attempts: int


class Manifest:
    """The manifest in a file, which is made where it is missing.

    A last line that was cut off while it was written is none. `InputError` for a file that is no
    manifest.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        """The last entry of each image, by ``image``."""
        text = path.read_bytes() if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(path, len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                raise InputError(f"{path}: line {number} is no line of a manifest") from None
            self.entries[entry.image] = entry

    def add(self, entry: Entry) -> None:
        """Write an entry down; it is on the disk when this returns."""
        with self.path.open("a", encoding="ascii") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries[entry.image] = entry
