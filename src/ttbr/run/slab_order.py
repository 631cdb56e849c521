"""How large the slabs of a cache are: the order that wastes little and holds objects enough.

Source: mm/slub.c: calculate_order, calc_slab_order.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttbr.boot.machine import Machine
from ttbr.boot.possible_cpus import possible_cpus

COSTLY_ORDER = 3  # PAGE_ALLOC_COSTLY_ORDER
MAX_OBJECTS = 32767  # MAX_OBJS_PER_PAGE


@dataclass(frozen=True, slots=True)
class SlabOrders:
    """What slabs may be like: ``least`` and ``most`` are orders, ``objects`` as many as wanted.

    ``by_waste``: how the release weighs waste against order. ``page_size``: bytes.
    """

    page_size: int
    least: int
    most: int
    objects: int
    by_waste: bool

    @classmethod
    def of(cls, machine: Machine) -> SlabOrders:
        """Those of a machine: the number of its possible CPUs, and the command line."""
        kernel = machine.kernel
        tiny = kernel.config.enabled("SLUB_TINY")
        wanted = 4 * (len(possible_cpus(machine)).bit_length() + 1)
        return cls(
            kernel.page_size,
            least=_option(machine, "min_order", 0),
            most=_option(machine, "max_order", 1 if tiny else COSTLY_ORDER),
            objects=_option(machine, "min_objects", 0) or wanted,
            by_waste=kernel.release.has("slab_order_by_waste"),
        )

    def order(self, size: int) -> int:
        """``calculate_order``: log2 of the pages in a slab of objects of ``size`` bytes."""
        objects = min(self.objects, max((self.page_size << self.most) // size, 1))
        if self.by_waste:
            least = max(self.least, self.get_order(objects * size))
            found = self._crowded(least, size)
            if found is not None:
                return found
            for fraction in (16, 8, 4, 2):
                found = self._fitting(size, least, fraction)
                if found is not None:
                    return found
            return self.get_order(size)
        found = self._crowded(self.least, size)
        if found is not None:
            return found
        for count in range(objects, 1, -1):
            for fraction in (16, 8, 4):
                found = self._fitting(size, max(self.least, self.get_order(count * size)), fraction)
                if found is not None:
                    return found
        return max(self.least, self.get_order(size))

    def get_order(self, size: int) -> int:
        """``get_order``: the least order that holds ``size`` bytes."""
        return max(0, (size - 1).bit_length() - (self.page_size.bit_length() - 1))

    def _crowded(self, order: int, size: int) -> int | None:
        """The order for objects so small that a slab could not count them."""
        if (self.page_size << order) // size <= MAX_OBJECTS:
            return None
        return self.get_order(size * MAX_OBJECTS) - 1

    def _fitting(self, size: int, least: int, fraction: int) -> int | None:
        """``calc_slab_order``: the first order that wastes at most one part in ``fraction``."""
        for order in range(least, self.most + 1):
            slab = self.page_size << order
            if slab % size <= slab // fraction:
                return order
        return None


def _option(machine: Machine, name: str, usual: int) -> int:
    """A number from the command line: ``slub_…``, or ``slab_…`` where the release has that name."""
    names = [f"slub_{name}"]
    if machine.kernel.release.has("slab_debug_parameter"):
        names.append(f"slab_{name}")
    for each in names:
        value = machine.params.last(each) or ""
        if value.isdecimal():
            return int(value)
    return usual
