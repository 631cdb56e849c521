"""Which images a fleet is made of: patterns of files and URLs, each with what belongs to it."""

import glob
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ttbr.errors import InputError
from ttbr.memory import remote
from ttbr.memory.open import split
from ttbr.memory.raw import names_file

_WORD = 40  # characters of a file's name in the name of its partition
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class FleetImage:
    """One image: ``spec`` and ``registers`` as `ttbr.open` takes them.

    ``name``: its file as an absolute path or URL, which is what makes it another image than the
    next. ``id``: the same as a word that a folder can be called. ``size``: bytes of its files, None
    where one cannot be seen. ``fingerprint``: changes when its files, their sizes or times, or its
    registers do.
    """

    id: str
    name: str
    spec: str
    registers: str | None
    size: int | None
    fingerprint: str


def find_images(patterns: Iterable[str], registers: str | None = None) -> list[FleetImage]:
    """The images that the patterns mean, each once, those of a pattern in the order of their names.

    A pattern is an image as `ttbr.open` takes it, whose first file may have ``*``, ``?``, ``[…]``
    and ``**``. In what stands behind it (``@{dir}/{stem}.json``, files after commas) and in
    ``registers`` ``{dir}``, ``{name}`` and ``{stem}`` are those of the file that was found.
    `InputError` if a pattern means nothing.
    """
    found: dict[str, FleetImage] = {}
    for pattern in patterns:
        first, *others = [pattern] if names_file(pattern) else pattern.split(",")
        text, where = split(first)
        for name in _files(text):
            parts = [(name, where), *(split(_filled(other, name)) for other in others)]
            own = None if registers is None else _filled(registers, name)
            image = _image([_Part.of(*part, name) for part in parts], own)
            found.setdefault(image.id, image)
    return list(found.values())


def _files(pattern: str) -> list[str]:
    """The files of a pattern, or the one that it names, whether it is there or not."""
    if remote.is_url(pattern):
        # A question mark is part of many a URL.
        names = remote.matching(pattern) if "*" in pattern else [pattern]
    elif glob.has_magic(pattern) and not names_file(pattern):
        names = sorted(glob.glob(_absolute(pattern), recursive=True))  # noqa: PTH207 - absolute
        names = [name for name in names if not Path(name).is_dir()]
    else:
        names = [_absolute(pattern)]
    if not names:
        raise InputError(f"{pattern}: there is no such file")
    return names


def _absolute(name: str) -> str:
    """The name from the root on; a URL is that."""
    if remote.is_url(name):
        return name
    return os.path.normpath(Path.cwd() / name)


def _filled(text: str, name: str) -> str:
    """The text with the parts of a file's name in place of ``{dir}``, ``{name}`` and ``{stem}``."""
    path = PurePosixPath(name) if remote.is_url(name) else Path(name)
    # The folder of a URL: a path would make one slash of two.
    parts = {"dir": name.rpartition("/")[0], "name": path.name, "stem": path.stem}
    return re.sub(r"\{(dir|name|stem)\}", lambda match: parts[match[1]], text)


def _image(parts: "list[_Part]", registers: str | None) -> FleetImage:
    name = parts[0].file
    if registers is not None and names_file(registers):
        registers = _absolute(registers)
    states = [_state(part.file) for part in parts]
    sizes = [size for size, _ in states]
    beside = [*(part.banks for part in parts), registers]
    spec = ",".join(part.spec for part in parts)
    marks = [spec, registers or "", *(mark for _, mark in states)]
    marks += [_state(file)[1] for file in beside if file is not None]
    word = re.sub(r"[^A-Za-z0-9._-]", "_", name.rpartition("/")[2])[:_WORD]
    return FleetImage(
        id=f"{word}-{_digest(name)[:_DIGITS]}",
        name=name,
        spec=spec,
        registers=registers,
        size=None if None in sizes else sum(size or 0 for size in sizes),
        fingerprint=_digest("\0".join(marks))[:16],
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of an image, its base or the file with its banks, by absolute names."""

    file: str
    base: int | None
    banks: str | None

    @classmethod
    def of(cls, file: str, where: int | Path | None, name: str) -> "_Part":
        """What `split` gave, where ``name`` is the image's first file."""
        if isinstance(where, Path):
            return cls(_absolute(file), None, _absolute(_filled(str(where), name)))
        return cls(_absolute(file), where, None)

    @property
    def spec(self) -> str:
        """As `ttbr.open` takes it."""
        where = self.banks if self.base is None else hex(self.base)
        return self.file if where is None else f"{self.file}@{where}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _state(name: str) -> tuple[int | None, str]:
    """Bytes of a file, and what changes when it is written; what cannot be seen has neither."""
    if remote.is_url(name):
        return remote.state(name)
    try:
        status = Path(name).stat()
    except (OSError, ValueError):
        return None, ""
    return status.st_size, f"{status.st_size} {status.st_mtime_ns}"
