"""Commands that need an extra say so in one line where it is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Result

EXTRAS = {"tui": ("textual", ["image.elf"]), "serve": ("uvicorn", ["."])}


@pytest.mark.parametrize("command", EXTRAS)
def test_the_extra_is_missing(command: str, tmp_path: Path) -> None:
    module, arguments = EXTRAS[command]
    (tmp_path / f"{module}.py").write_text("raise ImportError('absent')")
    done = subprocess.run(
        [sys.executable, "-m", "ttbr", command, *arguments],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = Result(done.returncode, done.stdout, done.stderr)
    found.refused(module, f"pip install 'ttbr[{command}]'")


def test_the_explorer_needs_a_terminal(ttbr, predictions) -> None:
    ttbr("tui", predictions["qemu-virt-arm64"]).refused("terminal")
