"""The compressed names of kallsyms (scripts/kallsyms.c), found in bytes and decoded as arrays.

Each name is a length and so many codes; a code stands for a token of one or more letters. A length
of 128 or more has a second byte (since 6.1). Every 256th name has its place among the markers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The letters that symbols use are their own tokens: the ten digits always follow each other.
DIGITS = b"".join(bytes((digit, 0)) for digit in range(ord("0"), ord("9") + 1))
CODES = 256
GROUP = 256  # names between two markers
LONGEST = 1 << 14  # bytes of a compressed name: what two bytes of length can say
_MOST_NAMES = 1 << 22
_MOST_TRIED = 64


@dataclass(frozen=True)
class Tokens:
    """The token table at ``start`` in some bytes, and the end of its index."""

    start: int
    end: int
    text: NDArray[np.uint8]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]


@dataclass(frozen=True)
class Names:
    """Compressed names: where they, their markers and their number lie in some bytes.

    ``first``: of each name the place of its first code; ``codes``: how many it has.
    """

    count_at: int
    start: int
    markers: int
    first: NDArray[np.int64]
    codes: NDArray[np.int64]


def read_tokens(data: bytes, digits: int, align: int) -> Tokens | None:
    """The token table of which ``digits`` is the place of the token "0"; None if it is none."""
    ends: list[int] = []
    at = digits
    for _ in range(ord("0"), CODES):
        at = data.find(b"\0", at, at + LONGEST) + 1
        if not at:
            return None
        ends.append(at)
    index_at = -(-at // align) * align
    index = np.frombuffer(data[index_at : index_at + 2 * CODES], "<u2").astype(np.int64)
    if len(index) != CODES or index[0] != 0 or (np.diff(index) <= 0).any():
        return None
    start = digits - int(index[ord("0")])
    starts = [digits, *ends[:-1]]
    if start < 0 or start % align or (index[ord("0") :] != np.array(starts) - start).any():
        return None
    text = np.frombuffer(data[start:at], np.uint8)
    length = np.diff(index, append=at - start) - 1
    if (text[index + length] != 0).any() or np.count_nonzero(text == 0) != CODES:
        return None
    return Tokens(start, index_at + 2 * CODES, text, index, length)


def find_names(data: bytes, tokens: Tokens, align: int) -> Names | None:
    """The names that lie before the token table, with their number and markers.

    Between markers and tokens can be other data (the order of names, in stable 6.1 and 6.2/6.3).
    """
    words = np.frombuffer(data[: tokens.start // 4 * 4], "<u4").astype(np.int64)
    step = np.diff(words)
    fits = (step >= GROUP) & (step < GROUP * LONGEST)
    # At least three markers: no kernel has less than 513 symbols
    place = np.flatnonzero((words[:-2] == 0) & fits[:-1] & fits[1:])
    place = place[place * 4 % align == 0]
    for marker in place[::-1][:_MOST_TRIED].tolist():
        stop = np.flatnonzero(~fits[marker:])
        groups = 1 + (int(stop[0]) if len(stop) else len(fits) - marker)
        for names in _before(data, words, marker, groups, align):
            return names
    return None


def _before(
    data: bytes, words: NDArray[np.int64], marker: int, groups: int, align: int
) -> Iterator[Names]:
    """Names that end at the markers, of which there are up to ``groups``."""
    step = align // 4
    count_at = np.arange(0, marker, step)
    number = words[count_at]
    # What follows the markers can look like a few more of them.
    wanted = -(-number // GROUP)
    count_at = count_at[(wanted >= 2) & (wanted <= groups) & (wanted >= groups - _MOST_TRIED)]
    for at in count_at[::-1].tolist():
        count = int(words[at])
        start = 4 * at + align
        markers = words[marker : marker - (-count // GROUP)]
        if start + int(markers[-1]) >= 4 * marker or count > _MOST_NAMES:
            continue
        walked = _walk(data, start, 4 * marker, markers, count)
        if walked is not None:
            yield Names(4 * at, start, 4 * marker, *walked)


def _walk(
    data: bytes, start: int, end: int, markers: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Where each name is, if every group of them ends where the next begins.

    All groups are walked at once, name by name.
    """
    text = np.frombuffer(data[start:end], np.uint8)
    groups = len(markers)
    first = np.zeros((groups, GROUP), np.int64)
    codes = np.zeros((groups, GROUP), np.int64)
    at = markers.copy()
    rest = count - GROUP * (groups - 1)  # names of the last group
    stopped = len(text)
    for name in range(GROUP):
        if name == rest:
            stopped = int(at[-1])
            at = at[:-1]
        live = len(at)
        if not live:
            break
        if int(at.max()) + 2 > len(text):
            return None
        length = text[at].astype(np.int64)
        big = length >= 128
        length = np.where(big, length & 127 | text[at + 1].astype(np.int64) << 7, length)
        first[:live, name] = at + 1 + big
        codes[:live, name] = length
        at = at + 1 + big + length
        if int(length.min()) == 0 or int(at.max()) > len(text):
            return None
    if rest == GROUP:
        stopped = int(at[-1])
        at = at[:-1]
    if (at != markers[1 : 1 + len(at)]).any() or not 0 <= len(text) - stopped < 8:
        return None
    return first.reshape(-1)[:count] + start, codes.reshape(-1)[:count]


def decode(data: bytes, tokens: Tokens, names: Names) -> tuple[str, list[str]] | None:
    """The types (the first letter of each expanded name) and the names without them.

    None where they would need more room than a hundred times their own.
    """
    every = np.frombuffer(data, np.uint8)
    total = int(names.codes.sum())
    before = np.cumsum(names.codes) - names.codes
    places = np.arange(total) + np.repeat(names.first - before, names.codes)
    codes = every[places]
    lengths = tokens.length[codes]
    room = int(lengths.sum())
    if room > 100 * total:
        return None
    skipped = np.cumsum(lengths) - lengths
    text = tokens.text[np.arange(room) + np.repeat(tokens.offset[codes] - skipped, lengths)]
    # Where each name ends: the text of all codes up to its last one
    last = np.append(skipped, room)[np.cumsum(names.codes)]
    letters = text.tobytes().decode("latin-1")
    ends = last.tolist()
    starts = [0, *ends[:-1]]
    if any(end <= start for start, end in zip(starts, ends, strict=True)):
        return None
    types = "".join(letters[start] for start in starts)
    return types, [letters[a + 1 : b] for a, b in zip(starts, ends, strict=True)]
