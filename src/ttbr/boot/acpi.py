"""Whether ACPI describes the machine, and not the device tree.

Source: arch/arm64/kernel/acpi.c (dt_is_stub, parse_acpi, acpi_boot_table_init).
"""

from __future__ import annotations

from ttbr.boot.fdt import Node
from ttbr.boot.machine import Machine


def takes_acpi(machine: Machine) -> bool:
    """Whether the kernel goes by ACPI's tables: it was booted through UEFI with an empty tree.

    Or it was told to (``acpi=on``, ``acpi=force``, unless there is ``acpi=off``). Tables that turn
    out to be unusable are not thought of.
    """
    firmware = machine.board.firmware is not None
    if machine.kernel.arch != "arm64" or not machine.kernel.config.enabled("ACPI") or not firmware:
        return False
    words = machine.params.all("acpi")
    if "off" in words:
        return False
    return "on" in words or "force" in words or _is_empty(machine)


def _is_empty(machine: Machine) -> bool:
    """``dt_is_stub``: the tree says nothing of the machine but how it was booted."""
    return all(
        node.name == "chosen" or (node.name == "hypervisor" and _is_xen(node))
        for node in machine.tree.root.children
    )


def _is_xen(node: Node) -> bool:
    found = node.prop("compatible")
    return found is not None and b"xen,xen" in found.data.split(b"\0")
