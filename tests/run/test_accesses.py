"""Accesses by virtual address: what they reach, and what they raise."""

import pytest
from machines_up import booted
from user_tables import AF, DBM, LONG_RO, UserTables

from ttbr.arch.faults import Access, FaultKind
from ttbr.errors import TtbrError
from ttbr.run import run
from ttbr.run.cpu.abort import NotHandled

VA = 0x4000_0000
KERNELS = ("arm64", "arm", "arm64-a76")


@pytest.fixture(params=KERNELS)
def kernel(request):
    return run(booted(request.param))


@pytest.fixture
def user(kernel):
    tables = UserTables(kernel)
    kernel.cpus.switch_to(tables.context)
    return tables


def test_what_is_stored_lies_in_memory_and_is_loaded_again(kernel, user) -> None:
    first, second = user.map(VA), user.map(VA + kernel.page_size)
    end = VA + kernel.page_size
    kernel.cpu.store(end - 3, b"across")
    assert kernel.ram.read(first + kernel.page_size - 3, 3) == b"acr"
    assert kernel.ram.read(second, 3) == b"oss"
    assert kernel.cpu.load(end - 3, 6) == b"across"
    with pytest.raises(TtbrError, match="at least one byte"):
        kernel.cpu.load(VA, 0)


def test_the_kernel_reaches_its_own_memory_and_users_only_where_it_says_so(kernel, user) -> None:
    pa = user.map(VA)
    kernel.ram.write(pa, b"user")
    kept_out = kernel.arch == "arm" or kernel.machine.cpu.pan
    if kept_out:
        with pytest.raises(NotHandled) as raised:
            kernel.cpu.load(VA, 4, el=1)
        kind = raised.value.abort.fault.kind
        assert kind is (FaultKind.DOMAIN if kernel.arch == "arm" else FaultKind.PERMISSION)
    with kernel.cpu.user_access():
        assert kernel.cpu.load(VA, 4, el=1) == b"user"
    assert kernel.cpu.load(VA, 4) == b"user"


ABORTS = {
    "arm64": {
        Access.EL0_READ: (0x9200_0006, "ESR_EL1"),
        Access.EL0_WRITE: (0x9200_004F, "ESR_EL1"),
        Access.EL0_EXECUTE: (0x8200_000F, "ESR_EL1"),
        Access.EL1_READ: (0x9600_0006, "ESR_EL1"),
        Access.EL1_WRITE: (0x9600_004F, "ESR_EL1"),
        Access.EL1_EXECUTE: (0x8600_000F, "ESR_EL1"),
    },
    "arm": {
        Access.EL0_READ: (0x5, "DFSR"),
        Access.EL0_WRITE: (0x81F, "DFSR"),
        Access.EL0_EXECUTE: (0xF, "IFSR"),
        Access.EL1_READ: (0x5, "DFSR"),
        Access.EL1_WRITE: (0x81F, "DFSR"),
        Access.EL1_EXECUTE: (0xF, "IFSR"),
    },
}
"""The syndrome of a read where no table is, and of a write to and a fetch from a read-only page."""


@pytest.mark.parametrize("access", Access)
def test_the_syndrome_of_every_kind_of_access(access: Access) -> None:
    for name in ("arm64", "arm"):
        kernel = run(booted(name))
        user = UserTables(kernel)
        kernel.cpus.switch_to(user.context)
        user.map(VA, write=False)
        reads = access in (Access.EL0_READ, Access.EL1_READ)
        va = VA + (1 << 21) if reads else VA
        with kernel.cpu.user_access():
            abort = kernel.cpu.translate(va, access)
        expected, register = ABORTS[name][access]
        address = {"ESR_EL1": "FAR_EL1", "DFSR": "DFAR", "IFSR": "IFAR"}[register]
        assert abort.registers == {register: expected, address: va}
        assert abort.access is access
        assert f"{expected:#x}" in str(abort)


def test_an_access_is_tried_again_when_its_fault_was_handled(kernel, user) -> None:
    seen = []

    def handle(abort) -> bool:
        seen.append(abort)
        user.map(abort.va & -kernel.page_size)
        return True

    kernel.cpus.on_abort = handle
    kernel.cpu.store(VA + 5, b"demand")
    assert kernel.cpu.load(VA + 5, 6) == b"demand"
    assert [(each.va, each.writes, each.el) for each in seen] == [(VA + 5, True, 0)]


def test_a_fault_that_its_handler_does_not_cure_ends(kernel, user) -> None:
    calls = []
    kernel.cpus.on_abort = lambda abort: bool(calls.append(abort)) or True
    with pytest.raises(NotHandled, match="16 times"):
        kernel.cpu.load(VA, 4)
    assert len(calls) == 17
    kernel.cpus.on_abort = lambda _: False
    with pytest.raises(NotHandled, match="nobody handles it"):
        kernel.cpu.fetch(VA)


def test_only_some_hardware_sets_the_access_flag_and_the_dirty_state() -> None:
    for name, by_hardware in (("arm64", False), ("arm64-a76", True)):
        kernel = run(booted(name))
        user = UserTables(kernel)
        kernel.cpus.switch_to(user.context)
        table, index = user.place(VA)
        clean = user.desc(user.frame()) & ~AF | DBM | LONG_RO
        kernel.tables.set(table, index, clean)
        if not by_hardware:
            with pytest.raises(NotHandled, match="access flag fault, level 3"):
                kernel.cpu.load(VA, 1)
            kernel.tables.set(table, index, clean | AF)
            with pytest.raises(NotHandled, match="permission fault, level 3"):
                kernel.cpu.store(VA, b"x")
            continue
        kernel.cpu.load(VA, 1)
        assert kernel.tables.get(table, index) == clean | AF
        kernel.cpu.store(VA, b"x")
        assert kernel.tables.get(table, index) == (clean | AF) & ~LONG_RO
        kernel.cpu.store(VA, b"y")
        assert kernel.cpu.tlb.counts.walks == 1
        assert not kernel.cpus.violations


def test_an_address_that_no_table_has_room_for(kernel, user) -> None:
    hole = 1 << 54 if kernel.arch == "arm64" else 1 << 32
    with pytest.raises(NotHandled, match="outside what TTBR0"):
        kernel.cpu.load(hole, 1)


def test_images_hold_the_registers_of_the_kernel_not_of_the_user(kernel, user) -> None:
    user.map(VA)
    kernel.cpu.load(VA, 1)
    assert kernel.cpu.user
    image = kernel.image()
    assert not kernel.cpu.user
    pa = image.address_space(f"user:{user.context.pgd:#x}").translate(VA).pa
    assert pa == kernel.cpu.translate(VA, Access.EL0_READ)
