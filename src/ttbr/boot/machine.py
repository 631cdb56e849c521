"""The machine that the stages of the boot work on."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttbr.boot.board import Board
from ttbr.boot.events import EventLog
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt import Node as TreeNode
from ttbr.boot.free_all import HandOver
from ttbr.boot.loader import Placement
from ttbr.boot.memblock import INIT_REGIONS, Memblock
from ttbr.boot.params import Params, command_line
from ttbr.boot.qemu_boards import disguised_cpu, unmasked_cpu
from ttbr.boot.zones import Node
from ttbr.kernel.cpu import Cpu, find_cpu
from ttbr.kernel.kernel import Kernel
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image, ImageFacts

EFI_MEMORY_FACTOR = 8
MAX_RESERVED_REGIONS = 64


@dataclass(frozen=True, slots=True)
class CmaArea:
    """A contiguous-memory area: ``size`` bytes from physical address ``base``."""

    base: int
    size: int
    name: str


@dataclass
class HugePages:
    """struct hstate: how many pages of ``bytes`` are wanted, in all and by node.

    ``places``: physical addresses of those that memblock gave, which only gigantic ones need.
    ``turn``: the node that is next.
    """

    bytes: int
    pages: int = 0
    by_node: dict[int, int] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)
    turn: int = 0


@dataclass(frozen=True, slots=True)
class ReservedRegion:
    """A child of /reserved-memory that Linux keeps in its array (struct reserved_mem)."""

    path: str
    base: int
    size: int


@dataclass(slots=True)
class ReservedMem:
    """The kernel's array of reserved regions (drivers/of/of_reserved_mem.c: reserved_mem).

    ``saved``: (node, base, size) as entered; ``room``: how many it can hold.
    """

    saved: list[tuple[TreeNode, int, int]] = field(default_factory=list)
    room: int = MAX_RESERVED_REGIONS


@dataclass(slots=True)
class NumaState:
    """The nodes that there are (node_online_map), and where memory for each was taken from.

    ``node_data``: physical address of a node's ``struct pglist_data``, where it was allocated.
    """

    online: list[int] = field(default_factory=lambda: [0])
    node_data: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class CmaState:
    """What is known of contiguous memory (mm/cma.c, kernel/dma/contiguous.c)."""

    areas: list[CmaArea] = field(default_factory=list)
    default: CmaArea | None = None
    remap: list[tuple[int, int]] = field(default_factory=list)
    """(base, size) of what arm maps anew for DMA (dma_contiguous_early_fixup)."""


@dataclass
class Machine:
    """A machine during the boot; every stage changes it.

    ``registers``, ``roots`` and the fields below them are what the stages fill: registers by
    architectural name, root tables (physical addresses) by symbol. ``dtb`` is the physical
    address of ``tree``, ``initrd`` (start, size) or None once it is dropped, ``elfcorehdr``
    likewise. ``crash_areas``: (start, size) of what crashkernel= got, ``kfence_pool`` of KFENCE's
    pool. ``hugepages``: what the command line wants of huge pages, by size. ``nodes`` are the
    memory nodes and their zones, ``sections`` those of sparse memory (number → node),
    ``memmap_bytes`` the memory of all struct pages, ``section_arrays`` where those of a section
    lie that has an array of its own; ``nr_kernel_pages`` and ``nr_all_pages``
    what free_area_init() counts for the sizes of hash tables, ``distances`` those of the tree
    between nodes. ``command_line`` is what the kernel parses, known after the tree was scanned.
    ``kaslr_offset`` and ``memstart`` are what was observed of arm64's KASLR (None: nothing).
    ``phys_offset``: the physical address that arm maps at PAGE_OFFSET. ``page_offset``,
    ``markers`` and ``symbols`` (run-time virtual addresses) go into the images. ``arch_state``
    belongs to the architecture's stages. ``handed_over`` is what the page allocator got.
    """

    board: Board
    kernel: Kernel
    placement: Placement
    cpu: Cpu
    tree: DeviceTree
    ram: Ram
    memblock: Memblock
    log: EventLog
    kaslr_offset: int = 0
    memstart: int | None = None
    stage: str = "handoff"
    registers: dict[str, int] = field(default_factory=dict)
    roots: dict[str, int] = field(default_factory=dict)
    unknowns: list[str] = field(default_factory=list)
    params: Params = field(default_factory=Params)
    initrd: tuple[int, int] | None = None
    elfcorehdr: tuple[int, int] | None = None
    reserved_mem: ReservedMem = field(default_factory=ReservedMem)
    reserved_regions: list[ReservedRegion] = field(default_factory=list)
    cma: CmaState = field(default_factory=CmaState)
    numa: NumaState = field(default_factory=NumaState)
    nodes: list[Node] = field(default_factory=list)
    distances: dict[tuple[int, int], int] = field(default_factory=dict)
    sections: dict[int, int] = field(default_factory=dict)
    memmap_bytes: int = 0
    nr_kernel_pages: int = 0
    nr_all_pages: int = 0
    section_arrays: dict[int, int] = field(default_factory=dict)
    crash_areas: list[tuple[int, int]] = field(default_factory=list)
    kfence_pool: tuple[int, int] | None = None
    hugepages: dict[int, HugePages] = field(default_factory=dict)
    page_offset: int | None = None
    markers: list[tuple[int, str]] = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)
    arch_state: object = None
    handed_over: HandOver | None = None

    @classmethod
    def hand_over(
        cls,
        board: Board,
        kernel: Kernel,
        placement: Placement,
        *,
        tree: DeviceTree,
        cpu: Cpu | None = None,
        kaslr_offset: int = 0,
        memstart: int | None = None,
    ) -> Machine:
        """The machine at the kernel's first instruction, with the device tree in RAM.

        Args:
            board: RAM and CPUs.
            kernel: what was loaded; its bytes are not in RAM, only the tables that it will make.
            placement: where the loader put things; see `ttbr.boot.loader.check`.
            tree: the device tree as the loader hands it over.
            cpu: the boot CPU, if its registers are known; else the one that the tree names.
            kaslr_offset: the slide in bytes of the kernel's virtual addresses.
            memstart: arm64's memstart_addr as it was observed; None to derive it.
        """
        unknowns = [*board.unknowns, *placement.assumptions, *kernel.assumptions]
        if kernel.release.assumption:
            unknowns.append(kernel.release.assumption)
        if cpu is None:
            cpu, assumption = find_cpu(board.cpu_compatible, kernel.arch)
            disguised = disguised_cpu(board.compatible, board.cpu_compatible, kernel.arch)
            shift = kernel.page_size.bit_length() - 1
            cpu, concluded = unmasked_cpu(disguised is not None, cpu, shift)
            unknowns += [line for line in (assumption, concluded or disguised) if line]
        log = EventLog()
        ram = Ram(board.ram)
        ram.write(placement.dtb, tree.blob[: tree.totalsize])
        machine = cls(
            board=board,
            kernel=kernel,
            placement=placement,
            cpu=cpu,
            tree=tree,
            ram=ram,
            memblock=_memblock(kernel, log),
            log=log,
            kaslr_offset=kaslr_offset,
            memstart=memstart,
            unknowns=unknowns,
        )
        machine.registers.update(_id_registers(cpu, kernel.arch))
        return machine

    @property
    def dtb(self) -> int:
        """Physical address of the device tree."""
        return self.placement.dtb

    @property
    def phys_offset(self) -> int:
        """PHYS_OFFSET of arm: the physical address that is mapped at PAGE_OFFSET."""
        return self.placement.kernel - self.kernel.text_offset

    def physical(self, symbol: str) -> int:
        """Physical address of a symbol of the kernel image; KeyError if there is none."""
        return self.link_to_physical(self.kernel.symbols[symbol])

    def link_to_physical(self, address: int) -> int:
        """Physical address of a link-time address of the kernel image."""
        return address - self.kernel.symbols["_text"] + self.placement.kernel

    def node_distance(self, one: int, other: int) -> int:
        """How far a node is from another: 10 for itself, and 20 where nothing else is known."""
        return self.distances.get((one, other), 10 if one == other else 20)

    def enter(self, stage: str) -> None:
        """Begin a stage: events carry its name from here on."""
        self.stage = self.log.stage = stage

    def zero(self, address: int, size: int) -> None:
        """Make ``size`` bytes at a physical address zero."""
        self.ram.write(address, bytes(size))

    def parse_early_param(self) -> None:
        """``parse_early_param``: what the command line tells memblock counts from here on.

        ``memblock=debug`` prints its calls, ``movable_node`` keeps it out of HOTPLUG memory.
        """
        if self.params.memblock_debug:
            self.log.printing = True
        # mm/memory_hotplug.c: the parameter is among the code that removes memory.
        if self.params.given("movable_node") and self.kernel.config.enabled("MEMORY_HOTREMOVE"):
            self.memblock.movable_node = True

    def set_command_line(self, bootargs: str | None) -> None:
        """Take the device tree's command line and CONFIG_CMDLINE."""
        self.params = Params(command_line(bootargs, self.kernel.config, self.kernel.arch))

    def image(self) -> Image:
        """The machine as it is now; later stages do not change the image."""
        facts = ImageFacts(
            arch=self.kernel.arch,
            release=str(self.kernel.release),
            stage=self.stage,
            page_offset=self.page_offset,
            markers=tuple(self.markers),
            symbols=dict(self.symbols),
            roots=dict(self.roots),
            source="prediction",
        )
        return Image(self.ram.snapshot(), dict(self.registers), facts)


def _memblock(kernel: Kernel, log: EventLog) -> Memblock:
    """An empty memblock with the kernel's capacities (arm64: asm/memory.h, INIT_MEMBLOCK_*)."""
    config, release = kernel.config, kernel.release
    memory = reserved = INIT_REGIONS
    if kernel.arch == "arm64" and config.enabled("EFI"):
        memory *= EFI_MEMORY_FACTOR
        if config.enabled("ARM_GIC_V3_ITS"):
            reserved += config.integer("NR_CPUS", 0) + 1
    shift = "ARM64_L1_CACHE_SHIFT" if kernel.arch == "arm64" else "ARM_L1_CACHE_SHIFT"
    return Memblock(
        log,
        kernel.phys_bits,
        page_size=kernel.page_size,
        cache_line=1 << config.integer(shift, 6),
        memory_capacity=memory,
        reserved_capacity=reserved,
        merge_near=release.has("memblock_merge_near"),
        full_panics=release.has("memblock_full_panics"),
        numa=config.enabled("NUMA"),
        empty_entry=release.has("memblock_empty_entry"),
        free_is_named=(
            config.enabled("FRAME_POINTER")
            and not kernel.inlined("memblock_phys_free", "memblock_free")
        ),
    )


def _id_registers(cpu: Cpu, arch: str) -> dict[str, int]:
    prefix = "ID_AA64" if arch == "arm64" else "ID_MMFR"
    return {name: value for name, value in cpu.registers.items() if name.startswith(prefix)}
