"""Stage 2: its descriptors, and the regime that VTCR_EL2 describes."""

import pytest

from ttbr.arch.attributes import Controls
from ttbr.arch.explain import explain_descriptor, explain_register
from ttbr.arch.faults import Access, FaultKind, check_access
from ttbr.arch.regime import MissingRegister, make_regime
from ttbr.arch.registers_el2_el3 import HCR_EL2, VTCR_EL2
from ttbr.arch.translation_regime import TranslationRegime
from ttbr.arch.vtcr import stage2_from_vtcr
from ttbr.errors import InputError

AF, READ, WRITE = 1 << 10, 1 << 6, 1 << 7
NORMAL = 0b1111 << 2
TG0 = {"4k": 0, "64k": 1, "16k": 2}


def vtcr(granule: str, bits: int, sl0: int, **fields: int) -> int:
    return VTCR_EL2.encode({"TG0": TG0[granule], "T0SZ": 64 - bits, "SL0": sl0, "PS": 5} | fields)


def regime_of(value: int, **registers: int) -> TranslationRegime:
    return stage2_from_vtcr({"VTCR_EL2": value, **registers})


@pytest.mark.parametrize(
    ("granule", "bits", "sl0", "fields", "levels", "root_bytes"),
    [
        ("4k", 40, 1, {}, [1, 2, 3], 0x2000),  # two tables, as KVM on a 40-bit machine
        ("4k", 39, 1, {}, [1, 2, 3], 0x1000),
        ("4k", 36, 1, {}, [1, 2, 3], 64 * 8),
        ("4k", 43, 1, {}, [1, 2, 3], 0x10000),  # sixteen
        ("4k", 48, 2, {}, [0, 1, 2, 3], 0x1000),
        ("4k", 34, 0, {}, [2, 3], 0x10000),
        ("4k", 24, 3, {}, [3], 4096 * 8),  # FEAT_TTST, T0SZ 40
        ("16k", 40, 1, {}, [2, 3], 0x40000),
        ("16k", 48, 2, {}, [1, 2, 3], 0x8000),
        ("64k", 42, 1, {}, [2, 3], 0x10000),
        ("64k", 40, 1, {}, [2, 3], 0x4000),
        ("64k", 48, 2, {}, [1, 2, 3], 0x200),
        ("64k", 52, 2, {"PS": 6}, [1, 2, 3], 0x2000),
        ("4k", 52, 2, {"DS": 1, "PS": 6}, [0, 1, 2, 3], 0x10000),
        ("4k", 52, 0, {"DS": 1, "PS": 6, "SL2": 1}, [-1, 0, 1, 2, 3], 128),
        ("16k", 52, 3, {"DS": 1, "PS": 6}, [0, 1, 2, 3], 256),
    ],
)
def test_geometry(
    granule: str, bits: int, sl0: int, fields: dict[str, int], levels: list[int], root_bytes: int
) -> None:
    regime = regime_of(vtcr(granule, bits, sl0, **fields))
    assert [level.number for level in regime.levels] == levels
    assert regime.root_size == root_bytes
    assert regime.input_bits == bits
    assert (regime.base, regime.first, regime.last) == (0, 0, (1 << bits) - 1)
    assert regime.levels[0].bits + regime.levels[0].shift == bits
    assert regime.output_bits == (52 if fields.get("PS") == 6 else 48)
    assert regime.root_register == "VTTBR_EL2"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (vtcr("4k", 48, 1), "cannot start at level 1"),  # would need 512 tables
        (vtcr("4k", 39, 2), "cannot start at level 0"),
        (vtcr("64k", 42, 3), "SL0 is reserved"),
        (vtcr("4k", 40, 1) | 3 << 14, "TG0 is reserved"),
        (vtcr("4k", 52, 1, DS=1, SL2=1), "SL0 is reserved"),
    ],
)
def test_what_faults_on_every_address(value: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        regime_of(value)


def test_missing_registers() -> None:
    with pytest.raises(MissingRegister, match="VTCR_EL2"):
        stage2_from_vtcr({})
    assert len(regime_of(vtcr("4k", 40, 1)).unknown) == 2
    with pytest.raises(InputError, match="big-endian"):
        regime_of(vtcr("4k", 40, 1), SCTLR_EL2=1 << 25)


def test_vttbr_is_aligned_to_all_its_tables() -> None:
    regime = regime_of(vtcr("4k", 40, 1))
    assert regime.root_address(0x0007_0000_4321_3001) == 0x4321_2000
    wide = regime_of(vtcr("4k", 52, 2, DS=1, PS=6))
    assert wide.root_address(0x4321_0000 | 0xF << 2) == 0xF_0000_4321_0000


@pytest.mark.parametrize(
    ("s2ap", "text"), [(0, "---"), (READ, "r--"), (WRITE, "-w-"), (READ | WRITE, "rw-")]
)
def test_data_permissions(s2ap: int, text: str) -> None:
    never = 0b10 << 53
    attributes = make_regime("arm64-4k-stage2").attributes(NORMAL | AF | never | s2ap | 3, 3)
    assert attributes.permissions(1) == attributes.permissions(0) == text


@pytest.mark.parametrize(
    ("xn", "with_xnx", "without"),
    [
        (0b00, ("x", "x"), ("x", "x")),
        (0b01, ("-", "x"), ("x", "x")),
        (0b10, ("-", "-"), ("-", "-")),
        (0b11, ("x", "-"), ("-", "-")),
    ],
)
def test_execution(xn: int, with_xnx: tuple[str, str], without: tuple[str, str]) -> None:
    value = vtcr("4k", 40, 1)
    for features, want in ((1 << 28, with_xnx), (0, without)):
        regime = regime_of(value, ID_AA64MMFR1_EL1=features, HCR_EL2=0)
        attributes = regime.attributes(NORMAL | AF | xn << 53 | 3, 3)
        assert (attributes.permissions(1)[2], attributes.permissions(0)[2]) == want
        assert regime.unknown == ()


@pytest.mark.parametrize(
    ("attr", "plain", "forced"),
    [
        (0b0000, "Device-nGnRnE", "Device-nGnRnE"),
        (0b0001, "Device-nGnRE", "Device-nGnRE"),
        (0b0100, "Reserved", "Reserved"),
        (0b0101, "Normal NC NC", "Normal NC NC"),
        (0b0110, "Normal WT NC", "Normal WB WB"),
        (0b0111, "Normal WB NC", "as stage 1"),
        (0b1010, "Normal WT WT", "Reserved"),
        (0b1111, "Normal WB WB", "Reserved"),
    ],
)
def test_memory_types(attr: int, plain: str, forced: str) -> None:
    for fwb, want in ((0, plain), (1, forced)):
        hcr = HCR_EL2.encode({"FWB": fwb})
        found = regime_of(vtcr("4k", 40, 1), HCR_EL2=hcr).attributes(attr << 2 | 0x403, 3)
        words = [found.memory] if found.inner == "-" else [found.memory, found.inner, found.outer]
        assert " ".join(words) == want


def test_dirty_state_in_hardware() -> None:
    clean = NORMAL | AF | READ | 1 << 51 | 3
    for value, write in ((vtcr("4k", 40, 1, HA=1, HD=1), True), (vtcr("4k", 40, 1), False)):
        found = regime_of(value).attributes(clean, 3)
        assert (found.dirty_managed, found.el1_write, found.el0_write) == (True, write, write)


def test_shareability_with_lpa2_is_vtcrs() -> None:
    regime = regime_of(vtcr("4k", 52, 2, DS=1, PS=6, SH0=3))
    assert regime.attributes(NORMAL | AF | 0x203, 3).shareability == "inner"
    assert regime_of(vtcr("4k", 40, 1)).attributes(NORMAL | 0x203, 3).shareability == "outer"


def test_tables_limit_nothing() -> None:
    regime = make_regime("arm64-4k-stage2")
    assert regime.attributes(NORMAL | 0xC3, 3, 0x1F) == regime.attributes(NORMAL | 0xC3, 3)


def test_accesses() -> None:
    regime = make_regime("arm64-4k-stage2")
    page = regime.attributes(NORMAL | AF | READ | 3, 3)

    def fault(access: Access, **more: bool) -> FaultKind | None:
        found = check_access(regime.controls, page, access, 3, 0, **more)
        return found.kind if found else None

    assert fault(Access.EL1_READ) is None
    assert fault(Access.EL1_READ, pan=True) is None  # PAN is stage 1's
    assert fault(Access.EL0_WRITE) is FaultKind.PERMISSION


def test_explained() -> None:
    (page,) = explain_descriptor(0x0040_0000_4000_07FF, "arm64-4k-stage2", 3)
    assert page.title == "VMSAv8-64 stage 2 4K level 3 page"
    said = {row.name: row.text for row in page.rows}
    assert said["S2AP"] == "data access permissions: read and write"
    assert said["XN"] == "execute-never XN[1:0]: not executable"
    assert page.attributes is not None
    assert page.attributes.summary() == "el1:rw- el0:rw- Normal WB inner"
    assert any("stage 1 may take them away" in note for note in page.notes)
    rows = {row.name: row.text for row in explain_register("VTCR_EL2", 0x80023558).rows}
    assert rows["SL0"] == "the walk starts at: level 1 (16K, 64K: 2)"
    assert rows["T0SZ"] == "guest physical addresses have 64-T0SZ bits"


def test_its_own_controls_are_kept() -> None:
    assert make_regime("arm64-4k-stage2", controls=Controls(fwb=True)).controls.stage == 2
