"""Strings out of an image, made safe to show: an image's author chose them, not its owner."""

import re

_ODD = re.compile(r"[^\x20-\x7e]|\\")


def shown(text: str) -> str:
    """The text with all that is no printable ASCII as an escape; backslashes are doubled.

    Nothing in it can move a cursor, change a colour, break a line or reverse the direction of
    text. Bytes that were no UTF-8 (surrogates) come out as ``\\xNN``.
    """
    return _ODD.sub(_escaped, text)


def visible(text: str, kept: str = "") -> str:
    """The text with what does not print (controls, bidirectional marks) as an escape.

    Unlike `shown` it leaves letters of all languages and backslashes as they are: for whole lines
    that hold names beside words of ours. ``kept``: characters that may pass all the same.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else _ODD.sub(_escaped, char) for char in text
    )


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return "\\\\"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that surrogateescape kept
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
