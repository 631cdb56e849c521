"""What a device tree that QEMU handed over does not say: QEMU never edits /cpus.

Of its edits only boards with Cortex-A9 cores matter, whose kernel asks the hardware how many cores
there are; and of its names one that two CPUs have.
Source: QEMU's hw/arm/boot.c (arm_load_dtb), vexpress.c, highbank.c, fsl-imx6.c, xilinx_zynq.c,
realview.c, target/arm/cpu64.c (aarch64_max_initfn).
"""

from __future__ import annotations

from itertools import pairwise

from ttbr.boot.fdt import DeviceTree
from ttbr.kernel.cpu import QEMU_MAX, Cpu

VIRT_MACHINE = "linux,dummy-virt"
VIRTIO = b"virtio,mmio"
MAX_CALLS_ITSELF = "arm,cortex-a57"

# Root compatibles of the boards that QEMU models with one core unless -smp says otherwise.
ONE_CORE = frozenset(
    {"arm,vexpress,v2p-ca9", "calxeda,highbank", "fsl,imx6q", "xlnx,zynq-7000", "arm,realview-pbx"}
)
# Those of them whose core, if it is the only one, has no private peripherals: its CBAR reads as 0.
NO_PERIPHERALS_ALONE = frozenset({"fsl,imx6q"})


def starts_one_core(tree: DeviceTree, compatible: tuple[str, ...]) -> bool:
    """Whether QEMU handed the tree over, and gives its board one core by default.

    QEMU puts its virtio devices into a tree that is not its own (vexpress), and blanks the memory
    nodes out, which leaves FDT_NOP tokens between the nodes; compilers of trees leave none.
    """
    if VIRT_MACHINE in compatible:
        return False
    nodes = tree.root.children
    blanked = any(node.end != after.offset for node, after in pairwise(nodes))
    return _has_virtio(tree) or (blanked and not ONE_CORE.isdisjoint(compatible))


def lacks_peripherals(tree: DeviceTree, compatible: tuple[str, ...], cpus: int) -> bool:
    """Whether the board's only core has no private peripherals, as QEMU's i.MX6 has none."""
    alone = cpus == 1 and not NO_PERIPHERALS_ALONE.isdisjoint(compatible)
    return alone and starts_one_core(tree, compatible)


def disguised_cpu(
    compatible: tuple[str, ...], cpu_compatible: tuple[str, ...], arch: str
) -> str | None:
    """A sentence about QEMU's ``-cpu max``, which calls itself a Cortex-A57 up to QEMU 8; or None.

    With its 52 bits and E0PD it boots otherwise; nothing in the tree tells the two apart.
    """
    if arch != "arm64" or VIRT_MACHINE not in compatible or MAX_CALLS_ITSELF not in cpu_compatible:
        return None
    return (
        "the tree's CPU is taken for a Cortex-A57, as which QEMU's -cpu max introduces itself, "
        "too: give its ID registers (--registers) if it is that"
    )


def unmasked_cpu(disguised: bool, cpu: Cpu, page_shift: int) -> tuple[Cpu, str | None]:
    """The CPU, and what was concluded: a Cortex-A57 that runs 16K pages is QEMU's ``max``.

    ``disguised``: the tree is one in which `disguised_cpu` finds the two alike.
    """
    if not disguised or cpu.granule(page_shift):
        return cpu, None
    return QEMU_MAX, (
        f"the tree's CPU is taken for QEMU's -cpu max, which introduces itself as a {cpu.name}, "
        f"too: that one has no pages of {1 << page_shift - 10}K, as the kernel needs them"
    )


def _has_virtio(tree: DeviceTree) -> bool:
    return any(
        (found := node.prop("compatible")) is not None and VIRTIO in found.data.split(b"\0")
        for node in tree.root.walk()
    )
