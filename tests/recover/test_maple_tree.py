"""Maple trees written by hand, and trees that lead nowhere or back to themselves."""

import struct

import numpy as np
import pytest
from linear_memory import VA, Linear

from ttbr.recover.maple_tree import ARANGE_64, LEAF_64, looks_like_root, read_trees
from ttbr.recover.virtual_memory import NotMapped

SIZE = 0x4000
SLOTS = {8: {LEAF_64: 16, ARANGE_64: 10}, 4: {LEAF_64: 32, ARANGE_64: 21}}


def write(content, word, at, values):
    form = "<" + ("Q" if word == 8 else "I") * len(values)
    struct.pack_into(form, content, at, *values)


def node(content, word, at, kind, pivots, slots):
    count = SLOTS[word][kind]
    write(content, word, at, [0, *pivots])
    write(content, word, at + count * word, slots)


def pointer(word, at, kind, root=False):
    return VA[word] + at | kind << 3 | 4 | (2 if root else 0)


@pytest.mark.parametrize("word", [4, 8])
def test_two_levels(word):
    content = bytearray(SIZE)
    most = (1 << 8 * word) - 1
    leaves = [pointer(word, 0x100, LEAF_64), pointer(word, 0x200, LEAF_64)]
    node(content, word, 0, ARANGE_64, [0x5FFF], leaves)
    # a gap, an area, a gap, an area; then an area and nothing behind it
    node(content, word, 0x100, LEAF_64, [0xFFF, 0x1FFF, 0x4FFF, 0x5FFF], [0, 0x1000, 0, 0x2000])
    node(content, word, 0x200, LEAF_64, [0x6FFF, most], [0x3000, 0])
    root = np.array([pointer(word, 0, ARANGE_64, root=True)], np.uint64)
    found = read_trees(Linear(word, content), root)
    assert found.damaged == 0
    assert found.first.tolist() == [0x1000, 0x5000, 0x6000]
    assert found.last.tolist() == [0x1FFF, 0x5FFF, 0x6FFF]
    assert found.value.tolist() == [0x1000, 0x2000, 0x3000]


@pytest.mark.parametrize("word", [4, 8])
def test_a_tree_that_contains_itself_ends(word):
    content = bytearray(SIZE)
    again = pointer(word, 0, ARANGE_64)
    node(content, word, 0, ARANGE_64, [0xFFF, 0x1FFF], [again, again, pointer(word, 0x100, 7)])
    root = np.array([pointer(word, 0, ARANGE_64, root=True)], np.uint64)
    found = read_trees(Linear(word, content), root)
    assert len(found.value) == 0
    assert found.damaged > 0


def test_what_is_no_root():
    words = np.array([0, 6, 0xFFFF00000000101E, 0xFFFF00000000101C], np.uint64)
    assert looks_like_root(words).tolist() == [False, False, True, False]
    assert len(read_trees(Linear(8, bytes(SIZE)), words[:1]).value) == 0


def test_reading_what_is_not_mapped():
    memory = Linear(8, bytes(SIZE))
    end = VA[8] + SIZE
    assert memory.read(end - 8, 8) == bytes(8)
    assert memory.number(end) is None
    assert memory.number((1 << 64) - 1) is None
    assert memory.text(end - 1) == ""
    words, present = memory.words(np.array([VA[8], end - 4, 0], np.uint64), 1, 8)
    assert present.tolist() == [True, False, False]
    assert not words.any()
    with pytest.raises(NotMapped, match=hex(end)):
        memory.read(end - 8, 9)
