"""The document: its parts under one roof, packed for the page and for the server."""

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from ttbr.mmu.image import Image
from ttbr.report.hostile import shown
from ttbr.report.view.catalogue import Catalogue
from ttbr.report.view.columns import Body, Head, decode
from ttbr.report.view.comparisons import comparisons
from ttbr.report.view.machines import Pen
from ttbr.report.view.room import Room

VERSION = 1
"""Of the form of documents; the page refuses another one."""
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Document:
    """``head``: JSON values; ``body``: the bytes that its columns are in."""

    head: Head
    body: bytes

    def column(self, table: Head, name: str) -> NDArray[np.uint64]:
        """A column of numbers of a table, as words; codes of text by index."""
        column = table["columns"][name]
        size = table["rows"] * column["width"]
        return decode(self.body[column["at"] : column["at"] + size], column["width"])

    def packed(self) -> bytes:
        """The document as a zlib stream: the length of the head (four bytes), head, body."""
        head = json.dumps(self.head, separators=(",", ":"), allow_nan=False).encode()
        return zlib.compress(_LENGTH.pack(len(head)) + head + self.body)


def unpack(data: bytes) -> Document:
    """What `Document.packed` has made."""
    plain = zlib.decompress(data)
    (length,) = _LENGTH.unpack_from(plain)
    end = _LENGTH.size + length
    return Document(json.loads(plain[_LENGTH.size : end]), plain[end:])


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that a document shows.

    ``name``: what the user calls it. ``images``: its machine at one or several moments. ``write``:
    those machines as JSON, and what else is known.
    """

    name: str
    images: Sequence[Image]
    write: Callable[[Pen], tuple[list[Head], Head]]


def view(
    subjects: Sequence[Subject],
    room: Room | None = None,
    progress: Callable[[str], None] | None = None,
) -> Document:
    """All subjects, and each machine of the others held against the first's that are like it."""
    pen = Pen(Body(), Catalogue(), room or Room(), progress or (lambda step: None))
    machines: list[Head] = []
    told: list[Head] = []
    images: list[list[tuple[int, Image]]] = []
    for subject in subjects:
        pen.progress(subject.name)
        made, rest = subject.write(pen)
        numbers = list(range(len(machines), len(machines) + len(made)))
        images.append(list(zip(numbers, subject.images, strict=True)))
        machines += made
        told.append({"name": shown(subject.name), "machines": numbers, **rest})
    pen.progress("comparing")
    compared = comparisons(pen, images)
    head: Head = {
        "version": VERSION,
        "ttbr": version("ttbr"),
        "subjects": told,
        "machines": machines,
        "comparisons": compared,
        **pen.catalogue.as_json(),
    }
    return Document(head, pen.body.joined())
