"""What Linux makes of a reserved region by its ``compatible``.

Source: kernel/dma/contiguous.c, coherent.c, swiotlb.c.
"""

from __future__ import annotations

from ttbr.boot.cma import cma_init_reserved_mem, early_fixup
from ttbr.boot.fdt import Node
from ttbr.boot.machine import Machine
from ttbr.kernel.pageblock import pageblock_bytes

M = 1 << 20
DMA_POOL = "shared-dma-pool"
RESTRICTED_POOL = "restricted-dma-pool"


def init_node(machine: Machine, node: Node, base: int, size: int) -> bool:
    """``__reserved_mem_init_node``: False if drivers know the kind and all refuse it."""
    config = machine.kernel.config
    drivers = (
        (DMA_POOL, "DMA_CMA", _setup_cma),
        (DMA_POOL, "DMA_DECLARE_COHERENT", _setup_coherent),
        (RESTRICTED_POOL, "DMA_RESTRICTED_POOL", _setup_restricted),
    )
    known = False
    for compatible, option, setup in drivers:
        if not _compatible(node, compatible) or not config.enabled(option):
            continue
        known = True
        if setup(machine, node, base, size):
            machine.log.say(
                f"OF: reserved mem: initialized node {node.name}, compatible id {compatible}"
            )
            return True
    return not known


def is_reusable_pool(node: Node) -> bool:
    """Whether a node asks for a contiguous memory area."""
    return _compatible(node, DMA_POOL) and node.prop("reusable") is not None


def _setup_cma(machine: Machine, node: Node, base: int, size: int) -> bool:
    """``rmem_cma_setup`` (kernel/dma/contiguous.c)."""
    default = node.prop("linux,cma-default") is not None
    if default and machine.params.cma is not None:
        machine.log.say(
            f"Reserved memory: bypass {node.name} node, using cmdline CMA params instead"
        )
        return False
    if node.prop("reusable") is None or node.prop("no-map") is not None:
        return False
    if (base | size) % pageblock_bytes(machine.kernel):
        machine.log.say("Reserved memory: incorrect alignment of CMA region")
        return False
    area = cma_init_reserved_mem(machine, base, size, node.name)
    if area is None:
        machine.log.say("Reserved memory: unable to setup CMA region")
        return False
    if not machine.kernel.release.has("cma_fixup_at_reserve"):
        early_fixup(machine, base, size)
    if default:
        machine.cma.default = area
    _say_created(machine, "CMA memory", base, size)
    return True


def _setup_coherent(machine: Machine, node: Node, base: int, size: int) -> bool:
    """``rmem_dma_setup`` (kernel/dma/coherent.c)."""
    if node.prop("reusable") is not None:
        return False
    if machine.kernel.arch == "arm" and node.prop("no-map") is None:
        machine.log.say("Reserved memory: regions without no-map are not yet supported")
        return False
    _say_created(machine, "DMA memory", base, size)
    return True


def _setup_restricted(machine: Machine, node: Node, base: int, size: int) -> bool:
    """``rmem_swiotlb_setup`` (kernel/dma/swiotlb.c)."""
    refused = ("reusable", "linux,cma-default", "linux,dma-default", "no-map")
    if any(node.prop(name) is not None for name in refused):
        return False
    _say_created(machine, "restricted DMA", base, size)
    return True


def _say_created(machine: Machine, what: str, base: int, size: int) -> None:
    at = machine.kernel.pa(base)
    machine.log.say(f"Reserved memory: created {what} pool at {at}, size {size // M} MiB")


def _compatible(node: Node, name: str) -> bool:
    found = node.prop("compatible")
    return found is not None and name.encode() in found.data.lower().split(b"\0")
