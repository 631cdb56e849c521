"""VMSAv8-64 stage 1 descriptors of EL2 and EL3: regimes of a single exception level."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ttbr.arch import long_format
from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.fields import Field, ignored, res0
from ttbr.arch.long_format import YES_NO, LongFormat
from ttbr.arch.memory_types import MAIR_V8, UNKNOWN_TYPE, long_shareability
from ttbr.arch.vmsav8_64 import SOURCE, Output, format_title, level_layouts

_READ_ONLY: Final[Mapping[int, str]] = {0: "read and write", 1: "read only"}

_LEAF_FIELDS: Final = (
    ignored(63, 63),
    Field("PBHA", 62, 59, "page-based hardware attributes; else ignored"),
    Field("software", 58, 55, "left to software"),
    Field("XN", 54, 54, "not executable", YES_NO),
    res0(53, 53),
    Field("contiguous", 52, 52, "one of a range of contiguous entries", YES_NO),
    Field("DBM", 51, 51, "dirty state managed: AP[2] is a clean flag", YES_NO),
    Field("GP", 50, 50, "guarded page (BTI)", YES_NO),
    Field("NSE", 11, 11, "output address space, with NS (EL3 with FEAT_RME; else zero)", YES_NO),
    Field("AF", 10, 10, "access flag", YES_NO),
    Field("AP2", 7, 7, "access permissions AP[2]", _READ_ONLY),
    Field("AP1", 6, 6, "access permissions AP[1]: one, for there is no EL0"),
    Field("NS", 5, 5, "output address is non-secure (in Secure state)", YES_NO),
    Field("AttrIndx", 4, 2, "index into MAIR"),
    long_format.TYPE,
)
_TABLE_FIELDS: Final = (
    Field("NSTable", 63, 63, "everything below is non-secure (in Secure state)", YES_NO),
    Field("APTable[1]", 62, 62, "no writes below", YES_NO),
    res0(61, 61),
    Field("XNTable", 60, 60, "nothing below is executable", YES_NO),
    res0(59, 59),
    ignored(58, 51),
    long_format.TYPE,
)


class SingleLevelFormat(LongFormat):
    """Stage 1 descriptors of EL2 (without VHE) and EL3; get one with ``el2_el3``.

    There is no EL0 in these regimes: one bit forbids execution, one bit writing, and nothing is
    told apart by ASID (Arm ARM DDI 0487, D8.4). ``granule`` is in bytes.
    """

    limit_bits = long_format.XN_TABLE | long_format.AP_TABLE_READ_ONLY | long_format.NS_TABLE

    def __init__(self, granule: int, output: Output) -> None:
        title = format_title("EL2/EL3 ", granule, output)
        levels = level_layouts(
            title, granule, output, leaf=_LEAF_FIELDS, table=_TABLE_FIELDS, source=SOURCE
        )
        super().__init__("vmsav8-64", title, SOURCE, levels)
        self.granule = granule
        self.output = output

    def attributes(self, bits: int, level: int, limits: int, controls: Controls) -> Attributes:
        """Effective attributes of a block or page (Arm ARM DDI 0487, D8.4, D8.6)."""
        field = self.leaf_layout(level).decode(bits)
        non_secure = bool(field["NS"] or limits & long_format.NS_TABLE)
        if controls.hpd:
            limits = 0
        clean = bool(field["DBM"]) and controls.hd
        read_only = bool(field["AP2"]) and not clean
        write = not read_only and not limits & long_format.AP_TABLE_READ_ONLY
        never = bool(field["XN"] or limits & long_format.XN_TABLE)
        index = field["AttrIndx"]
        memory = UNKNOWN_TYPE if controls.mair is None else MAIR_V8[controls.mair[index]]
        return Attributes(
            memory=memory.memory,
            inner=memory.inner,
            outer=memory.outer,
            shareability=long_shareability(memory, field.get("SH", controls.shareability)),
            el0_read=False,
            el0_write=False,
            el0_execute=False,
            el1_read=True,
            el1_write=write,
            el1_execute=not never and not (controls.wxn and write),
            access_flag=bool(field["AF"]),
            dirty_managed=bool(field["DBM"]),
            non_global=False,
            contiguous=bool(field["contiguous"]) and self.levels[level].contiguous > 1,
            guarded=bool(field["GP"]),
            non_secure=non_secure,
            domain=None,
            attr_index=index,
            software=field["software"],
            exception_levels=controls.exception_levels,
        )


@lru_cache
def el2_el3(granule: int, output: Output = Output.BITS_48) -> SingleLevelFormat:
    """The format of ``granule`` bytes; ValueError where it has no such address form."""
    return SingleLevelFormat(granule, output)
