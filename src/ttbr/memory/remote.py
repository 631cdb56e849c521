"""Files elsewhere (s3://, https://, ssh://…), by fsspec: copied to a temporary file once.

Memory is read at random, and by arrays: over a network both need the bytes at hand. Runs of zeros
take no disk.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from ttbr.errors import InputError
from ttbr.memory.spool import LIMIT, Spool, temporary

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
STEP = 4 << 20  # bytes asked for at once
# What file systems say of a file that changes with it; fsspec has no one name for it.
_CHANGES = ("ETag", "etag", "LastModified", "last_modified", "mtime", "modified", "updated")


def is_url(text: str) -> bool:
    """Whether this names a file by a URL."""
    return URL.match(text) is not None


def fetch(url: str, limit: int = LIMIT) -> BinaryIO:
    """A temporary file with the bytes behind a URL; at most ``limit`` of them.

    `InputError` if fsspec, or what it needs for this kind of URL, is not installed, or if the
    file cannot be read.
    """
    with temporary(url) as copy:
        spool = Spool(url, copy, limit)
        with _library(url) as fsspec, fsspec.open(url, "rb") as file:
            spool.append(_parts(cast("BinaryIO", file)))
        spool.finish()
        copy.seek(0)
        return copy


def matching(pattern: str) -> list[str]:
    """The URLs of the files that a URL with ``*``, ``?``, ``[…]`` stands for, in order."""
    with _library(pattern) as fsspec:
        files, path = fsspec.core.url_to_fs(pattern)
        found = files.glob(path, detail=True)
        names = sorted(name for name, about in found.items() if about["type"] == "file")
        return [str(files.unstrip_protocol(name)) for name in names]


def state(url: str) -> tuple[int | None, str]:
    """Bytes of a file, None if unknown, and in words what changes when it is written anew.

    A file that cannot be asked for has neither: reading it says why.
    """
    try:
        with _library(url) as fsspec:
            files, path = fsspec.core.url_to_fs(url)
            about = files.info(path)
    except InputError:
        return None, ""
    size = about.get("size")
    marks = [f"{key}={about[key]}" for key in _CHANGES if key in about]
    return size if isinstance(size, int) else None, " ".join([str(size), *marks])


@contextmanager
def _library(url: str) -> Iterator[Any]:
    """fsspec; what goes wrong with it is an `InputError` about the URL."""
    try:
        import fsspec  # noqa: PLC0415 – an optional extra
    except ImportError as error:
        raise InputError(
            f"{url}: URLs need the package fsspec: pip install 'ttbr[remote]'"
        ) from error
    try:
        yield fsspec
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{url}: this kind of URL needs more packages: pip install 'ttbr[remote]'"
        ) from error
    # Each kind of file system raises errors of its own libraries.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{url}: cannot be read: {reason}") from error


def _parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(STEP):
        yield part
