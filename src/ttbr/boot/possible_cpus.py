"""Which CPUs the kernel takes for possible: cpu_possible_mask as setup_arch() leaves it.

Source: arch/arm64/kernel/smp.c: smp_init_cpus; arch/arm/kernel/devtree.c: arm_dt_init_cpu_maps;
drivers/of/base.c: of_get_next_cpu_node; kernel/smp.c: nrcpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.params import leading_number
from ttbr.kernel.structs import max_numnodes

if TYPE_CHECKING:
    from ttbr.boot.fdt import Node
    from ttbr.boot.machine import Machine

HWID_BITS = {"arm64": 0xFF_00FF_FFFF, "arm": 0xFF_FFFF}
"""MPIDR_HWID_BITMASK: the bits that a CPU node's ``reg`` may have."""


@dataclass(frozen=True, slots=True)
class PossibleCpu:
    """A logical CPU; ``node``: its memory node, 0 where the tree names none."""

    number: int
    node: int = 0


def possible_cpus(machine: Machine) -> list[PossibleCpu]:
    """The possible CPUs, the boot CPU first; the first CPU node is taken for the boot CPU's."""
    kernel = machine.kernel
    if not kernel.config.enabled("SMP"):
        return [PossibleCpu(0)]
    limit = nr_cpu_ids(machine)
    found: list[PossibleCpu] = []
    seen: set[int] = set()
    mask = HWID_BITS[kernel.arch]
    for node in _cpu_nodes(machine):
        hwid = _hwid(node)
        if hwid is None or hwid & ~mask or hwid in seen:
            if kernel.arch == "arm":
                return [PossibleCpu(0)]  # arm trusts none of them then
            continue
        if len(found) >= limit:
            break
        seen.add(hwid)
        # arm64 brings no CPU up, but the first, whose method it does not know.
        if found and kernel.arch == "arm64" and node.prop("enable-method") is None:
            continue
        found.append(PossibleCpu(len(found), _numa_node(machine, node)))
    return found or [PossibleCpu(0)]


def nr_cpu_ids(machine: Machine) -> int:
    """CONFIG_NR_CPUS, or fewer by ``nr_cpus=``."""
    most = machine.kernel.config.integer("NR_CPUS", 1)
    for text in machine.params.all("nr_cpus"):
        asked = leading_number(text or "")[0]
        if 0 < asked < most:
            most = asked
    return most


def _cpu_nodes(machine: Machine) -> list[Node]:
    """for_each_of_cpu_node(): children of /cpus that are CPUs and have not failed."""
    cpus = machine.tree.find("/cpus")
    found = []
    for child in cpus.children if cpus is not None else ():
        status = child.prop("status")
        if status is not None and status.data.startswith(b"fail"):
            continue
        kind = child.prop("device_type")
        if child.base_name == "cpu" or (kind and kind.data == b"cpu\0"):
            found.append(child)
    return found


def _hwid(node: Node) -> int | None:
    """of_get_cpu_hwid(): the first address of ``reg``."""
    reg = node.prop("reg")
    cells = node.parent.address_cells if node.parent is not None else 1
    if reg is None or not cells or len(reg.data) < 4 * cells:
        return None
    return int.from_bytes(reg.data[: 4 * cells], "big") & ((1 << 64) - 1)


def _numa_node(machine: Machine, node: Node) -> int:
    """early_map_cpu_to_node(): by of_node_to_nid(), 0 where the kernel made up the only node."""
    if not machine.kernel.config.enabled("NUMA"):
        return 0
    at: Node | None = node
    while at is not None:
        found = at.prop("numa-node-id")
        if found is not None and len(found.data) >= 4:
            number = int.from_bytes(found.data[:4], "big")
            known = number < max_numnodes(machine.kernel) and machine.numa.online != [0]
            return number if known else 0
        at = at.parent
    return 0
