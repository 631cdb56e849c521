"""All page sizes, address sizes and releases: what the CPU finds is what the tables say."""

import arm64_kernels as made
import pytest
from arm64_kernels import PLAIN, WIDE, G

from ttbr.arch.faults import Access
from ttbr.boot.board import Board
from ttbr.boot.boot import boot
from ttbr.boot.loader import custom
from ttbr.run.cpu.abort import Abort
from ttbr.run.cpu.asids import Asids, MmContext
from ttbr.run.cpu.cpus import Cpus
from ttbr.run.events import RunLog
from ttbr.run.table_writes import TableWrites

SMALL = [(12, 39), (12, 48), (14, 36), (14, 47), (14, 48), (16, 42), (16, 48), (16, 52)]
GEOMETRIES = [
    *(("6.1.192", *each) for each in SMALL),
    *(("6.12.117", *each) for each in [*SMALL, (12, 52), (14, 52)]),
]
OPTIONS = {"ARM64_HW_AFDBM": "y", "ARM64_SW_TTBR0_PAN": "n", "ARM64_PAN": "y", "ARM64_CNP": "y"}
TABLES = 0x5000_0000
"""Where the tables and pages of a process are put, in memory that nobody has taken."""


def up(release: str, page_shift: int, va_bits: int, cpu, **options: str):
    """A machine behind its boot, and its CPUs."""
    kernel = made.kernel(release, page_shift, va_bits, **(OPTIONS | options))
    board = Board.from_dtb(made.tree([(0x4000_0000, G)]))
    placement = custom(board, 0x4020_0000, 0x4800_0000)
    machine = boot(board, kernel, placement, cpu=cpu, stop="paging_init").machine
    return machine, Cpus(machine, TableWrites(machine.ram, 8), RunLog())


def user_page(machine, cpus, va: int) -> tuple[MmContext, int]:
    """Tables that map one page, written by the fields of the format; and the page's address."""
    regime = machine.image().user_regime
    fmt, page = regime.format, machine.kernel.page_size
    at = [TABLES + number * page for number in range(len(regime.levels) + 1)]
    for number, level in enumerate(regime.levels[:-1]):
        desc = fmt.table_layout(level.number).place(at[number + 1]) | 3
        cpus.tables.set(at[number], level.index(va), desc)
    layout = fmt.leaf_layout(3)
    fields = {"AF": 1, "AP": 1, "nG": 1, "UXN": 1, "PXN": 1, "type": 3}
    fields |= {"SH": 3} if "SH" in layout.by_name else {}
    cpus.tables.set(
        at[-2], regime.levels[-1].index(va), layout.encode(fields, layout.place(at[-1]))
    )
    return MmContext(at[0], 1), at[-1]


@pytest.mark.parametrize("cpu", [PLAIN, WIDE], ids=lambda cpu: cpu.name)
@pytest.mark.parametrize(("release", "page_shift", "va_bits"), GEOMETRIES)
def test_the_cpu_translates_as_the_tables_say(release, page_shift, va_bits, cpu) -> None:
    machine, cpus = up(release, page_shift, va_bits, cpu)
    regime = machine.image().user_regime
    va = (1 << regime.input_bits) - (3 << page_shift)
    context, pa = user_page(machine, cpus, va)
    cpus.switch_to(context)
    cpus.current.store(va + 5, b"user")
    assert machine.ram.read(pa + 5, 4) == b"user"
    cpus.current.enter_kernel()
    assert regime.root_address(machine.registers["TTBR0_EL1"]) == context.pgd
    image = machine.image()
    state = machine.arch_state
    for address in (
        state.phys_to_virt(0x4000_0000),
        state.phys_to_virt(machine.roots["swapper_pg_dir"]) + 8,
        state.va("_stext"),
        state.va("swapper_pg_dir"),
        state.layout.page_offset - 1 & (1 << 64) - 1,
        (1 << 64) - 1,
    ):
        for access in (Access.EL1_READ, Access.EL1_WRITE, Access.EL1_EXECUTE, Access.EL0_READ):
            found = cpus.current.translate(address, access)
            cpus.current.enter_kernel()
            said = image.translate(address, access, pan=cpus.current.pan)
            if isinstance(found, Abort):
                assert said.fault is not None
                assert (found.fault.kind, found.fault.level) == (said.fault.kind, said.fault.level)
            else:
                assert (found, None) == (said.pa, said.fault)
    assert not cpus.violations


def test_asids_have_the_bits_that_the_cpu_has() -> None:
    for field, bits in ((0, 8), (2, 16), (5, 8)):
        cpu = made.Cpu("other", "test,other", {"ID_AA64MMFR0_EL1": 0x1104 | field << 4})
        _, cpus = up("6.12.117", 12, 48, cpu)
        assert cpus.asids.bits == bits
        assert isinstance(cpus.asids, Asids)
