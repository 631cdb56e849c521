"""Spellings of values on the command line: numbers, sizes, ranges."""

from typing import Any

import click

from ttbr.format import number


class NumberType(click.ParamType[int]):
    """A number: hexadecimal with 0x, decimal, or with a binary suffix."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if isinstance(value, int):
            return value
        try:
            return number(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class BaseSizeType(click.ParamType[tuple[int | None, int]]):
    """``BASE:SIZE``, or ``SIZE@BASE`` as the kernel's command line has it, or ``SIZE`` alone."""

    name = "base:size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, int]:
        """(base, size) in bytes; the base is None where it is left out."""
        if isinstance(value, tuple):
            return value
        base, size = "", value
        if "@" in value:
            size, base = value.split("@", 1)
        elif ":" in value:
            base, size = value.split(":", 1)
        try:
            pair = (number(base) if size != value else None, number(size))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if pair[1] == 0:
            self.fail(f"{value!r} has size 0", param, ctx)
        return pair


class RangeType(click.ParamType[tuple[int, int]]):
    """``A-B``: addresses from A up to, but not including, B. Either may be left out."""

    name = "a-b"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """(first address, address behind the last)."""
        if isinstance(value, tuple):
            return value
        first, dash, last = value.partition("-")
        if not dash:
            self.fail(f"{value!r} is not a range: write A-B, such as 0xffff0000-", param, ctx)
        try:
            start = number(first) if first else 0
            end = number(last) if last else 1 << 64
        except ValueError as error:
            self.fail(str(error), param, ctx)
        # The kernel's own listings end the last range at 0.
        end = end or 1 << 64
        if end <= start:
            self.fail(f"{value!r} is empty: the end is not above the start", param, ctx)
        return start, end


NUMBER = NumberType()
INITRD = SIZE_BASE = BaseSizeType()
RANGE = RangeType()
