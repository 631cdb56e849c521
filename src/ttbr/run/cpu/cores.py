"""The TLBs of Arm's cores, as their technical reference manuals describe them.

Sizes are those of translations that a TLB can hold as one entry. A block or a contiguous range that
is larger than the largest of them is held in pieces of that size; one between two sizes in pieces
of the smaller. The manuals say little about replacement: all TLBs here replace the least recently
used entry of a set, which is deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ttbr.kernel.cpu import Cpu

K, M, G = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class TlbShape:
    """One TLB: ``entries`` in sets of ``ways`` (all of them: fully associative).

    ``sizes``: bytes of the translations that one entry can hold, ascending.
    """

    entries: int
    ways: int
    sizes: tuple[int, ...]

    @property
    def sets(self) -> int:
        """How many sets there are."""
        return self.entries // self.ways

    @property
    def reach(self) -> int:
        """Bytes that the TLB covers when it is full of its smallest entries."""
        return self.entries * self.sizes[0]


@dataclass(frozen=True, slots=True)
class CoreTlbs:
    """The TLBs of a core: one each for fetches and for data, and a second level behind both.

    ``walk_cache``: entries of the cache that keeps where last-level tables are (4 ways where the
    manuals give figures); 0 where they give none, and then it is not modelled. ``flushed``: every
    maintenance operation empties the first level. ``source``: the manual. ``unpublished``: what it
    does not say, and what is taken instead.
    """

    name: str
    instruction: TlbShape
    data: TlbShape
    main: TlbShape
    walk_cache: int = 0
    flushed: bool = False
    source: str = ""
    unpublished: str = ""


def _full(entries: int, *sizes: int) -> TlbShape:
    """A fully associative TLB."""
    return TlbShape(entries, entries, sizes)


_V7 = (4 * K, 64 * K, 1 * M, 16 * M)
_V7_LPAE = (4 * K, 64 * K, 1 * M, 2 * M, 16 * M, 1 * G)
_A53 = (4 * K, 64 * K, 1 * M, 2 * M, 16 * M, 512 * M)
_A55 = (4 * K, 16 * K, 64 * K, 1 * M, 2 * M, 16 * M, 32 * M, 512 * M)
_A72_L1 = (4 * K, 64 * K, 1 * M)
_A72_L2 = (4 * K, 64 * K, 1 * M, 2 * M, 16 * M, 512 * M, 1 * G)
_A76_I = (4 * K, 16 * K, 64 * K, 2 * M, 32 * M)
_A76_D = (4 * K, 16 * K, 64 * K, 2 * M, 512 * M)
_A76_L2 = (4 * K, 16 * K, 64 * K, 2 * M, 32 * M, 512 * M, 1 * G)

_REPORTED = "the figures are those commonly reported, not held against the manual"
_NO_WALK_CACHE = "figures of the intermediate walk caches: not modelled"
_SIZES = "the sizes that entries can have: taken to be those of Cortex-A76"
_MICRO_SIZES = "the sizes of micro TLB entries: taken to be the main TLB's"

CORE_TLBS: tuple[CoreTlbs, ...] = (
    CoreTlbs(
        "Cortex-A5",
        _full(10, *_V7),
        _full(10, *_V7),
        TlbShape(128, 2, _V7),
        source="6.3 of the Cortex-A5's manual",
        unpublished=f"{_NO_WALK_CACHE}; {_MICRO_SIZES}",
    ),
    CoreTlbs(
        "Cortex-A7",
        _full(10, *_V7_LPAE),
        _full(10, *_V7_LPAE),
        TlbShape(256, 2, _V7_LPAE),
        walk_cache=64,
        flushed=True,
        source="DDI 0464, 5.2 and 5.3",
        unpublished=f"the entries of the walk cache: taken to be Cortex-A53's; {_MICRO_SIZES}",
    ),
    CoreTlbs(
        "Cortex-A9",
        _full(32, *_V7),
        _full(32, *_V7),
        TlbShape(128, 2, _V7),
        source="DDI 0388, 6.2 and TLBTR (4.3.2)",
        unpublished="the main TLB has 64 to 512 entries, and the instruction micro TLB 32 or 64, "
        "as it was built: taken are 128 and 32, without the four that can be locked",
    ),
    CoreTlbs(
        "Cortex-A15",
        _full(32, 4 * K),
        _full(32, 4 * K),
        TlbShape(512, 4, _V7_LPAE),
        source="DDI 0438, 5.1 and 5.2",
        unpublished=f"{_NO_WALK_CACHE}; loads and stores have 32 data entries each: one TLB here",
    ),
    CoreTlbs(
        "Cortex-A17",
        _full(32, 4 * K, 1 * M),
        _full(32, 4 * K, 1 * M),
        TlbShape(1024, 4, _V7_LPAE),
        source="5.2 of the Cortex-A17's manual",
        unpublished=f"{_NO_WALK_CACHE}; the instruction TLB has 32, 48 or 64 entries as it was "
        "built: taken are 32",
    ),
    CoreTlbs(
        "Cortex-A35",
        _full(10, *_A53),
        _full(10, *_A53),
        TlbShape(512, 2, _A53),
        walk_cache=64,
        flushed=True,
        source="100236, A6.2",
        unpublished=f"the entries of the walk cache: taken to be Cortex-A53's; {_MICRO_SIZES}",
    ),
    CoreTlbs(
        "Cortex-A53",
        _full(10, *_A53),
        _full(10, *_A53),
        TlbShape(512, 4, _A53),
        walk_cache=64,
        flushed=True,
        source="DDI 0500, 5.1 and 5.2 (blocks of 1 GiB are held as 512 MiB)",
        unpublished=_MICRO_SIZES,
    ),
    CoreTlbs(
        "Cortex-A55",
        _full(15, *_A55),
        _full(16, *_A55),
        TlbShape(1024, 4, _A55),
        walk_cache=64,
        flushed=True,
        source="100442, A5.2 and A6.6",
        unpublished="the sizes that entries can have: taken to be all block sizes up to 512 MiB",
    ),
    CoreTlbs(
        "Cortex-A57",
        _full(48, *_A72_L1),
        _full(32, *_A72_L1),
        TlbShape(1024, 4, _A72_L2),
        source="DDI 0488, 5.1 and 5.2",
        unpublished=_NO_WALK_CACHE,
    ),
    CoreTlbs(
        "Cortex-A72",
        _full(48, *_A72_L1),
        _full(32, *_A72_L1),
        TlbShape(1024, 4, _A72_L2),
        source="100095, 5.2",
        unpublished=_NO_WALK_CACHE,
    ),
    CoreTlbs(
        "Cortex-A76",
        _full(48, *_A76_I),
        _full(48, *_A76_D),
        TlbShape(1280, 5, _A76_L2),
        source="100798, A5.2",
        unpublished=f"{_NO_WALK_CACHE}; entries that coalesce four pages are not modelled, either",
    ),
    CoreTlbs(
        "Neoverse-N1",
        _full(48, *_A76_I),
        _full(48, *_A76_D),
        TlbShape(1280, 5, _A76_L2),
        source="100616, A5.2",
        unpublished=f"{_REPORTED}; {_NO_WALK_CACHE}; {_SIZES}",
    ),
    CoreTlbs(
        "Neoverse-V1",
        _full(48, *_A76_I),
        _full(40, *_A76_D),
        TlbShape(2048, 4, _A76_L2),
        source="101427, A5.2",
        unpublished=f"{_REPORTED}; {_NO_WALK_CACHE}; {_SIZES}",
    ),
    CoreTlbs(
        "Neoverse-N2",
        _full(48, *_A76_I),
        _full(44, *_A76_D),
        TlbShape(1280, 5, _A76_L2),
        source="102099, MMU",
        unpublished=f"{_REPORTED}; {_NO_WALK_CACHE}; {_SIZES}",
    ),
)
"""The cores whose TLBs are known."""

TLBS: Mapping[str, CoreTlbs] = {core.name: core for core in CORE_TLBS}
"""The same by the core's name."""

ALIKE: Mapping[str, str] = {
    "Cortex-A8": "Cortex-A9",
    "Cortex-A12": "Cortex-A17",
    "Cortex-A32": "Cortex-A35",
    "Cortex-A73": "Cortex-A72",
    "Cortex-A75": "Cortex-A76",
    "Cortex-A77": "Cortex-A76",
    "Cortex-A78": "Cortex-A76",
    "Cortex-X1": "Cortex-A76",
    "Cortex-A710": "Neoverse-N2",
}
"""Cores whose figures are not in the table, and the one whose are taken."""

DEFAULT = "Cortex-A72"


def core_tlbs(cpu: Cpu) -> tuple[CoreTlbs, str | None]:
    """The TLBs of a core, and the assumption where they are those of another one."""
    name = cpu.name
    if name in TLBS:
        return TLBS[name], None
    other = ALIKE.get(name, "Cortex-A9" if not cpu.runs("arm64") else DEFAULT)
    return TLBS[other], f"the TLBs of {name} are taken to be those of {other}"
