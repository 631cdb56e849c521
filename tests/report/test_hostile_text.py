"""What an image's author writes into names cannot act on a terminal or in a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.report.hostile import shown


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("swapper/0", "swapper/0"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("two\nlines\r", "two\\x0alines\\x0d"),
        ("back\\slash", "back\\\\slash"),
        ("right\u202eleft", "right\\u202eleft"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\\xff\\xfe"),
        ("\U0001f600", "\\U0001f600"),
    ],
)
def test_shown(text, wanted):
    assert shown(text) == wanted


@given(st.text())
def test_only_printable_ascii_is_left(text):
    assert all(" " <= letter <= "~" for letter in shown(text))
