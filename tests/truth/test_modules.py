"""The first module of a recorded kernel lies where the model says that modules go."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from forward_arm64 import Recording

from ttbr.kernel.arm64_layout import layout
from ttbr.kernel.arm64_modules import module_region

CASES = [
    *("arm64-4k-48", "arm64-4k-39", "arm64-4k-48-efi", "arm64-4k-48-numa", "arm64-4k-52"),
    *("arm64-4k-52-on-48", "arm64-16k-47", "arm64-64k-42", "arm64-stock-6.1"),
    "arm64-4k-48-kaslr",
]


@pytest.mark.parametrize("case", CASES)
def test_a_module(truth: ModuleType, case: str, say: Callable[[str], None]) -> None:
    kernel = Recording(truth, case).kernel
    offset = int(truth.expected(case).get("kaslr_offset", "0"), 16)
    found = module_region(kernel, layout(kernel.config, kernel.release), offset)
    assert found is not None
    assert found.near is not None
    line = truth.text(case, "modules.txt").split()
    at, size = int(line[line.index("Live") + 1], 16), int(line[1])
    low, high = found.near
    assert low <= at
    assert at + size <= high
    if not found.random:
        assert at == low  # it was the only one
    say(f"{case}: module at {at:#x}, {'in' if found.random else 'at the start of'} [{low:#x}, …)")
