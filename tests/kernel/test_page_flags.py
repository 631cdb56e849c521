"""Which order the flags of a page have, and what types pages say they are of."""

import numpy as np

from ttbr.kernel.page_flags import flag_bits, page_types


def test_the_order_that_vmcoreinfo_fits():
    old = flag_bits({"PG_lru": 4, "PG_private": 13, "PG_swapbacked": 19, "PG_hwpoison": 22}, {})
    assert (old["slab"], old["head"], old["hwpoison"]) == (9, 16, 22)
    new = flag_bits({"PG_lru": 5, "PG_private": 14, "PG_swapbacked": 17}, {})
    assert (new["head"], new["writeback"]) == (6, 1)
    assert "slab" not in new


def test_no_order_fits():
    assert flag_bits({"PG_lru": 9, "PG_private": 14, "PG_swapbacked": 17}, {}) == {}
    assert flag_bits({}, {}) == {}


def test_types_go_first():
    assert flag_bits({"PG_lru": 4}, {"PG_lru": 7, "__NR_PAGEFLAGS": 24}) == {"lru": 7}


def test_page_types():
    old = np.array([-1, 0, -129, -257, -513], np.int32)
    assert page_types(old, -129).tolist() == ["", "", "buddy", "offline", "table"]
    assert page_types(old, (-129) % (1 << 64)).tolist() == ["", "", "buddy", "offline", "table"]
    new = np.array([-1, 5, -(0x10 << 24), -(0x0B << 24)], np.int32)
    assert page_types(new, -268435456).tolist() == ["", "", "buddy", "slab"]
    assert page_types(old, None).tolist() == [""] * 5
