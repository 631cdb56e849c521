"""Symbol tables of every layout, in memory among other things; and damaged ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kallsyms_file import Form, kallsyms

from ttbr.memory.banked import BankedMemory, Piece
from ttbr.recover.kallsyms import find_tables

FORMS = [
    Form(word, new, addresses, seqs)
    for word in (4, 8)
    for new in (False, True)
    for addresses in ("offsets", "percpu", "pointers")
    for seqs in (False, True)
    if seqs or not new
]
BASE = {4: 0xC0008000, 8: 0xFFFF800080000000}
PA = 0x40000000


def memory(data, before=0x3000):
    content = np.frombuffer(bytes([0xA5]) * before + data + bytes(0x2000), np.uint8)
    return BankedMemory([Piece(PA, len(content), content)])


def symbols(count, word, percpu=False):
    base = BASE[word]
    own = [(base + 16 * row, "tTdDbB"[row % 6], f"fn_{row:05d}_get_tty") for row in range(count)]
    own[3] = (own[3][0], "T", "long_" + "n" * 300)
    own[4] = (own[4][0], "t", "x" * 5000)
    if percpu:
        own = [(64 * row, "A", f"percpu_{row}") for row in range(5)] + own
    return own


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("count", [513, 1024, 1025])
def test_every_layout(form, count):
    wanted = symbols(count, form.word, form.addresses == "percpu")
    data = kallsyms(wanted, BASE[form.word], form)
    (found,) = find_tables(memory(data), form.word)
    assert list(zip(found.address.tolist(), found.types, found.names, strict=True)) == wanted
    assert form.addresses.replace("percpu", "per-CPU") in found.layout


@settings(max_examples=60)
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=64), st.sampled_from(FORMS))
def test_damaged_tables_are_left_out_or_read(at, junk, form):
    data = bytearray(kallsyms(symbols(600, form.word), BASE[form.word], form))
    place = at * len(data) // 2000
    data[place : place + len(junk)] = junk[: len(data) - place]
    for found in find_tables(memory(bytes(data)), form.word):
        assert len(found.names) == len(found.address) == len(found.types)


def test_digits_alone_are_no_table():
    data = b"".join(bytes((c, 0)) for c in b"0123456789") * 300 + bytes(4096)
    assert list(find_tables(memory(data), 8)) == []
