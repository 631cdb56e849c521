"""User tables made by hand, in the format of the kernel that runs."""

from ttbr.run.cpu.asids import MmContext

LONG = {"arm64": 0x703, "arm": 0x71F}
"""A valid, accessed, shareable page of normal memory; kernel only, writable, global."""
LONG_NG, LONG_USER, LONG_RO = 1 << 11, 1 << 6, 1 << 7
DBM, CONTIGUOUS, PXN, UXN = 1 << 51, 1 << 52, 1 << 53, 1 << 54
AF = 1 << 10
SHORT_PAGE, SHORT_NG, SHORT_USER, SHORT_RO, SHORT_XN = 0x45E, 0x800, 0x20, 0x200, 1
SHORT_TABLE, USER_DOMAIN = 1, 1 << 5
HARDWARE_HALF = 0x800


class UserTables:
    """An address space of its own: ``context`` is what to switch to."""

    def __init__(self, kernel, pid: int = 1) -> None:
        self.kernel = kernel
        self.regime = kernel.machine.image().user_regime
        self.long = self.regime.format.entry_size == 8
        self.context = MmContext(self._page(order=2 if not self.long else 0), pid)

    def _page(self, order: int = 0) -> int:
        pa = self.kernel.pages.alloc_pages(order) * self.kernel.page_size
        self.kernel.ram.write(pa, bytes(self.kernel.page_size << order))
        return pa

    def frame(self) -> int:
        """A fresh page of memory."""
        return self._page()

    def place(self, va: int, level: int | None = None) -> tuple[int, int]:
        """Table and index of the entry for ``va`` at a level, tables made where there are none."""
        table = self.context.pgd
        for each in self.regime.levels:
            index = each.index(va)
            if each.number == (level or self.regime.levels[-1].number):
                return table, index
            found = self.kernel.tables.get(table, index)
            if not found & 3:
                below = self._page() + (0 if self.long else HARDWARE_HALF)
                kind = 3 if self.long else SHORT_TABLE | USER_DOMAIN
                self.kernel.tables.set(table, index, below | kind)
                found = below | kind
            table = found & 0xFFFF_FFFF_F000 if self.long else found & ~0x3FF
        raise AssertionError(level)

    def desc(self, pa: int, *, write: bool = True, execute: bool = False, user: bool = True,
             non_global: bool = True) -> int:  # fmt: skip
        """A page descriptor."""
        if not self.long:
            bits = SHORT_PAGE | (0 if write else SHORT_RO) | (0 if execute else SHORT_XN)
            return pa | bits | (SHORT_USER if user else 0) | (SHORT_NG if non_global else 0)
        bits = LONG[self.kernel.arch] | (0 if write else LONG_RO)
        bits |= 0 if execute else UXN | PXN
        return pa | bits | (LONG_USER if user else 0) | (LONG_NG if non_global else 0)

    def map(self, va: int, pa: int | None = None, **how: bool) -> int:
        """Map a page; its physical address."""
        pa = self.frame() if pa is None else pa
        self.kernel.tables.set(*self.place(va), self.desc(pa, **how))
        return pa
