"""The table of cores."""

import pytest

from ttbr.kernel.cpu import CORES, DEFAULT_CORES, Cpu, architecture, find_cpu


def test_every_core_runs_something() -> None:
    for compatible, core in CORES.items():
        assert core.compatible == compatible
        assert core.runs("arm64") or core.runs("arm")
        if core.runs("arm64"):
            assert core.pa_bits in (40, 44, 48), core.name
            assert core.field("ID_AA64MMFR0_EL1", 4) == 2, "16-bit ASIDs"
        if core.runs("arm"):
            assert core.vmsa in (3, 5), core.name


@pytest.mark.parametrize(
    ("name", "bits", "newer", "e0pd"),
    [
        ("arm,cortex-a53", 40, False, False),
        ("arm,cortex-a72", 44, False, False),
        ("arm,cortex-a76", 40, True, False),
        ("arm,neoverse-n2", 48, True, True),
    ],
)
def test_fields(name: str, bits: int, newer: bool, e0pd: bool) -> None:
    core = CORES[name]
    assert (core.pa_bits, core.e0pd) == (bits, e0pd)
    assert core.access_flag == newer and core.pan == newer


def test_large_addresses() -> None:
    core = Cpu("all", "x", {"ID_AA64MMFR0_EL1": 0x3231020_1126, "ID_AA64MMFR2_EL1": 1 << 16})
    assert core.pa_bits == 52 and core.large_va
    lpa2 = Cpu("lpa2", "x", {"ID_AA64MMFR0_EL1": 1 << 28 | 2 << 20})
    assert lpa2.lpa2(12) and lpa2.lpa2(14) and not lpa2.lpa2(16)
    assert not CORES["arm,cortex-a72"].lpa2(12)


def test_unknown_cores_are_assumed_aloud() -> None:
    core, said = find_cpu(("acme,fast", "arm,cortex-a53"), "arm64")
    assert (core.name, said) == ("Cortex-A53", None)
    core, said = find_cpu(("acme,fast",), "arm")
    assert core is DEFAULT_CORES["arm"] and said is not None and "acme,fast" in said
    _, said = find_cpu((), "arm64")
    assert said is not None and "does not name" in said


@pytest.mark.parametrize(
    ("compatible", "arch"),
    [
        (("arm,cortex-a7",), "arm"),
        (("arm,cortex-a35",), "arm64"),
        (("acme,x", "arm,armv8"), "arm64"),
        (("arm,armv7",), "arm"),
        (("qcom,kryo468",), "arm64"),
        (("arm,cortex-a510",), "arm64"),
        (("arm,cortex-a715",), "arm64"),
        (("marvell,pj4a", "marvell,sheeva-v7"), "arm"),
        (("acme,x",), None),
        ((), None),
    ],
)
def test_architecture(compatible: tuple[str, ...], arch: str | None) -> None:
    assert architecture(compatible) == arch
