"""ASIDs: generations, roll-over, what runs keeps its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines_up import booted
from user_tables import UserTables

from ttbr.run import run
from ttbr.run.cpu.asids import Asids, MmContext


def switch_to_many(asids: Asids, count: int) -> list[MmContext]:
    made = [MmContext(number << 12) for number in range(count)]
    for context in made:
        asids.check(context, 0)
    return made


def test_arm_begins_with_one_and_arm64_with_two() -> None:
    arm = Asids.arm(1)
    first, second = switch_to_many(arm, 2)
    assert (first.id, second.id) == (0x101, 0x102)
    # A kernel that is built for KPTI keeps the odd ASIDs until the first roll-over.
    for configured, kpti, expected in (
        (True, True, [2, 4]),
        (True, False, [2, 4]),
        (False, False, [1, 2]),
    ):
        asids = Asids.arm64(16, 1, kpti_configured=configured, kpti=kpti)
        found = [asids.asid(each) for each in switch_to_many(asids, 2)]
        assert found == expected


@pytest.mark.parametrize(("kpti", "room"), [(False, 255), (True, 127)])
def test_a_roll_over_flushes_and_spares_what_runs(kpti: bool, room: int) -> None:
    asids = Asids.arm64(8, 2, kpti_configured=kpti, kpti=kpti)
    elsewhere = MmContext(0)
    assert not asids.check(elsewhere, 1)
    kept = asids.asid(elsewhere)
    others = switch_to_many(asids, room - 1)
    assert asids.rollovers == 0 and 0 not in (asids.asid(each) for each in others)
    assert len({each.id for each in [elsewhere, *others]}) == room
    extra = MmContext(0)
    assert asids.check(extra, 0), "the CPU that rolls over flushes at once"
    assert asids.rollovers == 1 and asids.current(extra) and not asids.current(others[0])
    # What ran on the other CPU keeps its number, which nobody else got, and flushes there.
    assert not asids.current(elsewhere)
    more = switch_to_many(asids, room - 3)
    assert asids.rollovers == 1
    assert kept not in [asids.asid(each) for each in [extra, *more]]
    assert asids.check(elsewhere, 1)
    assert asids.asid(elsewhere) == kept and asids.current(elsewhere)
    assert not asids.check(elsewhere, 1)


def test_an_old_number_is_taken_again_where_nobody_has_it() -> None:
    asids = Asids.arm(1)
    made = switch_to_many(asids, 256)
    assert asids.rollovers == 1
    assert asids.asid(made[255]) == 1
    asids.check(made[9], 0)
    assert asids.asid(made[9]) == 10
    asids.check(made[0], 0)  # its 1 is taken
    assert asids.asid(made[0]) == 2


@given(
    st.lists(st.tuples(st.integers(0, 299), st.integers(0, 3)), max_size=700),
    st.sampled_from([(False, False), (True, False), (True, True)]),
)
def test_two_that_are_valid_never_share_an_asid(switches, kpti) -> None:
    asids = Asids.arm64(8, 4, kpti_configured=kpti[0], kpti=kpti[1])
    contexts = [MmContext(number) for number in range(300)]
    running: dict[int, MmContext] = {}
    dirty = {cpu: set() for cpu in range(4)}  # (ASID, context) that a CPU's TLB could hold
    for number, cpu in switches:
        context = contexts[number]
        if asids.check(context, cpu):
            dirty[cpu].clear()
        running[cpu] = context
        asid = asids.asid(context)
        assert asid and not (kpti[1] and asid % 2)
        assert all(other is context for at, other in dirty[cpu] if at == asid)
        dirty[cpu].add((asid, context))
        alive = {asids.asid(each) for each in contexts if asids.current(each)}
        assert len(alive) == sum(map(asids.current, contexts))
        in_use = {id(each): asids.asid(each) for each in running.values()}
        assert len(set(in_use.values())) == len(in_use)


@pytest.mark.parametrize("name", ["arm64", "arm"])
def test_roll_over_on_a_running_kernel(name: str) -> None:
    kernel = run(booted(name))
    if name == "arm64":
        kernel.cpus.asids.bits = 8  # as a core with ID_AA64MMFR0_EL1.ASIDBits 0
        kernel.cpus.asids.map = kernel.cpus.asids.map[:256]
    va = 0x4000_0000
    users = [UserTables(kernel, pid) for pid in (1, 2)]
    for user, word in zip(users, b"12", strict=True):
        kernel.ram.write(user.map(va), bytes([word]))
    for number in range(300):
        kernel.cpus.switch_to(MmContext(users[0].context.pgd, 10 + number))
        kernel.cpus.switch_to(users[number % 2].context)
        assert kernel.cpu.load(va, 1) == b"12"[number % 2 : number % 2 + 1]
    assert kernel.cpus.asids.rollovers >= 1
    flushes = [event for event in kernel.log if event.function == "local_flush_tlb_all"]
    assert len(flushes) == kernel.cpus.asids.rollovers
    assert not kernel.cpus.violations
