"""A board: its device tree, and what of it decides how Linux sets up memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ttbr.boot.efi.firmware import Firmware
from ttbr.boot.fdt import DeviceTree, Node, Property
from ttbr.boot.fdt_edit import with_chosen, with_memory
from ttbr.boot.qemu_boards import lacks_peripherals, starts_one_core
from ttbr.errors import InputError
from ttbr.kernel.cpu import architecture
from ttbr.memory.physical import Bank


class NoMemory(InputError):
    """A device tree that names no memory: the loader is to say where it is."""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """One (base, size) pair of a memory node, in bytes, as the node has it."""

    base: int
    size: int
    hotpluggable: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A machine before Linux: device tree, RAM and CPUs.

    ``tree`` is as the loader finds it, with the memory and command line asked for. ``memory``
    holds the entries that Linux reads, in its order; ``ram`` the RAM that there is.
    ``cpus`` is the number of CPUs present; ``cpu_compatible`` belongs to the first one.
    ``firmware`` is that of a boot through UEFI, whose memory map then is where ``ram`` is from.
    ``bare_core``: the only core is a Cortex-A9 without private peripherals, whose CBAR is 0.
    ``unknowns`` are sentences about what had to be assumed.
    """

    tree: DeviceTree
    memory: tuple[MemoryEntry, ...]
    ram: tuple[Bank, ...]
    cpus: int
    cpu_compatible: tuple[str, ...]
    model: str
    compatible: tuple[str, ...]
    bare_core: bool = False
    firmware: Firmware | None = None
    unknowns: tuple[str, ...] = field(default=())

    @classmethod
    def from_dtb(
        cls,
        blob: bytes,
        memory: Sequence[tuple[int | None, int]] = (),
        *,
        bootargs: str | None = None,
        cpus: int | None = None,
        firmware: Firmware | None = None,
    ) -> Board:
        """Read a device tree blob.

        Args:
            blob: the tree as the kernel is handed it, or as the board's makers ship it.
            memory: (base, size) pairs in bytes that replace the tree's memory; a base of None is
                where the tree's begins.
            bootargs: a command line that replaces the one in /chosen.
            cpus: the number of CPUs present, if not all of the tree's.
            firmware: of a boot through UEFI; the tree's memory then does not count.

        Raises:
            InputError: not a device tree, no memory anywhere, ``memory`` overlaps itself, or
                there is a firmware's memory map beside it.
        """
        tree = DeviceTree.parse(blob)
        unknowns: list[str] = []
        if memory and firmware is not None:
            raise InputError(
                "memory is said twice: by the EFI memory map, which Linux goes by, and by hand"
            )
        if memory:
            banks = [(_first(tree) if base is None else base, size) for base, size in memory]
            tree = DeviceTree.parse(with_memory(tree, banks))
        if bootargs is not None:
            tree = DeviceTree.parse(with_chosen(tree, bootargs=bootargs))
        entries = tuple(memory_entries(tree))
        ram = tuple(_ram(tree)) if firmware is None else firmware.ram
        if not ram:
            raise NoMemory(
                "the device tree has no memory node with a size: say where RAM is "
                "(--memory SIZE@BASE), or how the firmware describes it (--efi-memmap FILE)"
            )
        nodes = _cpu_nodes(tree)
        compatible = _strings(tree.root.prop("compatible"))
        count = cpus or max(len(nodes), 1)
        if cpus is None and count > 1 and starts_one_core(tree, compatible):
            unknowns.append(
                f"the tree names {count} CPUs, but QEMU, which has changed it, leaves /cpus alone: "
                "one CPU is assumed, QEMU's default (cpus says otherwise)"
            )
            count = 1
        return cls(
            tree=tree,
            memory=entries,
            ram=ram,
            cpus=count,
            cpu_compatible=_strings(nodes[0].prop("compatible")) if nodes else (),
            model=next(iter(_strings(tree.root.prop("model"))), ""),
            compatible=compatible,
            bare_core=lacks_peripherals(tree, compatible, count),
            firmware=firmware,
            unknowns=tuple(unknowns),
        )

    @property
    def arch(self) -> str | None:
        """``arm64`` or ``arm``, by the first CPU, else by the timer; None if it is not known."""
        return architecture(self.cpu_compatible) or _timer_architecture(self.tree)

    @property
    def initrd(self) -> tuple[int, int] | None:
        """(start, size) of the initrd that /chosen names, in bytes, or None."""
        return chosen_initrd(self.tree)


# The architected timer's binding (Documentation/devicetree/bindings/timer/arm,arch_timer.yaml). An
# ARMv8 timer that also names ARMv7's is found on boards of both.
_TIMERS = {"arm,armv7-timer": "arm", "arm,armv8-timer": "arm64"}


def _timer_architecture(tree: DeviceTree) -> str | None:
    """The architecture that the system timer is of, for trees whose CPU says nothing."""
    timer = tree.find("/timer")
    names = _strings(timer.prop("compatible")) if timer is not None else ()
    return next((_TIMERS[name] for name in names if name in _TIMERS), None)


def chosen_initrd(tree: DeviceTree) -> tuple[int, int] | None:
    """(start, size) of what ``linux,initrd-start`` and ``-end`` say; None without an initrd.

    Source: drivers/of/fdt.c: early_init_dt_check_for_initrd.
    """
    chosen = tree.find("/chosen")
    start, end = (
        chosen.prop(f"linux,initrd-{edge}") if chosen else None for edge in ("start", "end")
    )
    if start is None or end is None:
        return None
    low, high = _number(start), _number(end)
    return (low, high - low) if low < high else None


def c_string(found: Property) -> str:
    """The data up to the first NUL, as the kernel's string functions see it."""
    return found.data.partition(b"\0")[0].decode("latin-1")


def _number(found: Property) -> int:
    """All whole cells as one number, of which 64 bits are kept (of_read_number)."""
    whole = len(found.data) // 4 * 4
    return int.from_bytes(found.data[:whole], "big") & ((1 << 64) - 1)


def _strings(found: Property | None) -> tuple[str, ...]:
    if found is None:
        return ()
    return tuple(part.decode("latin-1") for part in found.data.rstrip(b"\0").split(b"\0") if part)


def memory_entries(tree: DeviceTree) -> list[MemoryEntry]:
    """The entries of the memory nodes in the order of the tree (early_init_dt_scan_memory)."""
    entries: list[MemoryEntry] = []
    for node in tree.memory_nodes():
        found = node.prop("linux,usable-memory") or node.prop("reg")
        if found is None or not node.available:
            continue
        hotpluggable = node.prop("hotpluggable") is not None
        entries += [
            MemoryEntry(base & ((1 << 64) - 1), size & ((1 << 64) - 1), hotpluggable)
            for base, size in found.pairs(tree.root.address_cells, tree.root.size_cells)
        ]
    return entries


def _ram(tree: DeviceTree) -> list[Bank]:
    """All RAM that the tree names, also what Linux is told not to use, ascending."""
    cells = tree.root.address_cells, tree.root.size_cells
    named = sorted(
        (base, base + size)
        for node in tree.memory_nodes()
        for name in ("reg", "linux,usable-memory")
        if (found := node.prop(name)) is not None and node.available
        for base, size in found.pairs(*cells)
        if size and base + size <= 1 << 64
    )
    joined: list[tuple[int, int]] = []
    for base, end in named:
        if joined and base <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((base, end))
    return [Bank(base, end - base) for base, end in joined]


def _first(tree: DeviceTree) -> int:
    """Where the tree's RAM begins; `InputError` if it has none."""
    found = _ram(tree)
    if not found:
        raise InputError(
            "the device tree does not say where RAM begins: say it (--memory SIZE@BASE)"
        )
    return found[0].base


def _cpu_nodes(tree: DeviceTree) -> list[Node]:
    """The available CPUs below /cpus, by name or device_type (for_each_of_cpu_node)."""
    cpus = tree.find("/cpus")
    if cpus is None:
        return []
    return [
        node
        for node in cpus.children
        if node.available
        and (node.base_name == "cpu" or _strings(node.prop("device_type")) == ("cpu",))
    ]
