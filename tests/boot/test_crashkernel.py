"""``crashkernel=``: what the text of a command line asks for."""

from __future__ import annotations

import pytest

from ttbr.boot.crashkernel import (
    BadCrashkernel,
    Suffix,
    parse_crashkernel,
    parse_crashkernel_suffix,
)

M = 1 << 20
RAM = 600 * M


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("quiet", None),
        ("crashkernel=64M", (64 * M, 0)),
        ("crashkernel=64M@0x48000000 quiet", (64 * M, 0x4800_0000)),
        ("crashkernel=10M crashkernel=20M", (20 * M, 0)),
        # The text is searched, not the arguments; and those with a suffix are others.
        ("other_crashkernel=24M", (24 * M, 0)),
        ("crashkernel=64M crashkernel=128M,high", (64 * M, 0)),
        ("crashkernel=128M,low", None),
        # Ranges count RAM in units of 128 MiB, here 640.
        ("crashkernel=100M-630M:32M,630M-:48M@0x4c000000", (48 * M, 0x4C00_0000)),
        ("crashkernel=100M-641M:32M,500M-:48M", (32 * M, 0)),
        ("crashkernel=1G-:32M", (0, 0)),
        ("crashkernel=0-:0@16M", (0, 0)),
    ],
)
def test_what_is_asked_for(line: str, asked: tuple[int, int] | None) -> None:
    assert parse_crashkernel(line, RAM) == asked


@pytest.mark.parametrize(
    "line",
    [
        "crashkernel=",
        "crashkernel=x",
        "crashkernel=32Mx",
        "crashkernel=100M:32M",
        "crashkernel=100M-50M:32M",
        "crashkernel=100M-200M",
        "crashkernel=100M-200M:",
        "crashkernel=0-:1G",
        "crashkernel=0-:16M@",
    ],
)
def test_what_the_kernel_refuses(line: str) -> None:
    with pytest.raises(BadCrashkernel):
        parse_crashkernel(line, RAM)


def test_suffixes() -> None:
    line = "crashkernel=1M crashkernel=256M,high crashkernel=64M,low"
    assert parse_crashkernel_suffix(line, Suffix.HIGH) == 256 * M
    assert parse_crashkernel_suffix(line, Suffix.LOW) == 64 * M
    assert parse_crashkernel_suffix("crashkernel=1M", Suffix.HIGH) is None
    with pytest.raises(BadCrashkernel):
        parse_crashkernel_suffix("crashkernel=1M@5,high", Suffix.HIGH)
