"""Relations as files: Parquet, CSV, JSON."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ttbr.errors import InputError
from ttbr.report.cells import write_cells_csv, write_cells_json
from ttbr.report.sql import arrow_cells

FORMATS = ("parquet", "csv", "json")


def places(folder: Path, names: tuple[str, ...], form: str, force: bool) -> dict[str, Path]:
    """The file of each relation; `InputError` if one is there and is not to be replaced."""
    found = {name: folder / f"{name}.{form}" for name in names}
    for path in found.values():
        if path.exists() and not force:
            raise InputError(f"{path} is there already (--force replaces it)")
    return found


def write(table: Any, path: Path, form: str, force: bool) -> None:
    """Write one relation, wholly or not at all; an existing file is replaced only by ``force``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        _WRITERS[form](table, part)
        if force:
            part.replace(path)
        else:
            os.link(part, path)  # which fails where somebody else was faster
    except FileExistsError:
        raise InputError(f"{path} is there already (--force replaces it)") from None
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _parquet(table: Any, path: Path) -> None:
    import pyarrow.parquet  # noqa: PLC0415 - an extra, and slow to import

    pyarrow.parquet.write_table(table, path, compression="zstd")


def _csv(table: Any, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_cells_csv(file, arrow_cells(table))


def _json(table: Any, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        write_cells_json(file, arrow_cells(table))


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "parquet": _parquet,
    "csv": _csv,
    "json": _json,
}
