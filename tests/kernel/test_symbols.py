"""System.map files."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.kernel.symbols import AmbiguousSymbol, Symbols

TEXT = """ffff800008000000 T _text
ffff800008010000 T _stext
ffff800008020000 t helper
ffff800008030000 t helper
ffff800008040000 d __pi_ptes.1
ffff800008050000 B _end
"""


def test_lookup() -> None:
    symbols = Symbols.from_text(TEXT)
    assert symbols["_text"] == 0xFFFF800008000000
    assert symbols.lookup_all("helper") == (0xFFFF800008020000, 0xFFFF800008030000)
    assert symbols.lookup_all("none") == () and "none" not in symbols
    with pytest.raises(AmbiguousSymbol, match="2 symbols 'helper'"):
        symbols["helper"]
    assert symbols.local("__pi_ptes") == (0xFFFF800008040000,)
    assert list(symbols.matching(["_.*text"])) == ["_stext", "_text"]


def test_packed(tmp_path: Path) -> None:
    path = tmp_path / "System.map"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert Symbols.from_file(path)["_end"] == 0xFFFF800008050000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("ffff800008000000 T _text\nhello\n", "line 2 is 'hello'"),
        ("ffff800008000000 _text\n", "line 1"),
        ("zz T _text\n", "line 1"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "System.map"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        Symbols.from_file(path)
    assert str(path) in str(error.value)


NAMES = st.from_regex(r"[A-Za-z_$.][A-Za-z0-9_$.]{0,12}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, st.integers(0, (1 << 64) - 1)), min_size=1))
def test_every_line_is_found(pairs: list[tuple[str, int]]) -> None:
    symbols = Symbols.from_text("".join(f"{at:016x} t {name}\n" for name, at in pairs))
    assert set(symbols) == {name for name, _ in pairs}
    for name, at in pairs:
        assert at in symbols.lookup_all(name)
