"""Which images and boards are served: those named, and those that lie in the folders named.

A request names an image by the name that the list has for it, never by a path. What a folder holds
is found by walking it, so that no name leads out of it; symbolic links that do are not followed.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ttbr.boot.fdt import MAGIC
from ttbr.errors import InputError
from ttbr.memory.compressed import first_bytes
from ttbr.memory.flattened import MAGIC as FLATTENED
from ttbr.memory.open import READERS

MOST_FILES = 20_000
"""Files of all folders that are looked at, and `MOST_DEPTH` folders below each other."""
MOST_DEPTH = 6
REGISTERS = "registers.json"
_BOARD = MAGIC.to_bytes(4, "big")
_MAGICS = (*READERS, FLATTENED)
_LONGEST = max(map(len, _MAGICS))
_SPELLED = ",@"  # characters that separate parts of an image's spelling


Version = tuple[tuple[int, int], ...]


class NoSuchImage(Exception):
    """The list has no image of this name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An image or a ``board`` (a device tree, to be booted) by the ``name`` of the list.

    ``spec`` and ``registers`` as `ttbr.open` takes them. ``files``: what is read, ``folder``: in
    which all of them have to lie; None for what was named when the server was started.
    """

    name: str
    spec: str
    registers: str | None = None
    files: tuple[Path, ...] = ()
    folder: Path | None = None
    board: bool = False

    def check(self) -> None:
        """`InputError` if a file has become a way out of its folder since it was listed."""
        if self.folder is not None and not all(_inside(path, self.folder) for path in self.files):
            raise InputError(f"{self.name} is not in its folder any more")

    def version(self) -> Version:
        """Changes when a file does, or is gone."""
        try:
            stats = [path.stat() for path in self.files]
        except OSError:
            return ()
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


class Library:
    """The images by name. ``places``: folders and images; ``registers``: of the latter."""

    def __init__(self, places: Sequence[str], registers: str | None = None) -> None:
        self._folders = [Path(place).resolve() for place in places if Path(place).is_dir()]
        self._named = {
            name: Entry(name, spec, registers, board=_kind(Path(spec))[1])
            for spec in places
            if not Path(spec).is_dir()
            for name in (Path(spec).name,)
        }
        self._listed: dict[str, tuple[Entry, Version]] = {}
        if len(self._named) + len(self._folders) < len(set(places)):
            raise InputError("two of the images have the same name: serve their folders instead")

    def images(self) -> list[Entry]:
        """All images that there are now, by name."""
        found = dict(self._named)
        left = MOST_FILES
        for number, folder in enumerate(self._folders):
            prefix = f"{folder.name}/" if len(self._folders) > 1 else ""
            for path in _files(folder):
                left -= 1
                if left < 0:
                    break
                name = prefix + path.relative_to(folder).as_posix()
                while name in found:
                    name = f"{number}/{name}"
                entry = _entry(name, path, folder)
                if entry is not None:
                    found[name] = entry
        entries = sorted(found.values(), key=lambda entry: entry.name)
        self._listed = {entry.name: (entry, entry.version()) for entry in entries}
        return entries

    def find(self, name: str) -> Entry:
        """The image of this name; `NoSuchImage` if the list has none."""
        known = self._listed.get(name)
        if known is None or known[0].version() != known[1]:
            self.images()
        if name not in self._listed:
            raise NoSuchImage(name)
        return self._listed[name][0]

    def without_paths(self, text: str) -> str:
        """A sentence without where on this machine the folders are."""
        for folder in sorted(self._folders, key=lambda each: -len(str(each))):
            text = text.replace(f"{folder}{os.sep}", "")
        return text


def _files(folder: Path) -> Iterator[Path]:
    """Every regular file in a folder, in the order of names, none by a way out of it."""
    for where, folders, files in os.walk(folder, followlinks=False):
        depth = len(Path(where).relative_to(folder).parts)
        folders[:] = sorted(folders) if depth < MOST_DEPTH else []
        for name in sorted(files):
            path = Path(where, name)
            if _inside(path, folder) and path.is_file():
                yield path


def _inside(path: Path, folder: Path) -> bool:
    """Whether what a path leads to lies in the folder."""
    try:
        return path.resolve(strict=True).is_relative_to(folder)
    except (OSError, RuntimeError):  # it is gone, or a link to itself
        return False


def _entry(name: str, path: Path, folder: Path) -> Entry | None:
    """What a file is: an image by its magic, raw memory by the list of banks beside it, or none.

    Raw memory is ``NAME.…`` beside ``NAME.json``, with a ``registers.json`` there.
    """
    banks = path.with_name(f"{path.name.partition('.')[0]}.json")
    beside = path.with_name(REGISTERS)
    has_banks = banks != path and _inside(banks, folder) and not set(str(path)) & set(_SPELLED)
    is_image, is_board = _kind(path)
    if path.suffix == banks.suffix or not (has_banks or is_image or is_board):
        return None
    has_registers = has_banks and _inside(beside, folder)  # raw memory has none of its own
    return Entry(
        name,
        f"{path}@{banks}" if has_banks else str(path),
        str(beside) if has_registers else None,
        (path, *[banks] * has_banks, *[beside] * has_registers),
        folder,
        is_board and not has_banks,  # RAM, too, can begin with a device tree
    )


def _kind(path: Path) -> tuple[bool, bool]:
    """Whether a file, or what is packed in it, begins like an image; and the file like a board."""
    try:
        with path.open("rb") as file:
            board = file.read(len(_BOARD)) == _BOARD
            file.seek(0)
            return first_bytes(file, _LONGEST).startswith(_MAGICS), board
    except OSError:
        return False, False
