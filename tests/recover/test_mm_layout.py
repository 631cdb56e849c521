"""Where ``struct mm_struct`` has its root table, by what lies there."""

from types import SimpleNamespace

import numpy as np
import pytest

from ttbr.arch.regime import RegimePair
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.recover.assumed_registers import arm64_registers
from ttbr.recover.mm_layout import _pgd

BASE, SIZE = 0x4000_0000, 1 << 20


@pytest.mark.parametrize(("granule", "va_bits"), [(16384, 48), (4096, 39), (65536, 42), (4096, 48)])
def test_roots_as_small_as_two_entries_lie_side_by_side(granule: int, va_bits: int) -> None:
    user = RegimePair.from_registers(arm64_registers(granule, va_bits, 0)).lower
    assert user is not None
    size = user.levels[0].entries * user.format.entry_size
    ram = Ram([Bank(BASE, SIZE)])
    roots = [BASE + 0x8_0000 + index * size for index in range(1, 4)]
    for index, root in enumerate(roots):
        table = BASE + 0x4_0000 + index * 0x1_0000
        ram.write(root + size - 8, (table | 3).to_bytes(8, "little"))
    words = np.zeros((len(roots), 4), np.uint64)
    words[:, 0] = [BASE + 0x1234 + index for index in range(len(roots))]
    words[:, 2] = roots
    kernel = SimpleNamespace(
        word=8,
        space=SimpleNamespace(memory=ram),
        locate=lambda values: (values, np.where(values == 0, 0, SIZE).astype(np.uint64)),
    )
    found: dict = {}
    _pgd(kernel, words, user, found)
    assert found["pgd"].value == 16
