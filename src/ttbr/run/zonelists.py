"""Which zones an allocation tries, in which order, and what it may do in each.

Source: mm/page_alloc.c: build_zonelists, __alloc_pages, __alloc_pages_slowpath,
get_page_from_freelist, alloc_flags_nofragment, __alloc_pages_may_oom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ttbr.boot.possible_cpus import possible_cpus
from ttbr.boot.zonelists import fallback_orders
from ttbr.boot.zones import DMA32, NORMAL
from ttbr.errors import InputError
from ttbr.run import highatomic
from ttbr.run.alloc_flags import (
    MIN_RESERVE,
    NO_WATERMARKS,
    NOFRAGMENT,
    WMARK_HIGH,
    WMARK_LOW,
    cma_flag,
    ignores_watermarks,
    slow_flags,
)
from ttbr.run.gfp import Gfp, gfp_zone
from ttbr.run.zone import RunZone

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

_THISNODE = int(Gfp.THISNODE)
_DIRECT_RECLAIM, _NOFAIL = int(Gfp.DIRECT_RECLAIM), int(Gfp.NOFAIL)


class Zonelists:
    """The zones of a machine as allocations go through them."""

    def __init__(self, machine: Machine, zones: Sequence[RunZone], names: Sequence[str]) -> None:
        """`names`: of the kernel's zones, in its order."""
        self._zones, self._names = zones, names
        self._home = possible_cpus(machine)[0].node
        self._orders = fallback_orders(machine)
        self._known: dict[tuple[int, int, bool], tuple[RunZone, ...]] = {}
        self._spreads = machine.kernel.config.enabled("ZONE_DMA32")

    def zones(self, gfp: int, node: int | None) -> tuple[RunZone, ...]:
        """The zones that an allocation may use, the best one first.

        Nodes from the nearest on, and of each the zones from the highest on (build_zonelists).
        """
        home = self._home if node is None else node
        alone = bool(gfp & _THISNODE)
        key = home, gfp_zone(gfp, self._names), alone
        if key not in self._known:
            if home not in self._orders:
                raise InputError(f"there is no node {home}")
            nodes = [home] if alone else self._orders[home]
            self._known[key] = tuple(
                zone
                for number in nodes
                for zone in reversed(self._zones)
                if zone.node == number and zone.index <= key[1] and zone.present
            )
        return self._known[key]

    def attempts(
        self, order: int, gfp: int, kind: int, node: int | None
    ) -> Iterator[tuple[RunZone, int]]:
        """Zones in the order in which an allocation tries them, and what it may do there.

        That is get_page_from_freelist() as __alloc_pages() and its slow path call it; each time
        with the zones once more, as long as none has had anything.
        """
        zones = self.zones(gfp, node)
        cma = cma_flag(kind)
        yield from self._scan(zones, WMARK_LOW | cma | self._nofragment(zones))
        slow = slow_flags(gfp, order) | cma
        yield from self._scan(zones, slow)
        if ignores_watermarks(gfp):
            yield from self._scan(zones, NO_WATERMARKS | cma)
        if gfp & _DIRECT_RECLAIM:
            if highatomic.unreserve(zones, kind):
                yield from self._scan(zones, slow)
            yield from self._scan(zones, WMARK_HIGH)
            if gfp & _NOFAIL:
                yield from self._scan(zones, MIN_RESERVE)
                yield from self._scan(zones, NO_WATERMARKS)

    def _scan(self, zones: tuple[RunZone, ...], flags: int) -> Iterator[tuple[RunZone, int]]:
        """``get_page_from_freelist``: types may mix on another node, or if nothing else is left."""
        for zone in zones:
            if flags & NOFRAGMENT and zone.node != zones[0].node:
                break
            yield zone, flags
        else:
            if not flags & NOFRAGMENT:
                return
        for zone in zones:
            yield zone, flags & ~NOFRAGMENT

    def _nofragment(self, zones: tuple[RunZone, ...]) -> int:
        """``alloc_flags_nofragment``: avoid mixing types if Normal is best and DMA32 is there."""
        if not self._spreads or not zones or zones[0].name != NORMAL:
            return 0
        if len(self._orders) > 1:
            below = [z for z in self._zones if z.node == zones[0].node and z.name == DMA32]
            if not below[0].present:
                return 0
        return NOFRAGMENT
