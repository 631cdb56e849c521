"""VMSAv8-64 stage 2 descriptors: from a guest's physical addresses to the machine's."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ttbr.arch import long_format
from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.fields import Field, ignored
from ttbr.arch.long_format import YES_NO, LongFormat
from ttbr.arch.memory_types import RESERVED_TYPE, STAGE_2, STAGE_2_FORCED, long_shareability
from ttbr.arch.vmsav8_64 import Output, format_title, level_layouts

SOURCE: Final = "Arm ARM DDI 0487, D8.3.1 VMSAv8-64 descriptor formats, stage 2"

_S2AP: Final[Mapping[int, str]] = {
    0b00: "no data access",
    0b01: "read",
    0b10: "write",
    0b11: "read and write",
}
_XN: Final[Mapping[int, str]] = {
    0b00: "executable at EL1 and EL0",
    0b01: "executable at EL0 only (without FEAT_XNX at EL1, too)",
    0b10: "not executable",
    0b11: "executable at EL1 only (without FEAT_XNX not at all)",
}

_LEAF_FIELDS: Final = (
    Field("AssuredOnly", 63, 63, "assured translation is required (FEAT_THE); else ignored"),
    Field("PBHA", 62, 59, "page-based hardware attributes; else ignored"),
    Field("software", 58, 55, "left to software (bit 55: NS in Realm state)"),
    Field("XN", 54, 53, "execute-never XN[1:0]", _XN),
    Field("contiguous", 52, 52, "one of a range of contiguous entries", YES_NO),
    Field("DBM", 51, 51, "dirty state managed: S2AP[1] is a dirty flag", YES_NO),
    Field("FnXS", 11, 11, "the XS attribute is cleared (FEAT_XS)", YES_NO),
    Field("AF", 10, 10, "access flag", YES_NO),
    Field("S2AP", 7, 6, "data access permissions", _S2AP),
    Field("MemAttr", 5, 2, "memory type (with HCR_EL2.FWB of another meaning)"),
    long_format.TYPE,
)
_TABLE_FIELDS: Final = (ignored(63, 51), long_format.TYPE)

_WRITE, _READ = 0b10, 0b01
"""Bits of S2AP."""
_EXECUTE: Final[Mapping[int, tuple[bool, bool]]] = {
    0b00: (True, True),
    0b01: (False, True),
    0b10: (False, False),
    0b11: (True, False),
}
"""XN[1:0] with FEAT_XNX → execution at EL1 and at EL0 (DDI 0487, D8.4)."""


class Stage2Format(LongFormat):
    """Stage 2 descriptors of one granule and output address form; get one with ``stage2``.

    Permissions are those that stage 2 allows to EL1 and EL0, whatever stage 1 says. Tables limit
    nothing below them. ``granule`` is in bytes.
    """

    limit_bits = 0

    def __init__(self, granule: int, output: Output) -> None:
        title = format_title("stage 2 ", granule, output)
        levels = level_layouts(
            title, granule, output, leaf=_LEAF_FIELDS, table=_TABLE_FIELDS, source=SOURCE
        )
        super().__init__("vmsav8-64-stage2", title, SOURCE, levels)
        self.granule = granule
        self.output = output

    def attributes(self, bits: int, level: int, limits: int, controls: Controls) -> Attributes:
        """What a block or page allows (Arm ARM DDI 0487, D8.4, D8.6); it has no ``limits``."""
        del limits  # of the protocol; stage 2 tables have none
        field = self.leaf_layout(level).decode(bits)
        # With dirty state in hardware a clean page is one that may become writable
        clean = bool(field["DBM"]) and controls.hd
        read = bool(field["S2AP"] & _READ)
        write = bool(field["S2AP"] & _WRITE) or clean
        never = field["XN"] if controls.xnx else field["XN"] & 0b10
        el1_execute, el0_execute = _EXECUTE[never]
        types = STAGE_2_FORCED if controls.fwb else STAGE_2
        memory = types.get(field["MemAttr"], RESERVED_TYPE)
        return Attributes(
            memory=memory.memory,
            inner=memory.inner,
            outer=memory.outer,
            shareability=long_shareability(memory, field.get("SH", controls.shareability)),
            el0_read=read,
            el0_write=write,
            el0_execute=el0_execute,
            el1_read=read,
            el1_write=write,
            el1_execute=el1_execute,
            access_flag=bool(field["AF"]),
            dirty_managed=bool(field["DBM"]),
            non_global=False,
            contiguous=bool(field["contiguous"]) and self.levels[level].contiguous > 1,
            guarded=False,
            non_secure=False,
            domain=None,
            attr_index=field["MemAttr"],
            software=field["software"],
        )


@lru_cache
def stage2(granule: int, output: Output = Output.BITS_48) -> Stage2Format:
    """The format of ``granule`` bytes; ValueError where it has no such address form."""
    return Stage2Format(granule, output)
