"""``ttbr diff`` of a saved prediction against the recording at the same stage."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from recordings import Recording, image_spec, registers_file

CASES = (
    "arm64-stock-6.1",
    "arm64-4k-48",
    "arm64-4k-39",
    "arm32-vexpress-a9",
    "board-raspi3b",
    "board-raspi2b",
)
# The end of the boot that is predicted, which is what --save keeps unless told otherwise.
STAGE, RECORDED = "mm_init", "mem_init-end"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ttbr", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("case", CASES)
def test_prediction_and_recording_are_identical(
    truth: ModuleType, case: str, tmp_path: Path, say: Callable[[str], None]
) -> None:
    recording = Recording(truth, case)
    saved = tmp_path / "prediction.elf"
    arguments = recording.boot_arguments(tmp_path / "board.dtb")
    done = run("boot", *arguments, "--save", saved)
    assert done.returncode == 0, done.stderr
    ram = recording.ram(RECORDED)
    spec = image_spec(ram, tmp_path)
    registers = registers_file(recording.registers(RECORDED), tmp_path / "registers.json")

    same = run("diff", saved, spec, "--registers", registers)
    assert same.returncode == 0, same.stdout + same.stderr
    assert same.stdout.splitlines()[-1] == "identical"

    # One descriptor changed in the recording: the kernel's first instruction loses its page.
    text = run("dump", saved, "--where", "x", "--json")
    mapping = json.loads(text.stdout)["mappings"][0]
    steps = json.loads(run("translate", saved, mapping["va"], "--json").stdout)[0]["steps"]
    leaf = steps[-1]
    at, width = int(leaf["address"], 16), 8 if "arm64" in case or "3b" in case else 4
    base = max(b for b in ram if b <= at)
    ram[base] = ram[base].copy()
    ram[base][at - base : at - base + width] = np.zeros(width, np.uint8)
    spec = image_spec(ram, tmp_path)
    other = run("diff", saved, spec, "--registers", registers, "--json")
    assert other.returncode == 1
    (row,) = [row for root in json.loads(other.stdout)["roots"] for row in root["differences"]]
    assert (row["va"], row["change"]) == (mapping["va"], "only_a")
    assert row["region"]
    say(f"diff {case}: identical at {STAGE}; one changed descriptor found in {row['region']}")
