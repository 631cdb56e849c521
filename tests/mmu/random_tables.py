"""Random translation tables in a small RAM, for every format: what the properties are about."""

from dataclasses import dataclass

from hypothesis import strategies as st

from ttbr.arch.regime import Level, make_regime
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.writer import TableWriter

# (name of the format, address bits, upper half): every granule and form, small roots, odd levels.
REGIMES = [
    ("arm64-4k", 48, True),
    ("arm64-4k", 39, True),
    ("arm64-4k", 36, False),
    ("arm64-16k", 48, True),
    ("arm64-16k", 47, True),
    ("arm64-16k", 36, False),
    ("arm64-64k", 48, True),
    ("arm64-64k", 42, True),
    ("arm64-4k-lpa2", 52, True),
    ("arm64-16k-lpa2", 52, True),
    ("arm64-64k-lpa", 52, True),
    ("arm64-4k-stage2", 40, False),  # two tables concatenated at the root
    ("arm64-4k-stage2", 36, False),
    ("arm64-16k-stage2", 48, False),
    ("arm64-64k-stage2", 40, False),
    ("arm64-4k-lpa2-stage2", 52, False),  # sixteen
    ("arm64-4k-el2", 48, False),
    ("arm64-64k-lpa-el2", 52, False),
    ("lpae", 32, False),
    ("lpae", 30, False),
    ("short", 32, False),
    ("short", 29, False),
]
BASE = 0x4000_0000
SLOTS = 6


@dataclass(frozen=True)
class Tables:
    """An address space over ``SLOTS`` tables, and addresses likely to be mapped in it."""

    space: AddressSpace
    vas: list[int]


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Tables that name each other (and themselves), leaves, reserved and invalid entries."""
    name, bits, upper = draw(st.sampled_from(REGIMES))
    regime = make_regime(name, va_bits=bits, upper=upper)
    fmt = regime.format
    slot = max(level.entries for level in regime.levels) * fmt.entry_size
    # The last table is cut by the end of memory, as in a truncated dump.
    ram = Ram([Bank(BASE, slot * (SLOTS - 1) + slot // 2)])
    writer = TableWriter(ram, fmt.entry_size)
    width = 8 * fmt.entry_size
    pool = sorted({*draw(st.lists(st.integers(0, slot // fmt.entry_size - 1), max_size=1)), 0, 1})
    # Addresses: of our tables, of leaves anywhere, beyond memory; types: all four.
    words = st.one_of(
        st.builds(
            lambda to, low, high: BASE + to * slot | low | high << width - 5,
            st.integers(0, SLOTS - 1),
            st.sampled_from([1, 3, 3, 3]),
            st.integers(0, 31) if width == 64 else st.just(0),
        ),
        st.integers(0, (1 << width) - 1),
        st.builds(
            lambda address, low: address | low,
            st.integers(0, (1 << min(width, 48)) - 1).map(lambda a: a & -0x1000),
            st.sampled_from([0x401, 0x403, 0x402, 0x40401]),
        ),
    )
    for table in range(SLOTS - 1):
        for index in pool:
            writer.write(BASE + table * slot, index, draw(words))
    vas = draw(st.lists(addresses(regime.levels, pool, regime.base), min_size=1, max_size=12))
    vas += draw(st.lists(st.integers(0, (1 << (64 if name[:3] == "arm" else 32)) - 1), max_size=3))
    return Tables(AddressSpace(regime, BASE, ram), vas)


def addresses(levels: tuple[Level, ...], pool: list[int], base: int) -> st.SearchStrategy[int]:
    """Addresses whose indices are those that the tables have entries at."""
    parts = [
        st.sampled_from([index % level.entries for index in pool]).map(
            lambda index, shift=level.shift: index << shift
        )
        for level in levels
    ]
    offset = st.integers(0, (1 << levels[-1].shift) - 1)
    return st.tuples(*parts, offset).map(lambda chosen: base + sum(chosen))
