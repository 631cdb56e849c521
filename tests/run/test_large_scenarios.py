"""The scenarios that ship run on 4 TiB as they do on the boards that they come with."""

from collections.abc import Callable
from pathlib import Path

import pytest
from large_scenarios import SCENARIOS, machine, ran

LIMIT = 2 << 30
PAGE_SHIFTS = {
    "asid-rollover": 14,
    "fork-cow": 16,
    "page-table-cost": 12,
    "tlb-reach": 14,
    "young-dirty": 16,
}
"""One size of pages each: `large_scenarios.py` as a program runs all in all."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_four_terabytes_in_two_gigabytes(
    name: str, tmp_path: Path, say: Callable[[str], None]
) -> None:
    shift = PAGE_SHIFTS[name]
    found = ran(name, machine(shift, tmp_path))
    assert found.code == 0, found.said
    say(f"4 TiB in pages of {1 << shift >> 10}K: {name} ran in {found.peak >> 20} MiB")
    assert found.peak < LIMIT
