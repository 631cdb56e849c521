"""One CPU: its registers, its TLB, and accesses by virtual address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ttbr.arch.faults import Access, Fault, FaultKind
from ttbr.errors import TtbrError
from ttbr.run.cpu.abort import Abort, NotHandled, abort_of
from ttbr.run.cpu.cached import GLOBAL, Cached
from ttbr.run.cpu.decoder import BITS
from ttbr.run.cpu.tlb import Tlb
from ttbr.run.cpu.walker import Half, Walker, read_entry

if TYPE_CHECKING:
    from ttbr.run.cpu.checks import TlbChecks
    from ttbr.run.cpu.decoder import Decoder
    from ttbr.run.cpu.regimes import Regimes
    from ttbr.run.cpu.switch import Switch
    from ttbr.run.table_writes import TableWrites

READ: Final = (Access.EL0_READ, Access.EL1_READ)
WRITE: Final = (Access.EL0_WRITE, Access.EL1_WRITE)
EXECUTE: Final = (Access.EL0_EXECUTE, Access.EL1_EXECUTE)
"""The kinds of access by exception level."""
_WRITES = BITS[Access.EL0_WRITE] | BITS[Access.EL1_WRITE]
_EXECUTES = BITS[Access.EL0_EXECUTE] | BITS[Access.EL1_EXECUTE]
_USER = sum(BITS[kinds[0]] for kinds in (READ, WRITE, EXECUTE))

SMALLEST_PAGE = 1 << 12
"""An access is split where a page of this size ends."""
RETRIES = 16
"""How often an access is tried again after its fault was handled."""
_HALF_BIT = 55

AbortHandler = Callable[[Abort], bool]
"""Handles an abort; whether the access is worth another try."""


class CpuState:
    """A CPU with a virtual address space: ``load``, ``store`` and ``fetch`` go through its TLB.

    ``number``: which CPU it is. ``registers``: its system registers by name; change them by
    `write`. ``pan``: PSTATE.PAN. ``user``: whether user space runs, and the registers are as they
    are then. ``on_abort``: the kernel's handler of faults.
    """

    def __init__(
        self,
        number: int,
        registers: dict[str, int],
        tlb: Tlb,
        *,
        tables: TableWrites,
        regimes: Regimes,
        switch: Switch,
        checks: TlbChecks,
        on_abort: AbortHandler | None = None,
    ) -> None:
        self.number = number
        self.registers = registers
        self.tlb = tlb
        self.tables = tables
        self.walker = Walker(checks.ram, tlb, checks.look_at_table)
        self.pan = False
        self.user = False
        self.on_abort = on_abort
        self._regimes = regimes
        self._switch = switch
        self._checks = checks
        self._lower: Half | None = None
        self._upper: Half | None = None
        self._reference: Half | None = None
        self._format = ""
        self._split = 0
        self._asid = 0
        self._fresh = False

    @property
    def asid(self) -> int:
        """The ASID that translations that are not global are looked up with."""
        self._refresh()
        return self._asid

    @property
    def kernel_decoder(self) -> Decoder:
        """What the kernel's own tables are read by."""
        self._refresh()
        assert self._reference is not None, "a kernel that runs has tables"
        return self._reference.decoder

    @property
    def roots(self) -> set[int]:
        """The root tables that its registers point to."""
        self._refresh()
        return {half.root for half in (self._lower, self._upper) if half is not None}

    def write(self, name: str, value: int) -> None:
        """Set a system register."""
        self.registers[name] = value
        self._fresh = False

    def load(self, va: int, size: int, *, el: int = 0) -> bytes:
        """Read ``size`` bytes from ``va`` as EL0 or EL1 does.

        `NotHandled` if an access faults and nobody handles it; `OutsideMemory` if it leads to
        where there is no RAM.
        """
        return b"".join(
            self.walker.ram.read(self._resolve(at, READ[el]), count)
            for at, count in _pieces(va, size)
        )

    def store(self, va: int, data: bytes | bytearray | memoryview, *, el: int = 0) -> None:
        """Write ``data`` to ``va`` as EL0 or EL1 does; errors as of `load`.

        What lies before the address at fault was written.
        """
        for at, count in _pieces(va, len(data)):
            pa = self._resolve(at, WRITE[el])
            done = at - va
            self.walker.ram.write(pa, data[done : done + count])

    def fetch(self, va: int, size: int = 4, *, el: int = 0) -> bytes:
        """Fetch an instruction of ``size`` bytes from ``va``; errors as of `load`."""
        return b"".join(
            self.walker.ram.read(self._resolve(at, EXECUTE[el]), count)
            for at, count in _pieces(va, size)
        )

    def translate(self, va: int, access: Access) -> int | Abort:
        """The physical address that ``va`` leads to for an access, or the abort that it takes.

        As the hardware does it, TLB and updates of flags included; nobody handles the abort.
        """
        bit = BITS[access]
        if self.user != bool(bit & _USER):
            self._change_level(bool(bit & _USER))
        return self._translate(va, access, bit)

    @contextmanager
    def user_access(self) -> Iterator[None]:
        """Let EL1 reach what user space can: uaccess_enable() to uaccess_disable()."""
        self.enter_kernel()
        self._switch.uaccess_enable(self)
        try:
            yield
        finally:
            self.enter_kernel()
            self._switch.uaccess_disable(self)

    def enter_kernel(self) -> None:
        """Take the registers back from user space, if it runs."""
        if self.user:
            self._change_level(False)

    def _change_level(self, user: bool) -> None:
        if user:
            self._switch.kernel_exit(self)
        else:
            self._switch.kernel_entry(self)
        self.user = user

    def _resolve(self, va: int, access: Access) -> int:
        """The physical address for an access, after as many faults as it takes."""
        for attempt in range(RETRIES + 1):
            found = self.translate(va, access)
            if not isinstance(found, Abort):
                return found
            self.enter_kernel()
            if self.on_abort is None or not self.on_abort(found):
                raise NotHandled(found)
            if attempt == RETRIES:
                raise NotHandled(found, f"it was handled {RETRIES} times, and comes again")
        raise AssertionError("the last attempt returns or raises")

    def _translate(self, va: int, access: Access, bit: int) -> int | Abort:
        if not self._fresh:
            self._refresh()
        fetch = bool(bit & _EXECUTES)
        half = self._half(va)
        regime = half.decoder.regime if half is not None else None
        if half is None or regime is None:
            return self._abort(Fault(FaultKind.TRANSLATION, 0, va, None, "no granule"), access)
        address = regime.canonical(va, fetch=fetch) if regime.tbi else va
        if not regime.first <= address <= regime.last:
            text = f"outside what {regime.root_register} translates"
            return self._abort(
                Fault(FaultKind.TRANSLATION, regime.fault_level, va, None, text), access
            )
        if regime.controls.e0pd and bit & _USER:
            text = "E0PD keeps EL0 out of this half of the address space"
            return self._abort(Fault(FaultKind.TRANSLATION, 0, va, None, text), access)
        cached = self.tlb.find(address, self._asid, fetch=fetch)
        if cached is None:
            walked = self.walker.walk(half, address, self._asid, self.tables.changes)
            if isinstance(walked, Fault):
                return self._abort(_of_address(walked, va), access)
            cached = walked
            leaf = cached.leaf
            # A descriptor that takes an access flag fault is never held (DDI 0487, D8, XCLRD).
            if not leaf.old or regime.controls.ha:
                self.tlb.keep(address, cached, fetch=fetch)
        else:
            leaf = cached.leaf
            if cached.decoder is not half.decoder:
                leaf = half.decoder.leaf(cached.desc, cached.level, cached.limits)
            if cached.seen != self.tables.changes or (
                cached.root != half.root and cached.tag != GLOBAL
            ):
                reference = half if cached.tag != GLOBAL else self._reference or half
                self._checks.look_again(self, cached, reference, address, bit)
        allowed = leaf.allowed_pan if self.pan else leaf.allowed
        if not allowed & bit:
            fault = half.decoder.fault(leaf, access, cached.level, va, pan=self.pan)
            assert fault is not None, leaf
            return self._abort(_at(fault, cached.place), access, leaf.attributes.domain)
        if leaf.clean and bit & _WRITES:
            self._set_dirty(cached, half, address)
        return cached.pa + address - cached.va

    def _set_dirty(self, cached: Cached, half: Half, va: int) -> None:
        """The hardware clears the read-only bit of a clean page's descriptor (DBM)."""
        decoder = half.decoder
        size = decoder.regime.format.entry_size
        place = cached.place_of(va)
        desc = read_entry(self.walker.ram, place, size) & ~decoder.read_only
        self.walker.ram.write(place, desc.to_bytes(size, "little"))
        if cached.leaf.entry_bytes in (cached.leaf.span, cached.size):
            cached.desc &= ~decoder.read_only
            cached.leaf = cached.decoder.leaf(cached.desc, cached.level, cached.limits)

    def _half(self, va: int) -> Half | None:
        if self._split == 0:
            return self._upper if va >> _HALF_BIT & 1 else self._lower
        return self._upper if self._upper is not None and va >= self._split else self._lower

    def _refresh(self) -> None:
        """Find out again what the registers say."""
        if self._fresh:
            return
        decoders = self._regimes.of(self.registers)
        self._lower, self._upper = decoders.halves(self.registers)
        self._reference = self._regimes.reference(decoders, self.registers)
        self._format = decoders.format_name
        self._split = decoders.split
        self._asid = self._switch.asid(self.registers)
        self._fresh = True

    def _abort(self, fault: Fault, access: Access, domain: int | None = None) -> Abort:
        return abort_of(fault, access, self._format, domain)


def _pieces(va: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of an access that each lie within one page: (address, bytes)."""
    if size <= 0:
        raise TtbrError(f"an access has at least one byte, not {size}")
    end = va + size
    while va < end:
        count = min(SMALLEST_PAGE - va % SMALLEST_PAGE, end - va)
        yield va, count
        va += count


def _of_address(fault: Fault, va: int) -> Fault:
    """The fault with the address as the program gave it."""
    return Fault(fault.kind, fault.level, va, fault.address, fault.text)


def _at(fault: Fault, place: int) -> Fault:
    return Fault(fault.kind, fault.level, fault.va, place, fault.text)
