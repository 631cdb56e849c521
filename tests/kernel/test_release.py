"""Releases and the behaviours that they have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.kernel.release import BEHAVIOURS, Behaviour, Release

NUMBERS = st.integers(0, 300)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("6.12.117", (6, 12, 117)),
        ("6.1", (6, 1, 0)),
        ("6.1.0-50-arm64", (6, 1, 0)),
        (" 5.10.0-rc3+ ", (5, 10, 0)),
    ],
)
def test_parse(text: str, numbers: tuple[int, int, int]) -> None:
    release = Release.parse(text)
    assert (release.major, release.minor, release.sublevel) == numbers
    assert str(release) == text.strip()


@pytest.mark.parametrize("text", ["", "linux", "6", "v6.1", "x6.1.2"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InputError, match="is not a kernel release"):
        Release.parse(text)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_order_is_that_of_the_numbers(a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    assert (Release(*a, "x") < Release(*b, "y")) == (a < b)


def test_ranges() -> None:
    row = Behaviour("meaning", "source", since=(6, 5), until=(6, 9), stable={(6, 1): 30})
    assert [row.holds(Release(6, minor, 0)) for minor in (1, 4, 5, 8, 9)] == [
        *(False, False, True, True, False)
    ]
    assert not row.holds(Release(6, 1, 29))
    assert row.holds(Release(6, 1, 30))


def test_the_table_is_complete() -> None:
    for name, row in BEHAVIOURS.items():
        assert name.isidentifier() and row.meaning and row.source, name
        assert row.since or row.until or row.stable, f"{name}: holds in every release"


def test_unknown_behaviours_are_no_silent_no() -> None:
    with pytest.raises(KeyError):
        Release(6, 1, 0).has("no_such_thing")


def test_what_has_not_been_read_is_said() -> None:
    assert Release.parse("6.12.3").assumption is None
    assert "6.6.9" in (Release.parse("6.6.9").assumption or "")
