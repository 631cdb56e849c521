"""The same recordings as if their kernels carried less: no BTF, symbols of functions alone."""

import numpy as np

from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.kernel_symbols import KernelSymbols
from ttbr.recover.linux import Linux


class Lean(Linux):
    """Without CONFIG_DEBUG_INFO_BTF and CONFIG_KALLSYMS_ALL, and what is exported is not looked at.

    Exported variables are what the stock kernels among the recordings have.
    """

    btf = None
    _lists_code_alone = False

    @property
    def kallsyms(self):
        found = super().kallsyms
        kept = [row for row, letter in enumerate(found.types) if letter in "tTwW"]
        return KernelSymbols(
            found.address[kept],
            "".join(found.types[row] for row in kept),
            [found.names[row] for row in kept],
            np.full(len(kept), -1, np.int16),
        )


def test_what_functions_and_data_show(machine, linux, say):
    """Nothing that is found differs from what is found with everything; what is lost is counted."""
    lean = Lean(with_registers(Image(machine.image.memory))[0])
    assert lean.symbol("init_task") is None
    assert lean.init_task == linux.init_task
    wrong = {}
    unknown = 0
    for name, wanted in machine.expected["struct_offsets"].items():
        found = lean.layouts.offset(*name.split(".", 1))
        unknown += found is None
        if found not in (None, wanted):
            wrong[name] = (found, wanted)
    assert not wrong
    for column in ("address", "pid", "tgid", "parent", "mm", "pgd"):
        assert np.array_equal(getattr(lean.tasks, column), getattr(linux.tasks, column)), column
    assert lean.tasks.comm == linux.tasks.comm
    told = lean.tasks.asid >= 0
    assert np.array_equal(lean.tasks.asid[told], linux.tasks.asid[told])
    for column in ("mm", "start", "end", "flags", "offset", "device", "inode"):
        assert np.array_equal(getattr(lean.vmas, column), getattr(linux.vmas, column)), column
    assert lean.vmas.name == linux.vmas.name
    memory, full = KernelMemory(lean), KernelMemory(linux)
    assert lean.modules.names == linux.modules.names
    assert np.array_equal(memory.memblock.base, full.memblock.base)
    assert np.array_equal(memory.memblock.size, full.memblock.size)
    assert lean.nodes == linux.nodes
    assert np.array_equal(memory.zones.managed, full.zones.managed)
    assert memory.zones.name == full.zones.name
    assert np.array_equal(memory.free_blocks.pfn, full.free_blocks.pfn)
    assert memory.counter_names == full.counter_names
    lost = sorted(set(memory.meminfo.unknown) - set(full.meminfo.unknown))
    same_vmalloc = "equal" if memory.vmalloc is not None else "unknown"
    if memory.vmalloc is not None:
        assert np.array_equal(memory.vmalloc.start, full.vmalloc.start)
    say(
        f"{machine.case}: without BTF and data symbols: tasks, areas, memblock, zones, free blocks "
        f"equal; offsets unknown {unknown}, vmalloc {same_vmalloc}, meminfo lines lost {len(lost)}"
    )
