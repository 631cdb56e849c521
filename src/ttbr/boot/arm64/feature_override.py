"""CPU features that the command line hides from the early C code.

Source: arch/arm64/kernel/pi/idreg-override.c of 6.12 (aliases, mmfr2_varange_filter).
"""

from __future__ import annotations

from dataclasses import replace

from ttbr.boot.arm64.registers import BT, PAC
from ttbr.boot.params import Params
from ttbr.kernel.cpu import TGRAN_SHIFTS, Cpu

MMFR0 = "ID_AA64MMFR0_EL1"
VARANGE = ("ID_AA64MMFR2_EL1", 16)
# Without LPA2: TGran4 is 0, TGran16 is 1.
TGRAN_WITHOUT_LPA2 = {12: 0, 14: 1}

# (alias, the option that it stands for, its value, fields that become zero).
OVERRIDES = (
    ("arm64.nolva", "id_aa64mmfr2.varange", "0", (VARANGE,)),
    ("arm64.nobti", "id_aa64pfr1.bt", "0", (BT,)),
    ("arm64.nopauth", None, None, PAC),
)


def overridden(cpu: Cpu, params: Params) -> Cpu:
    """The CPU as the kernel takes it; hiding large addresses hides LPA2, too."""
    registers = dict(cpu.registers)
    for alias, option, value, fields in OVERRIDES:
        if not params.given(alias) and (option is None or params.last(option) != value):
            continue
        for name, shift in fields:
            registers[name] = _with(registers.get(name, 0), shift, 0)
        if VARANGE in fields:
            for page_shift, without in TGRAN_WITHOUT_LPA2.items():
                if cpu.lpa2(page_shift):
                    registers[MMFR0] = _with(registers[MMFR0], TGRAN_SHIFTS[page_shift], without)
    return replace(cpu, registers=registers)


def _with(register: int, shift: int, value: int) -> int:
    """`register` with another value of the four-bit field at `shift`."""
    return register & ~(0xF << shift) | value << shift
