"""The two forms of each loop, and a plain one: three answers, one truth."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ttbr.memory.words import Words
from ttbr.mmu import kernels
from ttbr.mmu.kernels import Found, Kernels

thorough = settings(max_examples=200, deadline=None)

compiled = kernels.compiled()
needs_numba = pytest.mark.skipif(compiled is None, reason="numba is not installed")
FORMS: list[Kernels] = [kernels.NumpyKernels(), *([compiled] if compiled else [])]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Words, int, NDArray[np.bool_]]:
    """Tables anywhere in an array of runs and noise, in any order, some of them twice."""
    width = draw(st.sampled_from([np.uint64, np.uint32]))
    most = int(np.iinfo(width).max)
    step = draw(st.sampled_from([1, 0x1000, 0x100000, 1 << 30]))
    count = draw(st.sampled_from([1, 2, 4, 16, 512]))
    flat = np.zeros(4 * count + draw(st.integers(0, 3)), width)
    for _ in range(draw(st.integers(0, 6))):
        at, length = draw(st.integers(0, len(flat) - 1)), draw(st.integers(1, 3 * count))
        first = draw(st.one_of(st.integers(0, most), st.sampled_from([0, 3, most, most - 0xFFD])))
        run = (first + step * np.arange(length, dtype=object)) % (most + 1)
        flat[at : at + length] = run[: len(flat) - at].astype(width)
    start = draw(st.lists(st.integers(0, len(flat) - count), max_size=8))
    wanted = np.array(draw(st.tuples(*(st.booleans(),) * 4)))
    return Words(flat, np.array(start, np.int64), count), step, wanted


def plain_runs(
    words: Words, step: int, wanted: NDArray[np.bool_]
) -> list[tuple[int, int, int, int]]:
    found = []
    for row, start in enumerate(words.start.tolist()):
        table = words.flat[start : start + words.count].tolist()
        heads = [
            n for n in range(len(table)) if n == 0 or table[n] != (table[n - 1] + step) % (1 << 64)
        ]
        for head, end in zip(heads, [*heads[1:], len(table)], strict=True):
            if wanted[table[head] & 3]:
                found.append((row, head, end - head, table[head]))
    return found


def rows(parts: list[Found]) -> list[tuple[int, ...]]:
    return [
        row
        for part in parts
        for row in zip(
            *(c.tolist() for c in (part.row, part.column, part.length, part.first)), strict=True
        )
    ]


@given(tables())
@thorough
def test_scan(given_tables: tuple[Words, int, NDArray[np.bool_]]) -> None:
    words, step, wanted = given_tables
    want = plain_runs(words, step, wanted)
    for form in FORMS:
        assert rows(list(form.scan(words, step, wanted))) == want


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
def test_more_runs_than_are_handed_over_at_once(form: Kernels) -> None:
    noise = np.random.default_rng(1).integers(0, 1 << 64, 6 * kernels.MOST_RUNS, np.uint64)
    words = Words.of(noise.reshape(-1, 512))
    parts = list(form.scan(words, 0x1000, np.array([False, True, False, True])))
    assert len(parts) > 1
    assert max(len(part.row) for part in parts) <= kernels.MOST_RUNS + kernels.BLOCK
    chosen = np.flatnonzero(noise & 1)
    assert np.concatenate([part.first for part in parts]).tolist() == noise[chosen].tolist()
    place = [part.row * 512 + part.column for part in parts]
    assert np.concatenate(place).tolist() == chosen.tolist()


@given(
    st.lists(st.integers(0, 200), max_size=20, unique=True),
    st.lists(st.integers(0, 210), max_size=30),
    st.sampled_from([0, (1 << 64) - 211]),
)
@thorough
def test_locate(edges: list[int], addresses: list[int], base: int) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    first, last = edges[::2], edges[1::2]
    want = [
        next((n for n, (a, b) in enumerate(zip(first, last, strict=True)) if a <= address <= b), -1)
        for address in addresses
    ]
    columns = [np.array(c, np.uint64) + np.uint64(base) for c in (first, last, addresses)]
    for form in FORMS:
        assert form.locate(*columns).tolist() == want


@needs_numba
def test_words_that_cannot_be_written_are_scanned() -> None:
    """As those of a file that is memory-mapped."""
    words = Words.of(np.arange(1024, dtype=np.uint64).reshape(2, 512))
    words.flat.flags.writeable = False
    every = np.ones(4, np.bool_)
    assert compiled is not None
    assert rows(list(compiled.scan(words, 1, every))) == [(0, 0, 512, 0), (1, 0, 512, 512)]


@needs_numba
def test_compiled_from_the_moment_on_that_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TTBR_KERNELS", raising=False)
    monkeypatch.setattr(kernels, "_seen", 0)
    assert kernels._chosen(kernels.PAYS_FROM - 1) is kernels._numpy
    assert kernels._chosen(1) is not kernels._numpy
    monkeypatch.setenv("TTBR_KERNELS", "numpy")
    assert kernels._chosen(1) is kernels._numpy


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTBR_KERNELS", "numba")
    monkeypatch.setattr(kernels, "compiled", lambda: None)
    assert kernels._chosen(1) is kernels._numpy


def test_a_library_that_fails_to_load_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "ttbr.mmu.compiled", None)  # the import raises
    assert kernels.compiled.__wrapped__() is None


@needs_numba
def test_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    from ttbr.mmu.compiled import _compiled

    real, asked = numba.njit, []

    def njit(*given: object, cache: bool = False, **options: object) -> Callable[..., object]:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*given, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(numba, "njit", njit)
    twice = _compiled([(numba.int64,)])(lambda n: 2 * n)
    assert (twice(21), asked) == (42, [True, False])


def test_numba_is_not_loaded_for_little() -> None:
    code = "import sys, ttbr, ttbr.mmu.kernels, ttbr.cli.main; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
