"""The command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.boot.params import Params, command_line, memparse, split_arguments
from ttbr.kernel.config import Config


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ("64M", 64 << 20, ""),
        ("64m@1g", 64 << 20, "@1g"),
        ("0x1000", 0x1000, ""),
        ("0X10k,", 0x4000, ","),
        ("010", 8, ""),
        ("089", 0, "89"),
        ("0xg", 0, "xg"),
        ("0", 0, ""),
        ("1T", 1 << 40, ""),
        ("2e", 2 << 60, ""),
        ("16E", 0, ""),
        ("M", 0, ""),
        ("", 0, ""),
        ("-1", 0, "-1"),
        ("12b", 12, "b"),
    ],
)
def test_memparse(text: str, value: int, rest: str) -> None:
    assert memparse(text) == (value, rest)


def test_a_suffix_alone_is_taken_too() -> None:
    assert memparse("K@") == (0, "@")


@given(st.integers(0, (1 << 64) - 1), st.sampled_from([hex, str, lambda n: f"0{n:o}"]))
def test_memparse_reads_every_base(number: int, spell) -> None:
    assert memparse(spell(number)) == (number, "")


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        ("  a  b=c ", [("a", None), ("b", "c")]),
        ("a=b=c", [("a", "b=c")]),
        ('a="b c" d', [("a", "b c"), ("d", None)]),
        ('"a=b c" d', [("a", "b c"), ("d", None)]),
        ('"a b" c', [("a b", None), ("c", None)]),
        ('a=b"c d"e', [("a", 'b"c d"e')]),
        ('a="b', [("a", "b")]),
        ("a= b", [("a", ""), ("b", None)]),
        ("=a b", [("=a", None), ("b", None)]),
        ("a -- b=c", [("a", None)]),
        ("a --x b", [("a", None), ("--x", None), ("b", None)]),
        ("a\tb\nc", [("a", None), ("b", None), ("c", None)]),
    ],
)
def test_cut(text: str, arguments: list[tuple[str, str | None]]) -> None:
    assert split_arguments(text) == arguments


@given(st.text(st.sampled_from(list(' "=ab-\t')), max_size=30))
def test_cutting_ends_and_loses_no_letter(text: str) -> None:
    arguments = split_arguments(text)
    kept = "".join(name + (value or "") for name, value in arguments)
    assert kept.count("b") <= text.count("b")
    if "--" not in text:
        assert kept.count("a") == text.count("a")


def test_lookup() -> None:
    params = Params("cma=16M memblock=debug x x=1 early-con=a early_con=b")
    assert params.memblock_debug
    assert params.all("x") == [None, "1"] and params.last("x") == "1"
    assert params.all("early_con") == params.all("early-con") == ["a", "b"]
    assert params.given("cma") and not params.given("cm") and params.last("cm") is None
    assert not Params("memblock").memblock_debug


@pytest.mark.parametrize(
    ("text", "cma"),
    [
        ("", None),
        ("cma", None),
        ("cma=0", (0, 0, 0)),
        ("cma=16M", (16 << 20, 0, 0)),
        ("cma=16M@0x80000000", (16 << 20, 0x80000000, 0x81000000)),
        ("cma=16M@1G-2G", (16 << 20, 1 << 30, 2 << 30)),
        ("cma=16M@1G-2G cma=8M", (8 << 20, 1 << 30, 2 << 30)),
    ],
)
def test_cma(text: str, cma: tuple[int, int, int] | None) -> None:
    assert Params(text).cma == cma


@pytest.mark.parametrize(
    ("bootargs", "options", "line"),
    [
        (None, {}, ""),
        ("a", {}, "a"),
        ("a", {"CMDLINE": "b"}, "a"),
        ("", {"CMDLINE": "b"}, "b"),
        (None, {"CMDLINE": "b", "CMDLINE_FROM_BOOTLOADER": "y"}, "b"),
        ("a", {"CMDLINE": "b", "CMDLINE_EXTEND": "y"}, "a b"),
        ("a", {"CMDLINE": "b", "CMDLINE_FORCE": "y"}, "b"),
    ],
)
def test_command_line(bootargs: str | None, options: dict[str, str], line: str) -> None:
    assert command_line(bootargs, Config(options), "arm64") == line


def test_a_long_command_line_is_cut_where_the_buffer_ends() -> None:
    assert len(command_line("x" * 5000, Config({}), "arm64")) == 2047
    assert len(command_line("x" * 5000, Config({}), "arm")) == 1023
