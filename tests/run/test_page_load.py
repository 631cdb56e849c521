"""The page allocator under load: every page is somebody's, once, and comes back."""

import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from memory_maps import ALL, mapped
from page_invariants import check, contents

from ttbr.run import Gfp, OutOfMemory, run
from ttbr.run.frames import Owner
from ttbr.run.gfp import (
    GFP_ATOMIC,
    GFP_DMA,
    GFP_HIGHUSER_MOVABLE,
    GFP_KERNEL,
    GFP_NOWAIT,
)
from ttbr.run.page_alloc import PageAllocator

STEPS = int(os.environ.get("TTBR_RUN_STEPS", "6000"))
"""Operations of the long runs over all boards: more than 100,000 when asked for."""
KINDS = {
    "kernel": GFP_KERNEL,
    "reclaimable": GFP_KERNEL | Gfp.RECLAIMABLE,
    "user": GFP_HIGHUSER_MOVABLE,
    "atomic": GFP_ATOMIC,
    "nowait": GFP_NOWAIT,
    "dma": GFP_KERNEL | GFP_DMA,
    "emergency": GFP_KERNEL | Gfp.MEMALLOC,
}
MOVABLE_OWNERS = {"user": Owner.ANON}


class Load:
    """Allocates and frees, and keeps its own account of what it has."""

    def __init__(self, pages: PageAllocator) -> None:
        self.pages = pages
        self.before = contents(pages)
        self.owned: dict[int, int] = {}
        self.many: list[np.ndarray] = []
        self.operations = self.failures = 0

    def allocate(self, order: int, kind: str, node: int | None = None) -> None:
        self.operations += 1
        try:
            pfn = self.pages.alloc_pages(min(order, self.pages.max_order), KINDS[kind], node)
        except OutOfMemory:
            self.failures += 1
            return
        order = min(order, self.pages.max_order)
        self.pages.frames.set_owner(pfn, MOVABLE_OWNERS.get(kind, Owner.KERNEL), order)
        assert pfn not in self.owned
        self.owned[pfn] = order

    def allocate_many(self, count: int, kind: str) -> None:
        self.operations += 1
        try:
            found = self.pages.alloc_bulk(count, KINDS[kind])
        except OutOfMemory:
            self.failures += 1
            return
        self.many.append(found)

    def free(self, index: int) -> None:
        if self.owned:
            self.operations += 1
            pfn = list(self.owned)[index % len(self.owned)]
            self.pages.free_pages(pfn, self.owned.pop(pfn))

    def free_many(self, index: int, shuffle: random.Random | None = None) -> None:
        if self.many:
            self.operations += 1
            pfns = self.many.pop(index % len(self.many))
            if shuffle is not None:
                pfns = np.array(shuffle.sample(pfns.tolist(), len(pfns)), np.uint64)
            self.pages.free_bulk(pfns)

    def check(self) -> None:
        singles = {pfn: 0 for pfns in self.many for pfn in pfns.tolist()}
        assert not singles.keys() & self.owned.keys()
        check(self.pages, singles | self.owned)

    def finish(self) -> None:
        """Free everything: what was there at first must be there again, merged as it was."""
        while self.owned:
            self.free(0)
        while self.many:
            self.free_many(0)
        self.check()
        if not any(zone.highatomic for zone in self.pages.zones):
            assert contents(self.pages) == self.before


@pytest.mark.parametrize("board", ALL)
def test_a_long_run(board: str, say) -> None:
    """Phases of growth and shrinking, to the last page, with all that allocations can ask for."""
    chance = random.Random(board)
    load = Load(run(mapped(board)).pages)
    nodes = [None, *{zone.node for zone in load.pages.zones}]
    share = STEPS // len(ALL) + 1
    kinds = list(KINDS)
    while load.operations < share:
        growing = chance.random()
        for _ in range(chance.randrange(share // 4 + 1)):
            if chance.random() < growing:
                order = int(chance.expovariate(0.6))
                load.allocate(order, chance.choice(kinds), chance.choice(nodes))
            else:
                load.free(chance.randrange(1 << 30))
        if chance.random() < growing:
            load.allocate_many(chance.randrange(load.pages.free // 2 + 1), chance.choice(kinds))
        else:
            load.free_many(chance.randrange(1 << 30), chance if chance.random() < 0.3 else None)
        load.check()
    # Until nothing is left for anybody.
    for kind in kinds:
        for order in (3, 0):
            failed = load.failures
            while load.failures == failed and load.pages.free:
                load.allocate_many(max(1, load.pages.free // 3), kind)
                load.allocate(order, kind)
    load.check()
    load.finish()
    say(f"{board}: {load.operations} operations, {load.failures} of them without memory for it")
    assert load.failures


class Allocations(RuleBasedStateMachine):
    """Small steps on a small machine, so that a failure is told in few."""

    @initialize(board=st.sampled_from(["arm64-small", "arm", "arm64-16k", "arm64-64k"]))
    def start(self, board: str) -> None:
        self.load = Load(run(mapped(board)).pages)

    @rule(order=st.integers(0, 13), kind=st.sampled_from(list(KINDS)))
    def allocate(self, order: int, kind: str) -> None:
        self.load.allocate(order, kind)

    @rule(share=st.floats(0, 1), kind=st.sampled_from(list(KINDS)))
    def allocate_many(self, share: float, kind: str) -> None:
        self.load.allocate_many(int(self.load.pages.free * share), kind)

    @rule(index=st.integers(0, 1000))
    def free(self, index: int) -> None:
        self.load.free(index)

    @rule(index=st.integers(0, 1000))
    def free_many(self, index: int) -> None:
        self.load.free_many(index)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "load"):
            self.load.check()

    def teardown(self) -> None:
        if hasattr(self, "load"):
            self.load.finish()


TestAllocations = Allocations.TestCase
TestAllocations.settings = settings(
    max_examples=max(8, STEPS // 800),
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
