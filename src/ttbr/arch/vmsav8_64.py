"""VMSAv8-64 stage 1 descriptors: 4K, 16K and 64K granules; 48-bit, LPA and LPA2 addresses."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from ttbr.arch import long_format
from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.fields import Field, Layout, ignored, tile
from ttbr.arch.long_format import LAST_LEVEL, SH_VALUES, YES_NO, LevelLayouts, LongFormat
from ttbr.arch.memory_types import MAIR_V8, UNKNOWN_TYPE, long_shareability

SOURCE = "Arm ARM DDI 0487, D8.3.1 VMSAv8-64 descriptor formats"


class Output(Enum):
    """How descriptors hold an output address (Arm ARM DDI 0487, D8.3.1)."""

    BITS_48 = "48"
    """PA[47:0] in place."""
    LPA = "lpa"
    """64K granule: PA[51:48] in bits 15:12."""
    LPA2 = "lpa2"
    """4K and 16K granules: PA[49:0] in place, PA[51:50] in bits 9:8 instead of SH."""

    @property
    def bits(self) -> int:
        """The width of a physical address."""
        return 48 if self is Output.BITS_48 else 52


@dataclass(frozen=True, slots=True)
class Granule:
    """A translation granule: what the architecture allows with it.

    ``shift`` is log2 of its bytes; ``block_levels`` and ``block_levels_52`` the levels at which
    blocks exist with 48- and 52-bit addresses; ``contiguous`` the entries in a contiguous range by
    level (Arm ARM DDI 0487, D8.2, D8.3, D8.7); ``wide`` its 52-bit address form.
    """

    shift: int
    block_levels: tuple[int, ...]
    block_levels_52: tuple[int, ...]
    contiguous: Mapping[int, int]
    wide: Output

    @property
    def stride(self) -> int:
        """Address bits that a full table resolves."""
        return self.shift - 3

    def start_level(self, input_bits: int) -> int:
        """The level of the root table for ``input_bits`` of address (DDI 0487, D8.2)."""
        return LAST_LEVEL - (input_bits - 1 - self.shift) // self.stride


GRANULES: Mapping[int, Granule] = {
    0x1000: Granule(12, (1, 2), (0, 1, 2), {1: 16, 2: 16, 3: 16}, Output.LPA2),
    0x4000: Granule(14, (2,), (1, 2), {2: 32, 3: 128}, Output.LPA2),
    0x10000: Granule(16, (2,), (1, 2), {2: 32, 3: 32}, Output.LPA),
}
"""Granules by size in bytes."""

_LEAF_FIELDS: tuple[Field, ...] = (
    ignored(63, 63),
    Field("PBHA", 62, 59, "page-based hardware attributes; else ignored"),
    Field("UXN", 54, 54, "EL0 may not execute", YES_NO),
    Field("DBM", 51, 51, "dirty state managed: AP[2] is a clean flag", YES_NO),
    Field("GP", 50, 50, "guarded page (BTI)", YES_NO),
    *long_format.SHARED_LEAF_FIELDS,
)
_SH = Field("SH", 9, 8, "shareability", SH_VALUES)
_NT = Field("nT", 16, 16, "block being changed: do not cache (BBM level 1)", YES_NO)

_TABLE_FIELDS: tuple[Field, ...] = (
    Field("UXNTable", 60, 60, "nothing below is executable at EL0", YES_NO),
    ignored(58, 51),
    *long_format.SHARED_TABLE_FIELDS,
)

_WIDE_PIECE: Mapping[Output, tuple[Field, int] | None] = {
    Output.BITS_48: None,
    Output.LPA: (Field("PA[51:48]", 15, 12, "output address, bits 51:48"), 48),
    Output.LPA2: (Field("PA[51:50]", 9, 8, "output address, bits 51:50"), 50),
}
"""The address bits that are not in place, with the lowest address bit they hold."""

_TOP_IN_PLACE: Mapping[Output, int] = {Output.BITS_48: 47, Output.LPA: 47, Output.LPA2: 49}
"""The highest address bit that is in place."""


def _address_fields(lowest: int, output: Output) -> dict[Field, int]:
    """The fields of an address whose bits below ``lowest`` are zero, with their address bits."""
    top = _TOP_IN_PLACE[output]
    fields = {Field(f"PA[{top}:{lowest}]", top, lowest, "output address"): lowest}
    wide = _WIDE_PIECE[output]
    return fields | ({wide[0]: wide[1]} if wide else {})


def _layout(
    title: str, fields: tuple[Field, ...], address: dict[Field, int], source: str
) -> Layout:
    pieces = tuple((field.name, lowest) for field, lowest in address.items())
    return Layout(title, 64, tile(64, (*fields, *address)), source, pieces)


def _leaf(
    title: str, own: tuple[Field, ...], shift: int, level: int, output: Output, source: str
) -> Layout:
    """The field table of a leaf that maps ``1 << shift`` bytes and has ``own`` fields."""
    fields = own
    if output is not Output.LPA2:
        fields = (*fields, _SH)
    if level != LAST_LEVEL:
        fields = (*fields, _NT)
    kind = "page" if level == LAST_LEVEL else "block"
    return _layout(f"{title} level {level} {kind}", fields, _address_fields(shift, output), source)


def _table(
    title: str, own: tuple[Field, ...], granule: Granule, output: Output, source: str
) -> Layout:
    """The field table of table descriptors with ``own`` fields, which every level shares."""
    low_ignored = (ignored(11, 10), ignored(7, 2)) if output is Output.LPA2 else (ignored(11, 2),)
    address = _address_fields(granule.shift, output)
    return _layout(f"{title} table", (*own, *low_ignored), address, source)


def format_title(name: str, granule: int, output: Output) -> str:
    """What the field tables of a form are called; ValueError if the granule does not have it."""
    if output not in (Output.BITS_48, GRANULES[granule].wide):
        raise ValueError(f"a granule of {granule:#x} bytes has no {output.value} addresses")
    suffix = "" if output is Output.BITS_48 else f" {output.name}"
    return f"VMSAv8-64 {name}{granule >> 10}K{suffix}"


def level_layouts(
    title: str,
    granule: int,
    output: Output,
    *,
    leaf: tuple[Field, ...],
    table: tuple[Field, ...],
    source: str,
) -> dict[int, LevelLayouts]:
    """The field tables of all levels of a granule, made of what its leaves and tables have.

    Addresses, the shareability and nT come on top: all kinds of descriptors have them alike.
    """
    facts = GRANULES[granule]
    blocks = facts.block_levels if output is Output.BITS_48 else facts.block_levels_52
    of_tables = _table(title, table, facts, output, source)
    levels = {}
    for level in range(facts.start_level(output.bits), LAST_LEVEL + 1):
        shift = facts.shift + (LAST_LEVEL - level) * facts.stride
        is_leaf = level == LAST_LEVEL or level in blocks
        levels[level] = LevelLayouts(
            shift,
            of_tables if level < LAST_LEVEL else None,
            _leaf(title, leaf, shift, level, output, source) if is_leaf else None,
            facts.contiguous.get(level, 1),
        )
    return levels


class VmsaV8Format(LongFormat):
    """VMSAv8-64 stage 1 descriptors of one granule and output address form.

    Get one with ``vmsav8_64``. ``granule`` is in bytes.
    """

    def __init__(self, granule: int, output: Output) -> None:
        title = format_title("", granule, output)
        levels = level_layouts(
            title, granule, output, leaf=_LEAF_FIELDS, table=_TABLE_FIELDS, source=SOURCE
        )
        super().__init__("vmsav8-64", title, SOURCE, levels)
        self.granule = granule
        self.output = output

    def attributes(self, bits: int, level: int, limits: int, controls: Controls) -> Attributes:
        """Effective attributes of a block or page (Arm ARM DDI 0487, D8.4, D8.6).

        ``limits`` are the OR of ``limits()`` of the tables above, ignored with HPD.
        """
        field = self.leaf_layout(level).decode(bits)
        non_secure = bool(field["NS"] or limits & long_format.NS_TABLE)
        if controls.hpd:
            limits = 0
        # AP[2] of a page whose dirty state the hardware manages means clean, not read-only
        clean = bool(field["DBM"]) and controls.hd
        read_only = field["AP"] & 0b10 and not clean
        write = not read_only and not limits & long_format.AP_TABLE_READ_ONLY
        el0 = bool(field["AP"] & 0b01) and not limits & long_format.AP_TABLE_NO_EL0
        el0_write = el0 and write
        pxn = bool(field["PXN"] or limits & long_format.PXN_TABLE)
        uxn = bool(field["UXN"] or limits & long_format.XN_TABLE)
        index = field["AttrIndx"]
        memory = UNKNOWN_TYPE if controls.mair is None else MAIR_V8[controls.mair[index]]
        return Attributes(
            memory=memory.memory,
            inner=memory.inner,
            outer=memory.outer,
            shareability=long_shareability(memory, field.get("SH", controls.shareability)),
            el0_read=el0,
            el0_write=el0_write,
            el0_execute=not uxn and not (controls.wxn and el0_write),
            el1_read=True,
            el1_write=write,
            # D8.4: what EL0 can write is never executable at EL1
            el1_execute=not pxn and not el0_write and not (controls.wxn and write),
            access_flag=bool(field["AF"]),
            dirty_managed=bool(field["DBM"]),
            non_global=bool(field["nG"]),
            contiguous=bool(field["contiguous"]) and self.levels[level].contiguous > 1,
            guarded=bool(field["GP"]),
            non_secure=non_secure,
            domain=None,
            attr_index=index,
            software=field["software"],
            exception_levels=controls.exception_levels,
        )


@lru_cache
def vmsav8_64(granule: int, output: Output = Output.BITS_48) -> VmsaV8Format:
    """The format of ``granule`` bytes; ValueError where it has no such address form."""
    return VmsaV8Format(granule, output)
