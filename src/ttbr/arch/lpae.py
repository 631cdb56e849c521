"""ARMv7 long descriptors (LPAE): PL1&0 stage 1, 4K pages, 40-bit addresses."""

from ttbr.arch import long_format
from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.fields import Field, Layout, ignored, tile
from ttbr.arch.long_format import LAST_LEVEL, SH_VALUES, YES_NO, LevelLayouts, LongFormat
from ttbr.arch.memory_types import MAIR_V7, UNKNOWN_TYPE, long_shareability

SOURCE = "Arm ARM DDI 0406C, B3.6.1 Long-descriptor translation table format descriptors"
OUTPUT_BITS = 40
FIRST_LEVEL = 1
_PAGE_SHIFT, _STRIDE, _CONTIGUOUS = 12, 9, 16

_LEAF_FIELDS: tuple[Field, ...] = (
    ignored(63, 59),
    Field("XN", 54, 54, "not executable", YES_NO),
    Field("SH", 9, 8, "shareability", SH_VALUES),
    *long_format.SHARED_LEAF_FIELDS,
)
_TABLE_FIELDS: tuple[Field, ...] = (
    Field("XNTable", 60, 60, "nothing below is executable", YES_NO),
    ignored(58, 52),
    ignored(11, 2),
    *long_format.SHARED_TABLE_FIELDS,
)


def _layout(title: str, fields: tuple[Field, ...], lowest: int) -> Layout:
    top = OUTPUT_BITS - 1
    address = Field(f"PA[{top}:{lowest}]", top, lowest, "output address")
    return Layout(title, 64, tile(64, (*fields, address)), SOURCE, ((address.name, lowest),))


def _levels() -> dict[int, LevelLayouts]:
    levels = {}
    table = _layout("LPAE table", _TABLE_FIELDS, _PAGE_SHIFT)
    for level in range(FIRST_LEVEL, LAST_LEVEL + 1):
        shift = _PAGE_SHIFT + (LAST_LEVEL - level) * _STRIDE
        is_last = level == LAST_LEVEL
        name = f"LPAE level {level} {'page' if is_last else 'block'}"
        levels[level] = LevelLayouts(
            shift,
            None if is_last else table,
            _layout(name, _LEAF_FIELDS, shift),
            # the first level has four entries: no room for a range of sixteen
            _CONTIGUOUS if level > FIRST_LEVEL else 1,
        )
    return levels


class LpaeFormat(LongFormat):
    """ARMv7 long descriptors; ``LPAE`` is the only one there is."""

    def __init__(self) -> None:
        super().__init__("lpae", "LPAE", SOURCE, _levels())

    def attributes(self, bits: int, level: int, limits: int, controls: Controls) -> Attributes:
        """Effective attributes of a block or page (Arm ARM DDI 0406C, B3.7, B3.8.4)."""
        field = self.leaf_layout(level).decode(bits)
        non_secure = bool(field["NS"] or limits & long_format.NS_TABLE)
        if controls.hpd:
            limits = 0
        index = field["AttrIndx"]
        memory = UNKNOWN_TYPE if controls.mair is None else MAIR_V7[controls.mair[index]]
        write = not field["AP"] & 0b10 and not limits & long_format.AP_TABLE_READ_ONLY
        el0 = bool(field["AP"] & 0b01) and not limits & long_format.AP_TABLE_NO_EL0
        el0_write = el0 and write
        execute = not field["XN"] and not limits & long_format.XN_TABLE
        pxn = bool(field["PXN"] or limits & long_format.PXN_TABLE)
        return Attributes(
            memory=memory.memory,
            inner=memory.inner,
            outer=memory.outer,
            shareability=long_shareability(memory, field["SH"]),
            el0_read=el0,
            el0_write=el0_write,
            # B3.7.2: fetching needs read permission as well
            el0_execute=execute and el0 and not (controls.wxn and el0_write),
            el1_read=True,
            el1_write=write,
            el1_execute=execute
            and not pxn
            and not (controls.wxn and write)
            and not (controls.uwxn and el0_write),
            access_flag=bool(field["AF"]),
            dirty_managed=False,
            non_global=bool(field["nG"]),
            contiguous=bool(field["contiguous"]) and self.levels[level].contiguous > 1,
            guarded=False,
            non_secure=non_secure,
            domain=None,
            attr_index=index,
            software=field["software"],
        )


LPAE = LpaeFormat()
