"""Raw memory without registers: the kernel is found, and what was inferred is said on stderr."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.recover.arm64_machine import G, M, Machine, build

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build(0x1000, 48, 48, slide=64 * M)


@pytest.fixture(scope="module")
def dump(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    raw = tmp_path_factory.mktemp("bare") / "ram.raw"
    raw.write_bytes(machine.ram.read(G, 32 * M))
    return f"{raw}@{G:#x}"


def test_info(ttbr: Run, dump: str, machine: Machine) -> None:
    found = ttbr("info", dump, "--json").json["identified"]
    assert found["kernel_root"]["value"] == hex(machine.root)
    assert found["kernel_root"]["confidence"] == "certain"
    assert found["kaslr_offset"]["value"] == hex(64 * M)
    assert found["page_size"]["value"] == 4096
    assert found["user_roots"]["value"] == [hex(pa) for pa in machine.processes]
    assert found["assumed"]
    assert all(item["evidence"] for item in found.values() if "evidence" in item)
    text = ttbr("info", dump).out
    assert f"found      kernel_root: {machine.root:#x} (certain: " in text


def test_dump_and_translate(ttbr: Run, dump: str, machine: Machine) -> None:
    va = machine.layout.kimage_vaddr + 64 * M
    listed = ttbr("dump", dump, "--range", f"{va:#x}-{va + 0x1000:#x}")
    assert listed.code == 0
    assert f"{machine.text_pa:#x}"[2:] in listed.out
    assert listed.err.startswith("ttbr: note: no registers given")
    assert "certain" in listed.err
    assert "assumed: MAIR_EL1" in listed.err
    answer = ttbr("translate", dump, hex(va + 0x123), "--json")
    assert answer.json[0]["pa"] == hex(machine.text_pa + 0x123)
    process = ttbr("translate", dump, "0x400000", "--root", f"user:{machine.processes[0]:#x}")
    assert process.code == 0


def test_given_registers_are_not_second_guessed(ttbr: Run, dump: str, machine: Machine) -> None:
    registers = f"TCR_EL1=0x25b5503510,TTBR1_EL1={machine.root:#x}"
    listed = ttbr("dump", dump, "--registers", registers)
    assert (listed.code, listed.err) == (0, "")
    assert ttbr("info", dump, "--registers", registers, "--json").json["identified"] is None


def test_two_bare_dumps_are_compared(ttbr: Run, dump: str) -> None:
    """As everywhere, the kernel is looked for; what is not compared is said."""
    answer = ttbr("diff", dump, dump, "--json").json
    assert answer["identical"]
    assert [root["root"] for root in answer["roots"]] == ["kernel"]
    assert sum("no registers given: found" in line for line in answer["assumed"]) == 2
    assert any("user's tables are not compared" in line for line in answer["assumed"])


def test_memory_without_a_kernel(ttbr: Run, dump: str, tmp_path: Path) -> None:
    zeros = tmp_path / "zeros.raw"
    zeros.write_bytes(bytes(1 << 16))
    for command in (["dump"], ["ps"], ["audit"], ["diff", dump], ["translate", "--reverse", "0"]):
        ttbr(*command, f"{zeros}@0").refused("zeros.raw@0: no registers", "--registers")
