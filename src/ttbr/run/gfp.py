"""What an allocation asks for: GFP flags, and the zone and migrate type that they stand for.

Source: include/linux/gfp_types.h, include/linux/gfp.h: gfp_zone, gfp_migratetype;
include/trace/events/mmflags.h. The bits are those of 6.12; 6.1 has one more, ``__GFP_ATOMIC``,
which is only ever set together with ``__GFP_HIGH`` and says no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag


class Gfp(IntFlag):
    """The single flags, without the kernel's ``__GFP_``."""

    DMA = 0x1
    HIGHMEM = 0x2
    DMA32 = 0x4
    MOVABLE = 0x8
    RECLAIMABLE = 0x10
    HIGH = 0x20
    IO = 0x40
    FS = 0x80
    ZERO = 0x100
    DIRECT_RECLAIM = 0x400
    KSWAPD_RECLAIM = 0x800
    WRITE = 0x1000
    NOWARN = 0x2000
    RETRY_MAYFAIL = 0x4000
    NOFAIL = 0x8000
    NORETRY = 0x10000
    MEMALLOC = 0x20000
    COMP = 0x40000
    NOMEMALLOC = 0x80000
    HARDWALL = 0x100000
    THISNODE = 0x200000
    ACCOUNT = 0x400000


GFP_RECLAIM = Gfp.DIRECT_RECLAIM | Gfp.KSWAPD_RECLAIM
GFP_ATOMIC = Gfp.HIGH | Gfp.KSWAPD_RECLAIM
GFP_KERNEL = GFP_RECLAIM | Gfp.IO | Gfp.FS
GFP_KERNEL_ACCOUNT = GFP_KERNEL | Gfp.ACCOUNT
GFP_NOIO = GFP_RECLAIM
GFP_NOFS = GFP_RECLAIM | Gfp.IO
GFP_NOWAIT = Gfp.KSWAPD_RECLAIM | Gfp.NOWARN
GFP_USER = GFP_KERNEL | Gfp.HARDWALL
GFP_DMA = Gfp.DMA
GFP_DMA32 = Gfp.DMA32
GFP_HIGHUSER = GFP_USER | Gfp.HIGHMEM
GFP_HIGHUSER_MOVABLE = GFP_HIGHUSER | Gfp.MOVABLE
GFP_TRANSHUGE_LIGHT = (GFP_HIGHUSER_MOVABLE | Gfp.COMP | Gfp.NOMEMALLOC | Gfp.NOWARN) & ~GFP_RECLAIM
GFP_TRANSHUGE = GFP_TRANSHUGE_LIGHT | Gfp.DIRECT_RECLAIM
GFP_PGTABLE_KERNEL = GFP_KERNEL | Gfp.ZERO
"""asm-generic/pgalloc.h, for the kernel's own tables."""
GFP_PGTABLE_USER = GFP_PGTABLE_KERNEL | Gfp.ACCOUNT

_NAMES: tuple[tuple[str, int], ...] = (
    ("GFP_TRANSHUGE", GFP_TRANSHUGE),
    ("GFP_TRANSHUGE_LIGHT", GFP_TRANSHUGE_LIGHT),
    ("GFP_HIGHUSER_MOVABLE", GFP_HIGHUSER_MOVABLE),
    ("GFP_HIGHUSER", GFP_HIGHUSER),
    ("GFP_USER", GFP_USER),
    ("GFP_KERNEL_ACCOUNT", GFP_KERNEL_ACCOUNT),
    ("GFP_KERNEL", GFP_KERNEL),
    ("GFP_NOFS", GFP_NOFS),
    ("GFP_ATOMIC", GFP_ATOMIC),
    ("GFP_NOIO", GFP_NOIO),
    ("GFP_NOWAIT", GFP_NOWAIT),
    ("GFP_DMA", GFP_DMA),
    ("__GFP_HIGHMEM", Gfp.HIGHMEM),
    ("GFP_DMA32", GFP_DMA32),
    *(
        (f"__GFP_{name}", Gfp[name])
        for name in (
            *("HIGH", "IO", "FS", "NOWARN", "RETRY_MAYFAIL", "NOFAIL", "NORETRY", "COMP", "ZERO"),
            *("NOMEMALLOC", "MEMALLOC", "HARDWALL", "THISNODE", "RECLAIMABLE", "MOVABLE"),
            *("ACCOUNT", "WRITE"),
        )
    ),
    ("__GFP_RECLAIM", GFP_RECLAIM),
    ("__GFP_DIRECT_RECLAIM", Gfp.DIRECT_RECLAIM),
    ("__GFP_KSWAPD_RECLAIM", Gfp.KSWAPD_RECLAIM),
)
"""What the kernel calls the flags, the first that fits first (gfpflag_names)."""

_ZONE_MASK = int(Gfp.DMA | Gfp.HIGHMEM | Gfp.DMA32 | Gfp.MOVABLE)
_MOBILITY_MASK = int(Gfp.MOVABLE | Gfp.RECLAIMABLE)
_ZONES = {
    0: "Normal",
    int(Gfp.DMA): "DMA",
    int(Gfp.HIGHMEM): "HighMem",
    int(Gfp.DMA32): "DMA32",
    int(Gfp.MOVABLE): "Normal",
    int(Gfp.MOVABLE | Gfp.DMA): "DMA",
    int(Gfp.MOVABLE | Gfp.HIGHMEM): "Movable",
    int(Gfp.MOVABLE | Gfp.DMA32): "DMA32",
}
"""GFP_ZONE_TABLE; a zone that the kernel is built without is Normal. No other mix is allowed."""


def gfp_zone(gfp: int, names: Sequence[str]) -> int:
    """``gfp_zone``: the index of the highest zone that may be used, among the kernel's ``names``.

    ValueError for zone modifiers that exclude each other.
    """
    modifiers = int(gfp) & _ZONE_MASK
    if modifiers not in _ZONES:
        raise ValueError(f"GFP flags {int(gfp):#x} ask for two zones at once")
    name = _ZONES[modifiers]
    return names.index(name if name in names else "Normal")


def gfp_migratetype(gfp: int) -> int:
    """``gfp_migratetype``: 0 unmovable, 1 movable, 2 reclaimable."""
    return (int(gfp) & _MOBILITY_MASK) >> 3


def gfp_words(gfp: int) -> str:
    """The flags as the kernel prints them: the mask, and its names in brackets (``%pGg``)."""
    left, words = int(gfp), []
    for name, flags in _NAMES:
        if left & flags == flags:
            words.append(name)
            left &= ~int(flags)
    if left:
        words.append(f"{left:#x}")
    return f"{int(gfp):#x}({'|'.join(words) or 'none'})"
