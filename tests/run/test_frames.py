"""Frames that processes map, many at once, as single ones."""

import numpy as np
import pytest

from ttbr.run.frames import CHUNK, Frames, Owner

PFNS = np.array([5, CHUNK - 1, CHUNK, 3 * CHUNK + 7], np.uint64)


@pytest.fixture
def frames():
    found = Frames()
    for pfn in PFNS.tolist():
        found.allocated(pfn, 0)
    return found


def test_a_page_is_shared_and_left_again(frames):
    frames.map_new(PFNS, Owner.ANON, exclusive=True)
    assert [frames.exclusive(pfn) for pfn in PFNS.tolist()] == [True] * 4
    assert frames.owners(PFNS).tolist() == [Owner.ANON] * 4
    frames.map_again(PFNS[:2])
    assert [frames.mapcount(pfn) for pfn in PFNS.tolist()] == [2, 2, 1, 1]
    assert [frames.refcount(pfn) for pfn in PFNS.tolist()] == [2, 2, 1, 1]
    assert [frames.exclusive(pfn) for pfn in PFNS.tolist()] == [False, False, True, True]
    assert frames.unmap(PFNS).tolist() == PFNS[2:].tolist()
    assert [frames.mapcount(pfn) for pfn in PFNS.tolist()] == [1, 1, 0, 0]
    assert [frames.refcount(pfn) for pfn in PFNS.tolist()] == [1, 1, 1, 1]


def test_references_in_bulk(frames):
    frames.ref_add(5, 3)
    assert frames.refcount(5) == 4
    with pytest.raises(ValueError, match="would be free"):
        frames.ref_add(5, -4)
    with pytest.raises(ValueError, match="not allocated"):
        frames.ref_add(6, 1)


def test_a_freed_frame_is_nobodys(frames):
    frames.set_exclusive(5, True)
    frames.freed(5)
    assert not frames.exclusive(5)
    assert not frames.exclusive(99 * CHUNK)
