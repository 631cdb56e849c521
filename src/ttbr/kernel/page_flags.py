"""The bits of ``page->flags`` and the types in ``page->_mapcount`` (include/linux/page-flags.h).

The order of the bits changed between releases; which of the orders a kernel has shows in the few
bits that vmcoreinfo names. Bits behind the last of an order depend on the configuration.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

ORDERS = (
    # 5.4 to 6.9
    (
        *("locked", "referenced", "uptodate", "dirty", "lru", "active", "workingset", "waiters"),
        *("error", "slab", "owner_priv_1", "arch_1", "reserved", "private", "private_2"),
        *("writeback", "head", "mappedtodisk", "reclaim", "swapbacked", "unevictable", "mlocked"),
    ),
    # 6.12
    (
        *("locked", "writeback", "referenced", "uptodate", "dirty", "lru", "head", "waiters"),
        *("active", "workingset", "owner_priv_1", "owner_2", "arch_1", "reserved", "private"),
        *("private_2", "reclaim", "swapbacked", "unevictable", "mlocked"),
    ),
)
_NOTED = ("lru", "private", "swapbacked")  # NUMBER(PG_…) of vmcoreinfo
# Types since 6.12 (the highest byte) and before (the bit that is clear, of those from 31 to 28 set)
_TYPES = {0xF0: "buddy", 0xF1: "offline", 0xF2: "table", 0xF3: "guard", 0xF4: "hugetlb"}
_TYPES |= {0xF5: "slab", 0xF6: "zsmalloc", 0xF7: "unaccepted"}
_OLD_TYPES = {0x80: "buddy", 0x100: "offline", 0x200: "table", 0x400: "guard"}
_OLD_BUDDY, _BASE = -129, 0xF0000000


def flag_bits(numbers: Mapping[str, int], constants: Mapping[str, int]) -> dict[str, int]:
    """The number of each flag's bit by name; empty where the order is not known.

    ``numbers``: NUMBER(name) of vmcoreinfo. ``constants``: the enumeration ``pageflags``, if types
    are known; it goes first.
    """
    if constants:
        named = {name.removeprefix("PG_"): bit for name, bit in constants.items()}
        known = set().union(*ORDERS) | {"hwpoison", "young", "idle", "arch_2", "arch_3"}
        return {name: bit for name, bit in named.items() if name in known}
    for order in ORDERS:
        found = {name: bit for bit, name in enumerate(order)}
        noted = {name: numbers.get(f"PG_{name}") for name in _NOTED}
        if all(found[name] == bit for name, bit in noted.items()):
            if "PG_hwpoison" in numbers:
                found["hwpoison"] = numbers["PG_hwpoison"]
            return found
    return {}


def page_types(mapcount: NDArray[np.int32], buddy: int | None) -> NDArray[np.object_]:
    """The type of each page whose ``_mapcount`` says one, "" for others.

    ``buddy``: PAGE_BUDDY_MAPCOUNT_VALUE of vmcoreinfo, which tells the old form from the new; None
    where it is not known: then no page has a type.
    """
    value = mapcount.astype(np.int64) & 0xFFFFFFFF
    found = np.full(len(mapcount), "", object)
    if buddy is None:
        return found
    signed = (buddy + (1 << 31)) % (1 << 32) - (1 << 31)
    if signed == _OLD_BUDDY:
        for bit, name in _OLD_TYPES.items():
            found[(value & (_BASE | bit)) == _BASE] = name
    else:
        for top, name in _TYPES.items():
            found[value >> 24 == top] = name
    return found
