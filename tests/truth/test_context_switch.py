"""The registers that a switch of address spaces leaves, against those of real kernels at rest.

All recordings were stopped while idle, behind process 1: its tables and ASID are in the TTBRs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import ModuleType

import pytest
from forward import predicted
from memory_log import boot_log
from recorded import cases

from conftest import load_truth
from ttbr.arch.faults import Access
from ttbr.boot.arm64.state import Arm64
from ttbr.run import run
from ttbr.run.cpu.asids import MmContext
from ttbr.run.cpu.features import features
from ttbr.run.kernel import RunningKernel

CASES = cases(load_truth(), "samples.txt")
COMPARED = ("TTBR0_EL1", "TTBR1_EL1", "TCR_EL1", "CONTEXTIDR_EL1", "TTBR0", "TTBR1", "TTBCR")
COMPARED += ("DACR", "CONTEXTIDR")

DETECTED = {
    "pan": "Privileged Access Never",
    "cnp": "Common not Private translations",
    "dirty": "Hardware dirty bit management",
    "e0pd": "E0PD",
    "kpti": "Kernel page table isolation (KPTI)",
}
"""How the kernel's log calls what it uses."""


def recorded(truth: ModuleType, case: str) -> list[dict[str, int]]:
    """The registers of every CPU that was recorded."""
    said = json.loads(truth.text(case, "registers.json"))
    return [
        {name: int(value, 16) for name, value in cpu.items()}
        for cpu in said.get("cpus") or [said["cpu0"]]
    ]


def running(truth: ModuleType, case: str) -> RunningKernel:
    return run(predicted(truth, case))


def root(kernel: RunningKernel, registers: Mapping[str, int]) -> int:
    """The table of process 1, as TTBR0 has it."""
    regime = kernel.machine.image().user_regime
    return regime.root_address(registers[regime.root_register])


@pytest.mark.parametrize("case", CASES)
def test_registers_behind_a_process(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    kernel = running(truth, case)
    cpus = recorded(truth, case)
    init = MmContext(root(kernel, cpus[0]), pid=1)
    if kernel.machine.board.firmware is not None:
        kernel.cpus.switch_to(MmContext(0x1000))  # efi_mm, when the kernel called the firmware
    compared = equal = 0
    for number, real in enumerate(cpus):
        cpu = kernel.cpus.select(number)
        kernel.cpus.switch_to(init)
        cpu.translate(0x1000, Access.EL0_READ)  # user space runs, and is left again
        kernel.cpus.switch_to(None)
        for name in COMPARED:
            if name in real:
                compared += 1
                assert f"{name} {cpu.registers.get(name, 0):#x}" == f"{name} {real[name]:#x}"
                equal += 1
    say(f"{case}: {equal} of {compared} registers of {len(cpus)} CPUs")
    assert compared >= 3 * len(cpus)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("arm64")])
def test_what_the_kernel_says_that_it_uses(
    truth: ModuleType, case: str, say: Callable[[str], None]
) -> None:
    kernel = running(truth, case)
    state = kernel.machine.arch_state
    assert isinstance(state, Arm64)
    used = features(state)
    log = "\n".join(boot_log(truth, case))
    for name, text in DETECTED.items():
        assert getattr(used, name) is (f"detected: {text}" in log), name
    [entries] = re.findall(r"ASID allocator initialised with (\d+) entries", log)
    assert (1 << used.asid_bits) >> used.kpti == int(entries)
    say(f"{case}: {len(DETECTED)} features and {entries} ASIDs")
