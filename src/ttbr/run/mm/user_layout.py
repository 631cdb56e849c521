"""Where things are in a process's address space, before anything is mapped.

What Linux randomises is unknown unless it was observed (`Placement`) or a seed is given; without
either a process is laid out as with norandmaps. 32-bit ARM places its signal page at random in
any case: without a seed it is right above the stack here.

Source: arch/arm64/include/asm/{processor,elf}.h, arch/arm/include/asm/{memory,processor}.h,
arch/arm/kernel/process.c (sigpage_addr), mm/util.c (mmap_base, arch_pick_mmap_layout,
randomize_stack_top), fs/binfmt_elf.c, fs/exec.c (setup_arg_pages).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.state import Arm64
from ttbr.run.mm.vma import STACK_GUARD_PAGES

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

MIN_GAP = 128 << 20
STACK_RLIMIT = 8 << 20
"""RLIMIT_STACK, soft (_STK_LIM)."""
STACK_EXPAND = 128 << 10
"""How much more than it needs a stack's area has at first (setup_arg_pages)."""
FIRST_USER_PAGES_ARM = 2


@dataclass(frozen=True, slots=True)
class UserLayout:
    """The bounds of user space; addresses and sizes in bytes, ends exclusive.

    ``task_size``: the end of it. ``window``: the end for who does not ask for more by a hint
    (DEFAULT_MAP_WINDOW). ``stack_top``: STACK_TOP. ``min_addr``: mmap_min_addr. ``first``:
    FIRST_USER_ADDRESS. ``ceiling``: USER_PGTABLES_CEILING, 0 for none. ``unmapped_base``:
    TASK_UNMAPPED_BASE. ``program``: where static programs are linked. ``rnd_bits``,
    ``stack_rnd_mask``: of randomisation, in pages. ``brk_range``: of the heap's, in bytes.
    """

    page_size: int
    task_size: int
    window: int
    stack_top: int
    min_addr: int
    first: int
    ceiling: int
    unmapped_base: int
    program: int
    rnd_bits: int
    stack_rnd_mask: int
    brk_range: int

    @property
    def guard(self) -> int:
        """stack_guard_gap in bytes."""
        return STACK_GUARD_PAGES * self.page_size

    def page_align(self, value: int) -> int:
        """Up to the next page."""
        return -(-value // self.page_size) * self.page_size

    def map_end(self, hint: int) -> int:
        """``arch_get_mmap_end``: how far up a mapping may go that is asked for at ``hint``."""
        return self.task_size if hint > self.window else self.window

    def map_base(self, hint: int, base: int) -> int:
        """``arch_get_mmap_base``: where to look downwards from."""
        return base + self.task_size - self.window if hint > self.window else base


def user_layout(machine: Machine) -> UserLayout:
    """The bounds of user space of a machine that has booted."""
    kernel = machine.kernel
    config, page = kernel.config, kernel.page_size
    minimum = max(
        config.integer("DEFAULT_MMAP_MIN_ADDR", 4096), config.integer("LSM_MMAP_MIN_ADDR", 0)
    )
    state = machine.arch_state
    if isinstance(state, Arm64):
        layout = state.layout
        task_size = 1 << layout.va_bits_actual
        window = 1 << min(layout.va_bits_min, layout.va_bits_actual)
        return UserLayout(
            page_size=page,
            task_size=task_size,
            window=window,
            stack_top=window,
            min_addr=minimum,
            first=0,
            ceiling=0,
            unmapped_base=-(-(window // 4) // page) * page,
            program=0x40_0000,
            rnd_bits=config.integer("ARCH_MMAP_RND_BITS", 18),
            stack_rnd_mask=0x3_FFFF * 4096 // page,
            brk_range=1 << 30,
        )
    assert isinstance(state, ArmBoot)
    task_size = state.layout.task_size
    align = 16 << 20
    return UserLayout(
        page_size=page,
        task_size=task_size,
        window=task_size,
        stack_top=task_size,
        min_addr=minimum,
        first=FIRST_USER_PAGES_ARM * page,
        ceiling=task_size if state.layout.lpae else 0,
        unmapped_base=-(-(task_size // 3) // align) * align,
        program=0x1_0000,
        rnd_bits=config.integer("ARCH_MMAP_RND_BITS", 8),
        stack_rnd_mask=0x7FF,
        brk_range=32 << 20,
    )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where randomised things of a process were seen; None for what is not known.

    ``mmap_base``: the top of mappings. ``stack_end``: the end of the stack's area. ``brk``: the
    start of the heap. ``sigpage``: of 32-bit ARM's signal page.
    """

    mmap_base: int | None = None
    stack_end: int | None = None
    brk: int | None = None
    sigpage: int | None = None


@dataclass(slots=True)
class Randomness:
    """get_random_long() of a process, or its absence: without a seed nothing is random."""

    seed: int | None = None
    _source: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._source = random.Random(self.seed)

    @property
    def active(self) -> bool:
        """PF_RANDOMIZE."""
        return self.seed is not None

    def below(self, limit: int) -> int:
        """A number in [0, limit); 0 without a seed."""
        return self._source.randrange(limit) if self.active and limit > 0 else 0


def stack_end(layout: UserLayout, rng: Randomness) -> int:
    """``randomize_stack_top`` and ``arch_align_stack``: where the stack's area ends."""
    pages = rng.below(layout.stack_rnd_mask + 1)
    return layout.stack_top - pages * layout.page_size


def mmap_base(layout: UserLayout, rng: Randomness, rlimit: int = STACK_RLIMIT) -> int:
    """``mmap_base``: below it mappings are made, downwards; ``rlimit``: of the stack, bytes."""
    pad = layout.guard + (layout.stack_rnd_mask * layout.page_size if rng.active else 0)
    gap = min(max(rlimit + pad, MIN_GAP), layout.stack_top // 6 * 5)
    random_bytes = rng.below(1 << layout.rnd_bits) * layout.page_size
    return layout.page_align(layout.stack_top - gap - random_bytes)


def heap_start(layout: UserLayout, rng: Randomness, end_of_bss: int) -> int:
    """Where the heap begins behind a program that ends at ``end_of_bss``."""
    start = layout.page_align(end_of_bss)
    if not rng.active:
        return start
    start += layout.page_size
    return start + rng.below(layout.brk_range // layout.page_size) * layout.page_size


def sigpage_hint(layout: UserLayout, rng: Randomness, stack: int, pages: int) -> int:
    """``sigpage_addr`` of 32-bit ARM; ``stack``: start_stack. 0 where there is no room above it."""
    first = layout.page_align(stack)
    last = layout.task_size - pages * layout.page_size
    if first > last:
        return 0
    slots = (last - first) // layout.page_size + 1
    return first + rng.below(slots) * layout.page_size
