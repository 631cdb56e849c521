"""Which handler an abort enters, what it is told, and what it does about it."""

import pytest
from arm64_kernels import WIDE
from machines_up import booted
from user_machines import made_up, started

from ttbr.kernel.cpu import Cpu
from ttbr.kernel.vm_flags import Map, Prot
from ttbr.run import run
from ttbr.run.cpu.abort import NotHandled
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.process import Killed

READ, WRITE = Prot.READ, Prot.WRITE
M = 1 << 20


@pytest.fixture
def kernel(board):
    return run(booted(board))


def killed(process, access):
    with pytest.raises(Killed) as error:
        access()
    assert not process.alive
    return error.value.report


# Arm ARM DDI 0487, ISS of ESR_EL1: class, IL, WnR, status. DDI 0406C, B3.13: FS, WnR, LPAE.
NOTHING = {
    "arm64": lambda level: 0x9200_0004 | level,
    "arm": lambda level: {1: 0x005, 2: 0x007}[level],
    "arm-lpae": lambda level: 0x204 | level,
}
READ_ONLY = {"arm64": 0x9200_004F, "arm": 0x81F, "arm-lpae": 0xA0F}
DOMAIN = 0xF0  # of DFSR, with short descriptors


@pytest.mark.parametrize("board", NOTHING)
def test_a_null_pointer(kernel, board):
    process = kernel.spawn()
    report = killed(process, lambda: process.load(0))
    syndrome, address = report.registers.values()
    assert syndrome & ~(DOMAIN if board == "arm" else 0) == NOTHING[board](report.level)
    assert (address, report.signal) == (0, "SIGSEGV (SEGV_MAPERR)")
    assert report.function == "do_page_fault"


@pytest.mark.parametrize("board", READ_ONLY)
def test_a_store_to_what_is_only_read(kernel, board):
    process = kernel.spawn()
    va = process.mmap(M, READ)
    process.load(va)
    report = killed(process, lambda: process.store(va + 8, b"x"))
    assert list(report.registers.values()) == [READ_ONLY[board], va + 8]
    assert (report.handler, report.kind) == ("do_page_fault", "permission")
    assert report.signal == "SIGSEGV (SEGV_ACCERR)"
    assert report.old == report.new != 0


@pytest.mark.parametrize("board", NOTHING)
def test_programs_cannot_reach_the_kernel(kernel, board):
    process = kernel.spawn()
    address = kernel.kmalloc(64)
    process.load(process.mm.start_stack - 8)
    report = killed(process, lambda: process.load(address))
    assert report.signal in ("SIGSEGV (SEGV_MAPERR)", "SIGSEGV (SEGV_ACCERR)")
    assert report.va == address


@pytest.mark.parametrize("board", ["arm64-a76", "arm"])
def test_the_kernel_reaches_programs_through_uaccess_only(kernel, board):
    process = kernel.spawn()
    va = process.mmap(M)
    process.store(va, b"ours")
    with kernel.cpu.user_access():
        assert kernel.cpu.load(va, 4, el=1) == b"ours"
        kernel.cpu.store(va + 8192, b"put_user", el=1)
    assert process.load(va + 8192, 8) == b"put_user"
    with pytest.raises(NotHandled):
        kernel.cpu.load(va, 4, el=1)
    report = process.last_fault
    assert report.oops
    assert not report.signal
    if kernel.arch == "arm64":
        assert report.oops == "access to user memory outside uaccess routines"


@pytest.mark.parametrize("board", ["arm64", "arm", "arm-lpae"])
def test_the_kernel_has_nothing_at_null(kernel, board):
    kernel.spawn().load(kernel.user.user.layout.program)
    with pytest.raises(NotHandled), kernel.cpu.user_access():
        kernel.cpu.load(8, 1, el=1)
    (report,) = [each.last_fault for each in kernel.processes.values()]
    assert report.oops == "unable to handle kernel NULL pointer dereference"


@pytest.mark.parametrize("board", ["arm", "arm-lpae"])
def test_a_fault_copies_what_vmalloc_added(kernel, board):
    """What is mapped while a process runs is not in its first-level table until it is used."""
    process = kernel.spawn()
    process.load(process.mm.start_stack - 8)
    at = kernel.vmalloc(6 * M)
    tables, swapper = kernel.tables, kernel.machine.roots["swapper_pg_dir"]
    index = at >> (20 if board == "arm" else 30)
    kernel.cpu.store(at + 3 * M, b"kernel", el=1)
    assert kernel.cpu.load(at + 3 * M, 6, el=1) == b"kernel"
    if board == "arm":
        assert process.last_fault.function == "do_translation_fault"
        assert "copied from swapper_pg_dir" in process.last_fault.detail
        index = at + 3 * M >> 20
        assert tables.get(process.mm.pgd, index) == tables.get(swapper, index) != 0
    assert not kernel.cpus.violations


@pytest.mark.parametrize("board", ["arm64", "arm", "arm-lpae"])
def test_what_software_marks(kernel, board):
    """Without hardware management a page that fork made old is marked by faults."""
    process = kernel.spawn()
    va = process.mmap(M, READ | WRITE, Map.PRIVATE)
    process.store(va, b"x")
    child = process.fork()
    assert child.load(va) == b"x"
    assert child.last_fault.kind == ("translation" if board == "arm" else "access flag")
    assert child.last_fault.detail == "marked young"
    entries = process.mm.user.entries
    assert entries.young(child.last_fault.new)
    assert not entries.young(child.last_fault.old)


@pytest.mark.parametrize("machine", ["arm64-4k-52"])
def test_what_hardware_marks(machine):
    kernel = run(started(machine))
    process = kernel.spawn()
    va = process.mmap(M, READ | WRITE, Map.PRIVATE)
    process.store(va, b"x")
    child = process.fork()
    faults = child.faults
    assert child.load(va) == b"x"
    assert child.faults == faults, "the CPU set the access flag"
    table = child.mm.tables.pte_table(va)
    assert child.mm.user.entries.young(child.mm.tables.get_pte(table, va))


@pytest.mark.parametrize("machine", ["arm64-4k-52"])
def test_addresses_above_48_bits_are_for_who_asks(machine):
    kernel = run(started(machine))
    process = kernel.spawn()
    low = process.mmap(M)
    high = process.mmap(M, hint=1 << 51)
    assert low >> 48 == 0
    assert high >> 48
    process.store(high, b"high")
    assert process.load(high, 4) == b"high"
    assert len(process.mm.tables.levels) == 5


GUARDING = Cpu("guarding", "test,guarding", WIDE.registers | {"ID_AA64PFR1_EL1": 1})
EPAN = Cpu("epan", "test,epan", WIDE.registers | {"ID_AA64MMFR1_EL1": 2 | 3 << 20})
GP, USER_BIT = 1 << 50, 1 << 6


def test_guarded_pages_are_for_programs_that_ask():
    made = made_up("6.12.117", 12, 48, cpu=GUARDING, ARM64_BTI="y")
    process = run(made).spawn()
    for prot, guarded in ((Prot.READ | Prot.EXEC | Prot.BTI, GP), (Prot.READ | Prot.EXEC, 0)):
        va = process.mmap(M, prot)
        process.fetch(va)
        assert process.last_fault.new & GP == guarded
    plain = run(started("arm64-4k")).spawn()
    va = plain.mmap(M, Prot.READ | Prot.EXEC | Prot.BTI)
    plain.fetch(va)
    assert not plain.last_fault.new & GP
    with pytest.raises(SyscallError, match="EINVAL"):
        plain.mprotect(va, M, Prot.READ | Prot.EXEC | Prot.BTI)


def test_execute_only_memory():
    made = made_up("6.12.117", 12, 48, cpu=EPAN, ARM64_EPAN="y", ARM64_PAN="y")
    process = run(made).spawn()
    va = process.mmap(M, Prot.EXEC)
    process.fetch(va)
    assert not process.last_fault.new & USER_BIT
    assert killed(process, lambda: process.load(va)).signal == "SIGSEGV (SEGV_ACCERR)"
    plain = run(started("arm64-4k")).spawn()
    va = plain.mmap(M, Prot.EXEC)
    plain.fetch(va)
    assert plain.load(va) == b"\0"
