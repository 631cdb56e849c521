"""When no memory is left: Linux's own report, with the zones as they are.

Source: mm/page_alloc.c: warn_alloc, __alloc_pages_may_oom; mm/oom_kill.c: dump_header;
mm/show_mem.c (6.1: mm/page_alloc.c, lib/show_mem.c): __show_mem, show_free_areas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.free_area import CMA, MIGRATE_TYPES
from ttbr.boot.zones import HIGHMEM, NORMAL
from ttbr.errors import TtbrError
from ttbr.run.alloc_flags import WMARK_HIGH, WMARK_LOW, WMARK_MIN
from ttbr.run.gfp import Gfp, gfp_words, gfp_zone

if TYPE_CHECKING:
    from ttbr.run.page_alloc import PageAllocator
    from ttbr.run.zone import RunZone

COSTLY_ORDER = 3
"""PAGE_ALLOC_COSTLY_ORDER: no process is killed for a larger block."""
TYPE_LETTERS = "UMEHCI"
_FAILS_FIRST = Gfp.NORETRY | Gfp.RETRY_MAYFAIL | Gfp.THISNODE


class OutOfMemory(TtbrError):
    """No zone has what was asked for. The model's state is as it was before.

    ``order``, ``gfp``: of the allocation. ``kills``: whether Linux would now kill a process; if
    not, the allocation fails and its caller has to do without. ``mem_info``: what the kernel prints
    about memory then, line by line.
    """

    def __init__(self, order: int, gfp: int, *, kills: bool, mem_info: list[str]) -> None:
        self.order, self.gfp, self.kills, self.mem_info = order, gfp, kills, mem_info
        super().__init__(
            f"out of memory: page allocation failure: order:{order}, mode:{gfp_words(gfp)}"
        )

    @classmethod
    def of(cls, pages: PageAllocator, order: int, gfp: int, node: int | None) -> OutOfMemory:
        """The failure of an allocation, with the zones as they are now."""
        zones = pages.zonelists.zones(gfp, node)
        lowmem = gfp_zone(gfp, pages.zone_names) < pages.zone_names.index(NORMAL)
        kills = (
            bool(gfp & Gfp.DIRECT_RECLAIM)
            and not gfp & _FAILS_FIRST
            and order <= COSTLY_ORDER
            and not lowmem
        )
        return cls(order, gfp, kills=kills, mem_info=mem_info(pages, zones))

    def lines(self, comm: str, oom_score_adj: int = 0) -> list[str]:
        """The kernel's report, without its stack: ``comm`` is the name of who asked."""
        if self.kills:
            head = (
                f"{comm} invoked oom-killer: gfp_mask={gfp_words(self.gfp)}, order={self.order}, "
                f"oom_score_adj={oom_score_adj}"
            )
        elif self.gfp & Gfp.NOWARN:
            return []
        else:
            head = (
                f"{comm}: page allocation failure: order:{self.order}, "
                f"mode:{gfp_words(self.gfp)}, nodemask=(null)"
            )
        return [head, *self.mem_info]


def mem_info(pages: PageAllocator, zones: tuple[RunZone, ...]) -> list[str]:
    """``__show_mem``: what the model knows of the lines about zones that may be used."""
    shown = [zone for zone in pages.zones if zone in zones]
    kib = pages.page_size >> 10
    lines = ["Mem-Info:"]
    lines.append(
        f" free:{pages.free} free_pcp:0 free_cma:{sum(z.area.pages[CMA] for z in pages.zones)}"
    )
    for zone in shown:
        figures = {
            "free": zone.free,
            "boost": 0,
            "min": zone.marks[WMARK_MIN],
            "low": zone.marks[WMARK_LOW],
            "high": zone.marks[WMARK_HIGH],
            "reserved_highatomic": zone.highatomic,
            "present": zone.present,
            "managed": zone.managed,
            "free_pcp": 0,
            "free_cma": zone.area.pages[CMA],
        }
        words = [
            f"{name}:{value * kib}{'KB' if name == 'reserved_highatomic' else 'kB'}"
            for name, value in figures.items()
        ]
        lines.append(f"{_place(pages, zone)}{zone.name} {' '.join(words)}")
        lines.append("lowmem_reserve[]:" + "".join(f" {pages}" for pages in zone.reserve))
    for zone in shown:
        lines.append(f"{_place(pages, zone)}{zone.name}: {_buddy_line(zone, kib)}")
    present = sum(zone.present for zone in pages.zones)
    managed = sum(zone.managed for zone in pages.zones)
    highmem = sum(zone.present for zone in pages.zones if zone.name == HIGHMEM)
    lines += [
        f"{present} pages RAM",
        f"{highmem} pages HighMem/MovableOnly",
        f"{present - managed} pages reserved",
    ]
    if pages.machine.kernel.config.enabled("CMA"):
        lines.append(f"{sum(zone.cma for zone in pages.zones)} pages cma reserved")
    return lines


def _place(pages: PageAllocator, zone: RunZone) -> str:
    """``show_node``: said where there could be more than one."""
    return f"Node {zone.node} " if pages.machine.kernel.config.enabled("NUMA") else ""


def _buddy_line(zone: RunZone, kib: int) -> str:
    """Blocks of each order, with the types that have some, and their sum."""
    words, total = [], 0
    for order in range(zone.rules.max_order + 1):
        counts = [zone.area.blocks(order, kind) for kind in range(len(MIGRATE_TYPES))]
        types = "".join(letter for letter, count in zip(TYPE_LETTERS, counts, strict=True) if count)
        blocks = sum(counts)
        total += blocks << order
        words.append(f"{blocks}*{kib << order}kB" + (f" ({types})" if blocks else ""))
    return f"{' '.join(words)} = {total * kib}kB"
