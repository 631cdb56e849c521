"""Files elsewhere (s3://, https://, ssh://…), by fsspec: copied to a temporary file once.

Memory is read at random, and by arrays: over a network both need the bytes at hand. Runs of zeros
take no disk.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, cast

from ttbr.errors import InputError
from ttbr.memory.spool import LIMIT, Spool, temporary

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
STEP = 4 << 20  # bytes asked for at once


def is_url(text: str) -> bool:
    """Whether this names a file by a URL."""
    return URL.match(text) is not None


def fetch(url: str, limit: int = LIMIT) -> BinaryIO:
    """A temporary file with the bytes behind a URL; at most ``limit`` of them.

    `InputError` if fsspec, or what it needs for this kind of URL, is not installed, or if the
    file cannot be read.
    """
    try:
        import fsspec  # noqa: PLC0415 – an optional extra
    except ImportError as error:
        raise InputError(
            f"{url}: URLs need the package fsspec: pip install 'ttbr[remote]'"
        ) from error
    with temporary(url) as copy:
        spool = Spool(url, copy, limit)
        try:
            with fsspec.open(url, "rb") as file:
                spool.append(_parts(cast("BinaryIO", file)))
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
        spool.finish()
        copy.seek(0)
        return copy


def _parts(file: BinaryIO) -> Iterator[bytes]:
    while part := file.read(STEP):
        yield part
