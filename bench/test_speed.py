"""The works of run.py under pytest-benchmark (``pip install 'ttbr[bench]'``, ``pytest bench``).

Its table gives, in parentheses, how many times the shortest of a group each work takes; a group's
shortest is mostly its floor.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from run import groups

CASES = [(group, work) for group in groups(large=False) for work in group.works]


@pytest.mark.parametrize(
    ("group", "work"), CASES, ids=[f"{group.title}: {work.name}" for group, work in CASES]
)
def test_speed(group: Any, work: Any, benchmark: Any) -> None:
    benchmark.group = group.title
    benchmark.extra_info["units per call"] = work.amount
    benchmark.pedantic(work.call, rounds=work.rounds)
