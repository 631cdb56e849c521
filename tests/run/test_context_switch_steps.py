"""What a context switch writes, in order, and what user space and the kernel run with."""

from dataclasses import replace

import pytest
from machines_up import booted
from user_tables import UserTables

from ttbr.arch.faults import Access
from ttbr.boot.boot import Boot, boot
from ttbr.run import run
from ttbr.run.cpu.abort import Abort
from ttbr.run.cpu.cpus import Cpus

VA = 0x4000_0000
ASID = 48


def with_options(name: str, release: str | None = None, **options: str) -> Boot:
    """A board with a kernel that is built otherwise."""
    machine = booted(name).machine
    kernel = machine.kernel
    kernel = replace(kernel, config=kernel.config.changed(options))
    return boot(machine.board, kernel, machine.placement)


def switched(kernel):
    user = UserTables(kernel, pid=7)
    user.map(VA)
    before = len(kernel.log)
    kernel.cpus.switch_to(user.context)
    [event] = [each for each in kernel.log.since(before) if each.kind == "switch"]
    return user, event


def test_arm64_goes_over_the_reserved_table() -> None:
    kernel = run(booted("arm64"))
    roots = kernel.machine.roots
    user, event = switched(kernel)
    assert event.detail.split("; ") == [
        f"TTBR0_EL1 = {roots['reserved_pg_dir']:#x}",
        "isb",
        f"TTBR1_EL1 = {2 << ASID | roots['swapper_pg_dir']:#x}",
        "isb",
        f"TTBR0_EL1 = {user.context.pgd:#x}",
        "isb",
        "CONTEXTIDR_EL1 = 0x7",  # the kernel that ships has PID_IN_CONTEXTIDR
    ]
    assert event.values == {"cpu": 0, "pid": 7, "asid": 2, "generation": 1 << 16}
    kernel.cpus.switch_to(None)  # a kernel thread borrows the tables
    assert kernel.cpu.registers["TTBR0_EL1"] == user.context.pgd
    kernel.cpus.switch_to(user.context)
    assert len([each for each in kernel.log if each.kind == "switch"]) == 1
    kernel.cpus.destroy_context(user.context)
    assert kernel.cpu.registers["TTBR0_EL1"] == roots["reserved_pg_dir"]


def test_common_not_private_is_set_in_both() -> None:
    kernel = run(booted("arm64-a76"))
    [replaced] = [event for event in kernel.log if event.function == "cpu_replace_ttbr1"]
    assert f"TTBR0_EL1 = {kernel.machine.roots['idmap_pg_dir']:#x}" in replaced.detail
    user, event = switched(kernel)
    reserved = f"TTBR0_EL1 = {kernel.machine.roots['reserved_pg_dir']:#x}"
    assert event.detail.startswith(f"{reserved}; isb; {reserved}; isb; TTBR1_EL1")
    assert kernel.cpu.registers["TTBR0_EL1"] == user.context.pgd | 1
    assert kernel.cpu.registers["TTBR1_EL1"] == kernel.machine.roots["swapper_pg_dir"] | 2 << 48 | 1


def test_without_pan_the_kernel_can_go_without_ttbr0() -> None:
    kernel = run(with_options("arm64", ARM64_SW_TTBR0_PAN="y"))
    roots = kernel.machine.roots
    cpu = kernel.cpu
    user, _ = switched(kernel)
    inside = {"TTBR0_EL1": roots["reserved_pg_dir"], "TTBR1_EL1": roots["swapper_pg_dir"]}
    outside = {
        "TTBR0_EL1": user.context.pgd | 2 << ASID,
        "TTBR1_EL1": roots["swapper_pg_dir"] | 2 << ASID,
    }

    def ttbrs() -> dict[str, int]:
        return {name: cpu.registers[name] for name in inside}

    assert isinstance(cpu.translate(VA, Access.EL1_READ), Abort)
    assert isinstance(cpu.translate(VA, Access.EL0_READ), int)
    assert ttbrs() == outside
    cpu.enter_kernel()
    assert ttbrs() == inside
    with cpu.user_access():
        assert isinstance(cpu.translate(VA, Access.EL1_READ), int)
        assert ttbrs() == outside
    assert ttbrs() == inside
    kernel.cpus.switch_to(None)
    with cpu.user_access():
        assert ttbrs() == inside


def test_user_space_runs_on_the_trampoline_with_kpti() -> None:
    made = booted("arm64")
    kernel = run(
        boot(
            made.machine.board,
            made.machine.kernel,
            made.machine.placement,
            kaslr_seed=0x1234_5678_9ABC_DEF0,
        )
    )
    cpu, roots = kernel.cpu, kernel.machine.roots
    user, _ = switched(kernel)
    assert cpu.registers["TTBR1_EL1"] == roots["swapper_pg_dir"] | 2 << ASID
    assert isinstance(cpu.translate(VA, Access.EL0_READ), int)
    assert cpu.registers["TTBR1_EL1"] == roots["tramp_pg_dir"] | 3 << ASID
    assert [cached.tag for cached in cpu.tlb.main] == [3]
    with cpu.user_access():
        cpu.translate(VA, Access.EL1_READ)
    assert sorted(cached.tag for cached in cpu.tlb.main) == [2, 3]
    kernel.tlb.flush_page(user.context, VA)
    assert not len(cpu.tlb.main)
    other, _ = switched(kernel)
    assert cpu.asid == 4 and other.context.id == 1 << 16 | 4


@pytest.mark.parametrize("pid_in_contextidr", [False, True])
def test_arm_switches_over_the_global_table(pid_in_contextidr: bool) -> None:
    option = {"PID_IN_CONTEXTIDR": "y"} if pid_in_contextidr else {}
    kernel = run(with_options("arm", **option))
    user, event = switched(kernel)
    ttbr1 = kernel.machine.registers["TTBR1"]
    flags = ttbr1 & 0x7F
    assert event.detail.split("; isb") == [
        f"TTBR0 = {ttbr1:#x}",
        f"; CONTEXTIDR = {1 if pid_in_contextidr else 0x101:#x}",
        f"; TTBR0 = {user.context.pgd | flags:#x}",
        "",
    ]
    assert kernel.machine.registers["CONTEXTIDR"] == (0x701 if pid_in_contextidr else 0x101)
    assert kernel.cpu.asid == 1
    assert kernel.machine.registers["DACR"] == 0x51
    kernel.cpu.load(VA, 1)
    assert kernel.machine.registers["DACR"] == 0x55
    kernel.cpus.destroy_context(user.context)
    assert kernel.machine.registers["TTBR0"] == ttbr1


def test_armv6_sets_the_table_before_the_asid() -> None:
    made = booted("arm").machine
    kernel = run(booted("arm"))
    kernel.machine.cpu = replace(made.cpu, proc="v6")
    kernel.cpus = Cpus(kernel.machine, kernel.tables, kernel.log)
    user, event = switched(kernel)
    ttbr1 = kernel.machine.registers["TTBR1"]
    assert event.detail.split("; ") == [
        f"TTBR0 = {ttbr1:#x}",
        "isb",
        f"TTBR0 = {user.context.pgd | ttbr1 & 0x7F:#x}",
        "CONTEXTIDR = 0x101",
    ]
