"""The command line as early code reads it, and what it hides of the CPU."""

from __future__ import annotations

import arm64_kernels as made
import pytest
from arm64_kernels import PLAIN, WIDE, M

from ttbr.boot.arm64.feature_override import (
    HVHE,
    NOKASLR,
    RODATA_OFF,
    VARANGE,
    VH,
    kaslr_disabled,
    overrides,
)
from ttbr.boot.board import Board
from ttbr.boot.boot import boot
from ttbr.boot.loader import Placement
from ttbr.boot.machine import Machine
from ttbr.kernel.config import Config
from ttbr.kernel.cpu import Cpu
from ttbr.kernel.release import Release

NEW, OLD = Release.parse("6.12.117"), Release.parse("6.1.192")
NONE = Config({})
VHE = Cpu("vhe", "test,vhe", {**WIDE.registers, "ID_AA64MMFR1_EL1": 0x102})
GIB = 1 << 30


def values(line: str, release: Release = NEW, *, el: int = 1, cpu: Cpu = WIDE) -> dict[str, int]:
    return overrides(line, NONE, release, cpu, el).values


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rodata=off", {RODATA_OFF: 1}),
        ("quiet  rodata=off\tx", {RODATA_OFF: 1}),
        ("rodata=offf", {}),
        ('"rodata=off"', {}),  # quotes are nothing to this reader
        ("'rodata=off", {}),
        ("rodata=off rodata=full", {RODATA_OFF: 1}),  # and full is no alias
        ("rodata=off arm64_sw.rodataoff=0", {RODATA_OFF: 0}),
        ("arm64-sw.rodataoff=0x1", {RODATA_OFF: 1}),
        ("arm64_sw.rodataoff=10", {}),  # one digit only
        ("arm64_sw.rodataoff=F", {RODATA_OFF: 15}),
        ("arm64_sw.rodataoff=", {}),
        ("arm64_sw.rodataoff", {}),
        ("-- rodata=off", {}),
        ("nokaslr", {NOKASLR: 1}),
        ("arm64.nolva", {VARANGE: 0}),
        ("arm64.nolva id_aa64mmfr2.varange=1", {}),  # refused, and so the field is free again
        ("kvm-arm.mode=nvhe", {VH: 0}),
        ("kvm_arm.mode=protected", {}),
        ("id_aa64mmfr1.vh=1 kvm-arm.mode=nvhe", {VH: 0}),
        ("x" * 255 + "rodata=off", {RODATA_OFF: 1}),  # a long word ends there
        ("x" * 254 + "rodata=off", {}),
    ],
)
def test_words_of_6_12(line: str, expected: dict[str, int]) -> None:
    assert values(line) == expected


def test_hvhe_needs_a_hypervisors_level() -> None:
    line = "kvm_arm.mode=protected"
    assert values(line, el=2, cpu=VHE) == {HVHE: 1}
    assert values(line, el=1, cpu=VHE) == {}
    assert values(line, el=2, cpu=WIDE) == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rodata=off arm64.nolva arm64_sw.nokaslr=1", {}),
        ("arm64.nobti", {"id_aa64pfr1.bt": 0}),
        ("id-aa64pfr1.bt=0x10", {"id_aa64pfr1.bt": 0}),  # any number, of which four bits count
        ("id_aa64pfr1.bt=0z", {}),
        ("kvm-arm.mode=protected", {VH: 0}),
    ],
)
def test_words_of_6_1(line: str, expected: dict[str, int]) -> None:
    assert values(line, OLD) == expected


def test_hidden_features() -> None:
    cpu = Cpu("x", "test,x", {**WIDE.registers, "ID_AA64PFR1_EL1": 0x21})
    hidden = overrides("arm64.nobti arm64.nolva", NONE, NEW, cpu, 1).cpu(cpu)
    assert hidden.registers["ID_AA64PFR1_EL1"] == 0x20
    assert not hidden.large_va
    assert not hidden.lpa2(12)
    assert not hidden.lpa2(14)
    assert hidden.granule(14)
    # Once hidden, LPA2 stays hidden.
    back = overrides("arm64.nolva id_aa64mmfr2.varange=2", NONE, NEW, cpu, 1).cpu(cpu)
    assert back.large_va
    assert not back.lpa2(12)


@pytest.mark.parametrize(
    ("line", "options", "old", "new"),
    [
        ("nokaslr", {}, True, True),
        ("quiet nokaslr", {}, True, True),
        ("nokaslrx", {}, True, False),
        ("quiet\tnokaslr", {}, False, True),
        ("xnokaslr nokaslr", {}, False, True),  # the first place of the text is no word
        ("kaslr.disabled=1", {}, False, False),
        ("arm64_sw.nokaslr=1", {}, False, True),
        ("nokaslr=1", {}, True, False),
        ("quiet", {"CMDLINE": "nokaslr"}, False, False),
        ("quiet", {"CMDLINE": "nokaslr", "CMDLINE_EXTEND": "y"}, True, False),
        ("quiet", {"CMDLINE": "nokaslr", "CMDLINE_FORCE": "y"}, True, True),
        ("nokaslr", {"CMDLINE": "quiet", "CMDLINE_FORCE": "y"}, False, False),
        (None, {"CMDLINE": "nokaslr"}, True, True),
        ("", {"CMDLINE": "nokaslr"}, False, True),
    ],
)
def test_who_disables_kaslr(
    line: str | None, options: dict[str, str], old: bool, new: bool
) -> None:
    config = Config(options)
    for release, expected in ((OLD, old), (NEW, new)):
        found = overrides(line or "", config, release, WIDE, 1)
        assert kaslr_disabled(found, line, config, release) == expected


def wide_boot(line: str, cpu: Cpu, el: int | None) -> Machine:
    """A 64K kernel of 52 bits with RAM that 51 bits of linear map cannot hold."""
    tree = made.tree([(0x4000_0000, 512 * M), ((1 << 51) + GIB, 512 * M)], line)
    kernel = made.kernel("6.12.117", 16, 52, KVM="y")
    placement = Placement(0x4020_0000, 0x4800_0000, None, "custom", el=el)
    return boot(Board.from_dtb(tree), kernel, placement, cpu=cpu, stop="memblock").machine


@pytest.mark.parametrize(
    ("line", "cpu", "el", "capped"),
    [
        ("nokaslr", VHE, 1, False),
        ("nokaslr", VHE, 2, False),
        ("nokaslr", WIDE, 2, True),
        ("nokaslr kvm-arm.mode=nvhe", VHE, 2, True),
        ("nokaslr kvm-arm.mode=protected", VHE, 2, True),
        ("nokaslr arm64.nolva", WIDE, 2, False),
    ],
)
def test_kvm_without_vhe_limits_the_linear_map(line: str, cpu: Cpu, el: int, capped: bool) -> None:
    machine = wide_boot(line, cpu, el)
    said = any("Capping linear region" in m.text for m in machine.log.messages)
    assert said == capped
    low = machine.memblock.is_memory(0x4000_0000)
    high = machine.memblock.is_memory((1 << 51) + GIB)
    assert low
    assert high == (not capped and machine.arch_state.layout.va_bits_actual == 52)
    assert not any("EL1" in text for text in machine.unknowns)


def test_an_unknown_level_is_said() -> None:
    assert any("--el" in text for text in wide_boot("nokaslr", WIDE, None).unknowns)


# What Debian's 6.1.176 (4K, 48 bits) and 6.12.117 (4K, 52 bits) did under QEMU with that seed in
# the tree: KASLR offset and memstart_addr, on a Cortex-A57 (44 bits), a Cortex-A53 (40 bits) and a
# CPU with everything. RAM and kernel lay as here; all their tables were equal to the predicted.
A57, A53 = PLAIN, Cpu("40 bits", "test,40", {"ID_AA64MMFR0_EL1": 0x1122})
MAX = Cpu("max", "test,max", {"ID_AA64MMFR0_EL1": 0x1020_1126, "ID_AA64MMFR2_EL1": 1 << 16})
OBSERVED = [
    ("6.1.176", 48, A57, 0x0123456789ABCDEF, 0x256789A00000, 0xFFFFA5E7C0000000),
    ("6.1.176", 48, A57, 0xFEDCBA9876543210, 0x5A9876400000, 0xFFFFEA1940000000),
    ("6.1.176", 48, A57, 0x8000000000000001, 0x200000000000, 0x0),
    ("6.1.176", 48, A57, 0xFFFFFFFFFFFFFFFF, 0x5FFFFFE00000, 0xFFFF9000C0000000),
    ("6.1.176", 48, A53, 0x0123456789ABCDEF, 0x256789A00000, 0xFFFF99D6C0000000),
    ("6.1.176", 48, A53, 0xFEDCBA9876543210, 0x5A9876400000, 0xFFFFE72A80000000),
    ("6.12.117", 52, A57, 0x0123456789ABCDEF, 0x1FC77D800000, 0xFFF0A5E7C0000000),
    ("6.12.117", 52, A57, 0xFEDCBA9876543210, 0x5E37C1E00000, 0xFFF0EA1940000000),
    ("6.12.117", 52, A57, 0x8000000000000001, 0x3EFF9FC00000, 0xFFF1000000000000),
    ("6.12.117", 52, A57, 0xFFFFFFFFFFFFFFFF, 0x5E7F6F800000, 0xFFF09000C0000000),
    ("6.12.117", 52, A53, 0x0123456789ABCDEF, 0x1FC77D800000, 0xFFF099D6C0000000),
    ("6.12.117", 52, MAX, 0x0123456789ABCDEF, 0x10A55B600000, 0x40000000),
    ("6.12.117", 52, MAX, 0xFEDCBA9876543210, 0x3159E4000000, 0x40000000),
]


@pytest.mark.parametrize(("release", "bits", "cpu", "seed", "offset", "memstart"), OBSERVED)
def test_seeds_as_real_kernels_took_them(
    release: str, bits: int, cpu: Cpu, seed: int, offset: int, memstart: int
) -> None:
    board = Board.from_dtb(made.tree([(0x4000_0000, 512 * M)], "quiet"))
    placement = Placement(0x4020_0000, 0x4800_0000, None, "custom")
    # Debian's struct page has 64 bytes, which decides where vmalloc ends, and KASLR with it.
    kernel = made.kernel(release, 12, bits, HAVE_ALIGNED_STRUCT_PAGE="y")
    machine = boot(board, kernel, placement, cpu=cpu, kaslr_seed=seed, stop="memblock").machine
    assert (machine.kaslr_offset, machine.arch_state.memstart) == (offset, memstart)


@pytest.mark.parametrize(
    ("value", "early"),
    [
        *(("100", True), ("0x10", True), ("010", True), ("-1", True), ("5ms", True)),
        *(("0", False), ("0x0", False), ("0,5", False), ("4294967296", False)),
        *(("", None), ("x", None)),
    ],
)
def test_kfences_interval(value: str, early: bool | None) -> None:
    from ttbr.boot.arm64.options import kfence_early
    from ttbr.boot.params import Params

    for default in ("0", "100"):
        config = Config({"KFENCE_SAMPLE_INTERVAL": default})
        found = kfence_early(Params(f"kfence.sample_interval={value}"), config)
        assert found == (early if early is not None else default != "0")
