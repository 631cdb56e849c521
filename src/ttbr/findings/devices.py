"""Rules about devices: registers in RAM, registers larger than the vmalloc area, static maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.boot import Boot
from ttbr.boot.fdt import Node
from ttbr.boot.of_address import address_to_resource
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Bytes, Found, Severity, argument, node
from ttbr.findings.words import said
from ttbr.format import about, size
from ttbr.kernel.arm_layout import VMALLOC_END

NOT_DEVICES = ("memory", "reserved-memory", "cpus", "chosen", "aliases")
OUT_OF_VMALLOC = "BUG: mapping for {physical} at {virtual} out of vmalloc space"
USER_REGION = "BUG: not creating mapping for {physical} at {virtual} in user region"
NO_PAGES = "BUG: map for {physical} at {virtual} can not be mapped using pages, ignoring."
VMAP_FAILED = "vmap allocation for size {size} failed: use vmalloc=<size> to increase size"
RANGE_FAILED = (
    "vmalloc_node_range for size {size} failed: Address range restricted to {start} - {end}"
)


@CHECK.rule(
    "device-in-ram",
    Severity.WARNING,
    "a device's registers lie in mapped RAM",
    source="arch/arm64/mm/ioremap.c, arch/arm/mm/ioremap.c: pfn_is_map_memory",
    remedy="If the device really uses this RAM, reserve it with a no-map node; else correct the "
    "node's reg, or the memory node.",
    example="framebuffer@60000000 { reg = <0x0 0x60000000 0x0 0x800000>; }; and no no-map node.",
)
@of_boot
def device_in_ram(boot: Boot) -> Iterable[Found]:
    """ioremap refuses memory that the linear map has: the driver fails with a warning.

    Two mappings of one page with different attributes are not allowed; no-map takes the page out
    of the linear map.
    """
    memory = boot.machine.memblock
    if "memblock" not in boot.stages:
        return
    ranges = list(memory.for_each_mem_range())
    for device, base, length in _registers(boot):
        for low, high in ranges:
            begin, end = max(base, low), min(base + length, high)
            if begin < end:
                yield Found(
                    f"the registers of {device.path} at {base:#x} lie in RAM that is mapped",
                    "reserve the RAM with a no-map node, or correct reg",
                    numbers={"in RAM": Bytes(end - begin)},
                    ranges={"registers": (base, base + length - 1)},
                    places=(node(device.path, "reg"),),
                )
                break


@CHECK.rule(
    "vmalloc-too-small-for-device",
    Severity.WARNING,
    "a device's registers do not fit into the vmalloc area",
    source="mm/vmalloc.c: alloc_vmap_area; arch/arm/mm/ioremap.c",
    remedy="Raise vmalloc= (which takes lowmem), or choose another VMSPLIT; drivers that map a "
    "part only can do without.",
    example="A PCIe window of 256 MiB in reg, and vmalloc=240M.",
    kernel=(VMAP_FAILED, RANGE_FAILED),
)
@of_boot
def vmalloc_too_small_for_device(boot: Boot) -> Iterable[Found]:
    """On 32-bit ARM ioremap, modules' data and vmalloc share what vmalloc= leaves.

    A driver that maps all of such a region fails when it is probed.
    """
    state = boot.machine.arch_state
    if not isinstance(state, ArmBoot) or not state.lowmem.limit:
        return
    room = VMALLOC_END - state.vmalloc_start
    for device, base, length in _registers(boot):
        if length >= room and base <= boot.machine.memblock.address_max:
            yield Found(
                f"{device.path} has {about(length)} of registers at {base:#x}, the vmalloc area "
                f"{size(room)}",
                "raise vmalloc=, if the driver maps all of it",
                numbers={"registers": Bytes(length), "vmalloc": Bytes(room)},
                ranges={"registers": (base, base + length - 1)},
                places=(argument("vmalloc="), node(device.path, "reg")),
            )


@CHECK.rule(
    "static-map-refused",
    Severity.ERROR,
    "a static mapping of the machine is refused or out of place",
    source="arch/arm/mm/mmu.c: create_mapping, __create_mapping",
    remedy="Move the mapping into the vmalloc area (CONFIG_DEBUG_UART_VIRT, the machine's map_io), "
    "or lower vmalloc= so that lowmem does not reach it.",
    example="CONFIG_DEBUG_UART_VIRT=0xe0000000 with lowmem up to 0xf0000000.",
    kernel=(OUT_OF_VMALLOC, USER_REGION, NO_PAGES),
)
@of_boot
def static_map_refused(boot: Boot) -> Iterable[Found]:
    """Static device mappings of 32-bit ARM belong between the end of lowmem and 0xff800000."""
    for line in said(boot, OUT_OF_VMALLOC, USER_REGION, NO_PAGES):
        yield Found(
            f"the static mapping of {line['physical']} at {line['virtual']} is not where static "
            "mappings belong",
            "move it into the vmalloc area",
            kernel=line.lines,
        )


def _registers(boot: Boot) -> Iterator[tuple[Node, int, int]]:
    """(node, physical address, bytes) of what the tree's available devices have in their reg."""
    pending = [
        child for child in boot.machine.tree.root.children if child.base_name not in NOT_DEVICES
    ]
    while pending:
        device = pending.pop()
        if not device.available:
            continue
        pending.extend(device.children)
        index = 0
        while (found := address_to_resource(device, index)) is not None:
            yield device, *found
            index += 1
