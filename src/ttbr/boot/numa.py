"""Memory nodes: arch_numa_init, from the device tree or with one node for everything.

Source: drivers/base/arch_numa.c, mm/numa.c, drivers/of/of_numa.c. What is done with the ranges of
nodes differs by release: `ttbr.boot.numa_blocks`.
"""

from __future__ import annotations

from ttbr.boot.acpi import takes_acpi
from ttbr.boot.machine import Machine
from ttbr.boot.numa_blocks import MemblockNodes, NodeBlocks, RejectedError
from ttbr.boot.of_numa import of_numa_init
from ttbr.boot.regions import BootPanic
from ttbr.kernel.structs import struct_size

WORD = 64
CPUMASK = "alloc_bootmem_cpumask_var"


def arch_numa_init(machine: Machine) -> None:
    """``arch_numa_init``: fill ``Machine.numa``; without NUMA there is node 0."""
    config, params = machine.kernel.config, machine.params
    if not config.enabled("NUMA"):
        return
    given = [value or "" for value in params.all("numa")]
    if any(value.startswith("fake=") for value in given) and config.enabled("NUMA_EMU"):
        machine.unknowns.append("numa=fake=: the nodes that it makes are not predicted")
    off = any(value.startswith("off") for value in given)
    blocks = (NodeBlocks if machine.kernel.release.has("numa_memblks") else MemblockNodes)(machine)
    if off or not _numa_init(machine, blocks, dummy=False, off=off):
        _numa_init(machine, blocks, dummy=True, off=off)


def _numa_init(machine: Machine, blocks: NodeBlocks, *, dummy: bool, off: bool) -> bool:
    """``numa_init``: False if this way to know the nodes fails."""
    try:
        blocks.begin()
        if dummy:
            _dummy_numa_init(machine, blocks, off=off)
        elif takes_acpi(machine):
            if not machine.kernel.release.has("acpi_numa_quiet"):
                machine.log.say("NUMA: Failed to initialise from firmware")
            raise RejectedError
        else:
            of_numa_init(machine, blocks)
        blocks.finish()
        if not blocks.parsed:
            machine.log.say("NUMA: No NUMA configuration found")
            raise RejectedError
        blocks.check()
    except RejectedError:
        blocks.reset_distance()
        return False
    machine.numa.online = sorted(blocks.parsed)
    for nid in machine.numa.online:
        setup_node_data(machine, nid)
    if machine.kernel.config.enabled("CPUMASK_OFFSTACK"):
        # One mask for every node up to the highest (setup_node_to_cpumask_map).
        cpus = machine.kernel.config.integer("NR_CPUS", 1)
        for _ in range(machine.numa.online[-1] + 1):
            size = -(-cpus // WORD) * WORD // 8
            _panicking(machine, machine.memblock.alloc(size, machine.memblock.cache_line, CPUMASK))
    return True


def _dummy_numa_init(machine: Machine, blocks: NodeBlocks, *, off: bool) -> None:
    """``dummy_numa_init``: one node for all memory."""
    memblock, say = machine.memblock, machine.log.say
    start, end = memblock.start_of_dram(), memblock.end_of_dram()
    if off:
        say("NUMA: NUMA disabled")
    pa = machine.kernel.pa
    say(f"NUMA: Faking a node at [mem {pa(start)}-{pa(end - 1)}]")
    blocks.add(0, start, end)
    blocks.parsed.add(0)


def setup_node_data(machine: Machine, nid: int) -> None:
    """``setup_node_data``: a ``struct pglist_data``, on the node itself if it has room."""
    memblock, say = machine.memblock, machine.log.say
    new = machine.kernel.release.has("numa_memblks")
    if not list(memblock.mem_pfn_ranges(nid)):
        say(f"NUMA: Initmem setup node {nid} [<memory-less node>]")
    line = memblock.cache_line
    size = -(-struct_size(machine.kernel, "pglist_data") // line) * line
    found = _panicking(machine, memblock.phys_alloc_try_nid(size, line, nid))
    span = f"[mem {found:#010x}-{found + size - 1:#010x}]"
    say(f"NODE_DATA({nid}) allocated {span}" if new else f"NUMA: NODE_DATA {span}")
    there = early_pfn_to_nid(machine, found // memblock.page_size)
    if there != nid:
        say(f"{'    ' if new else 'NUMA: '}NODE_DATA({nid}) on node {there}")
    machine.numa.node_data[nid] = found


def early_pfn_to_nid(machine: Machine, pfn: int) -> int:
    """``early_pfn_to_nid``: the node of a page frame; the first one for what is no memory."""
    memblock = machine.memblock
    region = memblock.memory.find(pfn * memblock.page_size)
    if not memblock.numa:
        return 0
    if region is None or region.nid < 0:
        return machine.numa.online[0]
    return region.nid


def _panicking(machine: Machine, found: int) -> int:
    if not found:
        raise BootPanic("the kernel panics: there is no memory for the data of its nodes")
    return found
