"""Roots and regimes of an image, as its registers have them."""

import pytest

from ttbr.arch.faults import FaultKind
from ttbr.arch.regime import MissingRegister
from ttbr.errors import InputError
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image, ImageFacts
from ttbr.mmu.writer import TableWriter

BASE = 0x4000_0000
PAGE = 0x1000
# As recorded: 4K pages, 48 bits, TTBR1 with an ASID and TTBR0 with CnP.
ARM64 = {"TCR_EL1": 0x34B5503510, "TTBR0_EL1": BASE + PAGE | 1, "TTBR1_EL1": BASE | 0x2 << 48}
SHORT = {"TTBCR": 0, "TTBR0": BASE + 0x4000 | 0x6A, "TTBR1": BASE | 0x6A}
# LPAE while the kernel runs with CPU_TTBR0_PAN: EAE, EPD0 and T0SZ = 7.
PAN = {"TTBCR": 0xB5403587, "TTBR0": BASE + PAGE + 0x80 | 1 << 48, "TTBR1": BASE}


def image(registers: dict[str, int], **facts: object) -> Image:
    return Image(Ram([Bank(BASE, 1 << 20)]), registers, ImageFacts(**facts))


def test_roots_of_arm64() -> None:
    machine = image(ARM64)
    assert machine.arch == "arm64"
    kernel, user = machine.address_space(), machine.address_space("user")
    assert (kernel.root, kernel.regime.base) == (BASE, 0xFFFF << 48)
    assert (user.root, user.regime.base) == (BASE + PAGE, 0)
    named = machine.address_space(f"user:{BASE + 0x3000:#x}")
    assert (named.root, named.regime) == (BASE + 0x3000, user.regime)
    assert machine.address_space(str(BASE)).regime == kernel.regime


def test_short_descriptors_without_a_split() -> None:
    """TTBR1 holds swapper_pg_dir though TTBCR.N = 0 means that nothing is walked through it."""
    machine = image(SHORT)
    assert machine.arch == "arm"
    kernel, user = machine.address_space("kernel"), machine.address_space("user")
    assert (kernel.root, user.root) == (BASE, BASE + 0x4000)
    assert kernel.regime == user.regime
    assert kernel.regime.levels[0].entries == 4096


def test_lpae_without_a_split() -> None:
    machine = image({**PAN, "TTBCR": 1 << 31})
    kernel, user = machine.address_space("kernel"), machine.address_space("user")
    assert (kernel.root, user.root) == (BASE, BASE + PAGE + 0x80)
    assert kernel.regime.input_bits == user.regime.input_bits == 32


def test_lpae_with_user_access_off() -> None:
    """The process's table is still the one for 4 GiB that TTBR0 holds."""
    machine = image(PAN)
    writer = TableWriter(machine.memory, 8)
    writer.write(BASE + PAGE + 0x80, 0, BASE + 2 * PAGE | 3)
    writer.write(BASE + 2 * PAGE, 2, BASE | 0x401)
    user = machine.address_space("user")
    assert (user.root, user.regime.input_bits, user.regime.disabled) == (
        BASE + PAGE + 0x80,
        32,
        False,
    )
    assert user.translate(0x40_0123).pa == BASE + 0x123
    assert machine.address_space("kernel").root == BASE
    assert machine.address_space("kernel").regime.levels[0].entries == 4
    # The CPU itself would not walk it at this moment.
    fault = machine.translate(0x40_0123).fault
    assert fault is not None
    assert fault.kind is FaultKind.TRANSLATION


def test_names_as_debuggers_spell_them() -> None:
    machine = image({"ttbcr": 0, "TTBR0_EL1_S": BASE, "TTBR1_EL1_S": BASE + 0x4000})
    assert machine.address_space("kernel").root == BASE + 0x4000


def test_roots_by_symbol() -> None:
    machine = image(ARM64, roots={"idmap_pg_dir": BASE + 5 * PAGE})
    assert machine.address_space("user:idmap_pg_dir").root == BASE + 5 * PAGE
    assert machine.address_space("idmap_pg_dir").regime.ttbr == 1
    with pytest.raises(InputError, match="none of idmap_pg_dir"):
        machine.address_space("swapper_pg_dir")


@pytest.mark.parametrize("root", ["", "kernel:1", "user:", "user:x", "0x1001", "-8", str(1 << 70)])
def test_no_root(root: str) -> None:
    with pytest.raises(InputError, match="root"):
        image(ARM64).address_space(root)


def test_registers_that_are_missing_are_named() -> None:
    with pytest.raises(MissingRegister, match="TTBR1_EL1"):
        image({"TCR_EL1": ARM64["TCR_EL1"]}).address_space("kernel")
    with pytest.raises(MissingRegister, match="TTBR0 "):
        image({"TTBCR": 0}).address_space("user")
    with pytest.raises(MissingRegister, match="TCR_EL1"):
        image({}).address_space("kernel")


def test_the_cpu_chooses_the_root() -> None:
    machine = image(ARM64)
    writer = TableWriter(machine.memory, 8)
    writer.write(BASE, 511, BASE + 2 * PAGE | 3)
    writer.write(BASE + 2 * PAGE, 511, BASE | 0x401)
    assert machine.translate((1 << 64) - 1).pa == BASE | (1 << 30) - 1
    between = machine.translate(1 << 60).fault
    assert between is not None
    assert (between.kind, between.level) == (FaultKind.TRANSLATION, 0)
    unmapped = machine.translate(0)
    assert unmapped.fault is not None
    assert unmapped.steps[0].table == BASE + PAGE


# A hypervisor: EL2 of 40 bits, a guest of 40 bits by two concatenated tables, firmware at EL3.
EL2 = {
    **ARM64,
    "HCR_EL2": 1,
    "TCR_EL2": 0x8080_3518 | 2 << 16,
    "TTBR0_EL2": BASE + 0x4000,
    "VTCR_EL2": 0x8002_3558,
    "VTTBR_EL2": BASE + 0x6000 | 0x2A << 48,
    "TCR_EL3": 0x8080_3518 | 2 << 16,
    "TTBR0_EL3": BASE + 0x8000,
}


@pytest.mark.parametrize(
    ("root", "table", "entries", "summary"),
    [
        ("el2", BASE + 0x4000, 2, "el2:rw- unknown unknown"),
        ("stage2", BASE + 0x6000, 1024, "el1:rw- el0:rw- Normal WB inner"),
        ("el3", BASE + 0x8000, 2, "el3:rw- unknown unknown"),
    ],
)
def test_roots_of_other_exception_levels(root: str, table: int, entries: int, summary: str) -> None:
    machine = image(EL2)
    space = machine.address_space(root)
    assert (space.root, space.regime.levels[0].entries) == (table, entries)
    # A block of 1 GiB at level 1; EL2 and EL3 have it below a level 0 of two entries.
    writer = TableWriter(machine.memory, 8)  # type: ignore[arg-type]  # a Ram
    block = 0x4000_0000 | 0x7FD if root == "stage2" else 0x4000_0000 | 0x741
    leaf = block | 1 << 54
    if root == "stage2":
        writer.write(table, 600, leaf)
        va = 600 << 30
    else:
        writer.write(table, 1, BASE + 0x9000 | 3)
        writer.write(BASE + 0x9000, 0, leaf)
        va = 1 << 39
    answer = space.translate(va + 0x123)
    assert answer.pa == 0x4000_0123
    assert answer.attributes is not None
    assert answer.attributes.summary() == summary
    named = machine.address_space(f"{root}:{table:#x}")
    assert (named.root, named.regime) == (table, space.regime)


def test_the_kernel_of_a_vhe_host() -> None:
    registers = {
        "HCR_EL2": 1 << 34 | 1 << 27,
        "TCR_EL2": ARM64["TCR_EL1"],
        "TTBR0_EL2": BASE + PAGE,
        "TTBR1_EL2": BASE,
        "TCR_EL1": 0,
    }
    machine = image(registers)
    for root in ("kernel", "el2"):
        assert machine.address_space(root).root == BASE
        assert machine.address_space(root).regime.root_register == "TTBR1_EL2"
    assert machine.address_space("user").root == BASE + PAGE
    assert machine.translate((1 << 64) - 1).steps[0].table == BASE


@pytest.mark.parametrize(
    ("root", "register"), [("el2", "TCR_EL2"), ("stage2", "VTCR_EL2"), ("el3", "TCR_EL3")]
)
def test_registers_of_other_exception_levels_are_missed(root: str, register: str) -> None:
    with pytest.raises(MissingRegister, match=register):
        image(ARM64).address_space(root)
    with pytest.raises(MissingRegister, match="TTBR"):
        image({**ARM64, register: EL2[register]}).address_space(root)
