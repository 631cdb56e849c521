"""kpti_install_ng_mappings(): every kernel mapping made non-global, once KPTI is decided.

A kernel that KASLR has moved maps itself non-global from the start; any other learns only when it
knows all its CPUs that it needs KPTI, and then rewrites its tables while none of them is in use.

Source: arch/arm64/kernel/cpufeature.c, arch/arm64/mm/proc.S (idmap_kpti_install_ng_mappings).
"""

from __future__ import annotations

import numpy as np

from ttbr.boot.arm64.state import Arm64
from ttbr.boot.arm64.tables import DESCRIPTOR_SIZE, Root
from ttbr.kernel.arm64_geometry import LAST_LEVEL
from ttbr.kernel.arm64_prot import NG, TYPE_MASK, TYPE_TABLE
from ttbr.run.kernel_prot import arm64_prot
from ttbr.run.kernel_space import KernelSpace


def kpti_install_ng_mappings(space: KernelSpace) -> None:
    """Set nG in all leaves below swapper_pg_dir, and in all that are made from here on."""
    state = space.state
    assert isinstance(state, Arm64)
    if state.non_global:
        return
    seen: set[int] = set()
    changed = _table(state, state.root("swapper_pg_dir"), seen)
    state.non_global = True
    space.prot = arm64_prot(state)
    what = f"{changed} entries in {len(seen)} tables are non-global"
    space.log.add("kpti", "kpti_install_ng_mappings", what, entries=changed)


def _table(state: Arm64, table: Root, seen: set[int]) -> int:
    """Change a table and all below it, each once; how many entries were changed."""
    if table.address in seen:
        return 0
    seen.add(table.address)
    ram, output = state.machine.ram, state.tables.output
    raw = ram.read(table.address, table.entries * DESCRIPTOR_SIZE)
    old = np.frombuffer(raw, "<u8").astype(np.uint64)
    kind = old & np.uint64(TYPE_MASK)
    tables = (kind == np.uint64(TYPE_TABLE)) & (table.level < LAST_LEVEL)
    valid = (old & np.uint64(1)) != 0
    leaves = valid & ~tables & ((old & np.uint64(NG)) == 0)
    if leaves.any():
        ram.write_words(table.address, np.where(leaves, old | np.uint64(NG), old), DESCRIPTOR_SIZE)
    entries = state.layout.geometry.entries
    below = [Root(output.decode(entry), table.level + 1, entries) for entry in old[tables].tolist()]
    return int(leaves.sum()) + sum(_table(state, root, seen) for root in below)
