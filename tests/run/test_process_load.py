"""Processes under load: every page is somebody's, once; programs see what they wrote; all ends."""

import os
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from process_model import PROTS, Load
from user_machines import MACHINES, started

from ttbr.kernel.vm_flags import Madvise, Prot
from ttbr.run import run

STEPS = int(os.environ.get("TTBR_RUN_STEPS", "2500"))
"""Operations of the long runs over all machines: more than 100,000 when asked for."""
KINDS = (*3 * ("private",), "shared", "file", "shared file", "huge", "shared huge")
ADVICE = tuple(advice for advice in Madvise if advice is not Madvise.WILLNEED)
MOST = 6
"""Processes at a time."""


def step(load: Load, chance: random.Random) -> None:
    """An operation, accesses more often than others."""
    which, number, skip = (chance.randrange(1 << 20) for _ in range(3))
    count = int(chance.expovariate(0.1)) + 1
    kind = chance.random()
    large = load.user.pmd_size // load.page
    if len(load.images) > MOST or kind < 0.02:
        load.exit(which)
    elif kind < 0.04:
        load.spawn()
    elif kind < 0.08:
        load.fork(which)
    elif kind < 0.085:
        load.exec(which)
    elif kind < 0.09:
        load.file(chance.randrange(1, 40))
    elif kind < 0.095:
        load.squeeze(chance.randrange(120))
    elif kind < 0.105:
        load.relax()
    elif kind < 0.2:
        pages = chance.choice([count, count, 3 * large // 2 if large < 4096 else 70])
        prot = chance.choice([Prot.READ | Prot.WRITE, *PROTS])
        at = chance.choice([None, None, None, number])
        load.mmap(which, pages, prot, chance.choice(KINDS), at=at, number=number)
    elif kind < 0.28:
        load.munmap(which, number, skip, chance.choice([count, 1 << 20]))
    elif kind < 0.36:
        load.mprotect(which, number, skip, chance.choice([count, 1 << 20]), chance.choice(PROTS))
    elif kind < 0.44:
        size = chance.choice([count, 1 << 20])
        load.madvise(which, number, chance.choice([skip, 0]), size, chance.choice(ADVICE))
    elif kind < 0.5:
        size = chance.choice([count, 200])
        load.touch(which, number, skip, size, write=chance.random() < 0.7)
    elif kind < 0.8:
        load.store(which, number, skip)
    else:
        load.load(which, number, skip)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_long_run(machine: str, say) -> None:
    """Whatever programs do, held against the model every few operations."""
    chance = random.Random(machine)
    load = Load(run(started(machine)))
    share = STEPS // len(MACHINES) + 1
    while load.operations.total() < share:
        for _ in range(chance.randrange(1, 60)):
            step(load, chance)
        load.check()
    load.finish()
    say(f"{machine}: {load.operations.total()} operations of processes")


class Programs(RuleBasedStateMachine):
    """Small steps, so that a failure is told in few."""

    @initialize(machine=st.sampled_from(list(MACHINES)))
    def start(self, machine: str) -> None:
        self.made = Load(run(started(machine)))

    numbers = st.integers(0, 1000)

    @rule(which=numbers)
    def fork(self, which: int) -> None:
        if len(self.made.images) < MOST:
            self.made.fork(which)

    @rule(left=st.integers(0, 100))
    def squeeze(self, left: int) -> None:
        self.made.squeeze(left)

    @rule()
    def relax(self) -> None:
        self.made.relax()

    @rule(which=numbers)
    def exit(self, which: int) -> None:
        self.made.exit(which)

    @rule(
        which=numbers,
        pages=st.integers(1, 40) | st.just(1100),
        prot=st.sampled_from(PROTS),
        kind=st.sampled_from(KINDS),
        at=st.none() | numbers,
        number=numbers,
    )
    def mmap(
        self, which: int, pages: int, prot: Prot, kind: str, at: int | None, number: int
    ) -> None:
        self.made.mmap(which, pages, prot, kind, at=at, number=number)

    @rule(which=numbers, number=numbers, skip=numbers, count=numbers)
    def munmap(self, which: int, number: int, skip: int, count: int) -> None:
        self.made.munmap(which, number, skip, count)

    @rule(which=numbers, number=numbers, skip=numbers, count=numbers, prot=st.sampled_from(PROTS))
    def mprotect(self, which: int, number: int, skip: int, count: int, prot: Prot) -> None:
        self.made.mprotect(which, number, skip, count, prot)

    @rule(
        which=numbers, number=numbers, skip=numbers, count=numbers, advice=st.sampled_from(ADVICE)
    )
    def madvise(self, which: int, number: int, skip: int, count: int, advice: Madvise) -> None:
        self.made.madvise(which, number, skip, count, advice)

    @rule(which=numbers, number=numbers, skip=numbers)
    def store(self, which: int, number: int, skip: int) -> None:
        self.made.store(which, number, skip)

    @rule(which=numbers, number=numbers, skip=numbers)
    def load(self, which: int, number: int, skip: int) -> None:
        self.made.load(which, number, skip)

    @rule(which=numbers, number=numbers, skip=numbers, count=numbers, write=st.booleans())
    def touch(self, which: int, number: int, skip: int, count: int, write: bool) -> None:
        self.made.touch(which, number, skip, count, write=write)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "made"):
            self.made.check()

    def teardown(self) -> None:
        if hasattr(self, "made"):
            self.made.finish()


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(
    max_examples=max(6, STEPS // 800),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
