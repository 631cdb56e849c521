"""A machine of 4 TiB is as small in the model as what is used of it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("large_machine.py")
LIMIT = 2 << 30


@pytest.mark.parametrize("page_shift", [12, 14, 16])
def test_four_terabytes_in_two_gigabytes(page_shift: int, say: Callable[[str], None]) -> None:
    """With blocks in the linear map: without, its tables alone would be a page for each 512."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(page_shift), "rodata=on"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    say(
        f"4 TiB in pages of {1 << page_shift >> 10}K: booted and used with {found['peak'] >> 20} "
        f"MiB, {found['tables'] >> 10} KiB of tables and other bytes written"
    )
    assert found["free"] > 3.9 * (1 << 40)
    assert found["peak"] < LIMIT
