"""What the Arm architecture defines: descriptors, registers, regimes, attributes, faults."""

from ttbr.arch.attributes import Attributes, Controls
from ttbr.arch.faults import Access, Fault, FaultKind, check_access
from ttbr.arch.fields import Field, FieldText, Layout
from ttbr.arch.format import DescriptorFormat, Kind
from ttbr.arch.regime import FORMATS, RegimePair, make_regime
from ttbr.arch.registers import REGISTERS, register_layout, register_name
from ttbr.arch.translation_regime import Level, MissingRegister, TranslationRegime

__all__ = [
    "FORMATS",
    "REGISTERS",
    "Access",
    "Attributes",
    "Controls",
    "DescriptorFormat",
    "Fault",
    "FaultKind",
    "Field",
    "FieldText",
    "Kind",
    "Layout",
    "Level",
    "MissingRegister",
    "RegimePair",
    "TranslationRegime",
    "check_access",
    "make_regime",
    "register_layout",
    "register_name",
]
