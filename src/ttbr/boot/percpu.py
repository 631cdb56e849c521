"""setup_per_cpu_areas(): the first chunk of per-CPU memory, and what keeps book of it.

Source: mm/percpu.c, mm/percpu-internal.h, include/linux/percpu.h; drivers/base/arch_numa.c for
arm64 kernels with NUMA, which group CPUs by node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.memblock import NO_NODE, BootPanic
from ttbr.kernel.structs import struct_sizes

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine
    from ttbr.boot.possible_cpus import PossibleCpu
    from ttbr.kernel.kernel import Kernel

K = 1024
MIN_UNIT = 32 * K
MIN_ALLOC = 4  # PCPU_MIN_ALLOC_SIZE: what a bit of the maps stands for
SLOT_BASE_SHIFT = 5
LOCAL_DISTANCE = 10
EMBED = "pcpu_embed_first_chunk"
BUILD = "pcpu_build_alloc_info"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a unit's parts: static data, room for modules, room for allocations."""

    static: int
    reserved: int
    dynamic: int
    unit: int

    @property
    def sum(self) -> int:
        """Bytes of a unit that are used."""
        return self.static + self.reserved + self.dynamic


def setup_per_cpu_areas(machine: Machine, cpus: list[PossibleCpu], goal: int) -> None:
    """The first chunk: one unit for each possible CPU, a group of units for each node.

    ``goal``: the physical address of MAX_DMA_ADDRESS, above which units are asked for first.
    """
    if not machine.kernel.config.enabled("SMP"):
        _setup_up(machine, cpus, goal)
        return
    if machine.params.last("percpu_alloc") == "page":
        machine.unknowns.append(
            "percpu_alloc=page is not modelled: per-CPU areas are laid out as without it"
        )
    _embed_first_chunk(machine, cpus, goal)


def _setup_up(machine: Machine, cpus: list[PossibleCpu], goal: int) -> None:
    """Without SMP: one unit that only modules and allocations use, and no word about it."""
    kernel = machine.kernel
    asked = max(_pages(kernel, MIN_UNIT), _dynamic_reserve(kernel))
    unit = 1 << (asked - 1).bit_length()
    function = "setup_per_cpu_areas"
    info = _alloc_info(machine, 1, 1, ("pcpu_alloc_alloc_info", function))
    chunk = _alloc(machine, unit, kernel.page_size, function, start=goal)
    _setup_first_chunk(machine, Sizes(0, 0, unit, unit), unit, [cpus], chunk)
    # Everything up to memblock_free() ends in a jump.
    machine.memblock.free(
        *info, kernel.caller("pcpu_free_alloc_info", function, "start_kernel", tail=2)
    )


def _embed_first_chunk(machine: Machine, cpus: list[PossibleCpu], goal: int) -> None:
    kernel = machine.kernel
    sizes = _sizes(kernel)
    groups = _groups(machine, cpus)
    # Units are whole pages, and so is what they are allocated in: one unit an allocation.
    info = _alloc_info(machine, len(groups), len(cpus), (BUILD, EMBED))
    page = kernel.page_size
    areas_size = _pages(kernel, len(groups) * struct_sizes(kernel).word)
    areas_at = _alloc(machine, areas_size, machine.memblock.cache_line, EMBED)
    areas = [_fc_alloc(machine, group, sizes.unit * len(group), goal) for group in groups]
    for group, area in zip(groups, areas, strict=True):
        for index in range(len(group)):
            unused = area + index * sizes.unit + sizes.sum
            function = kernel.caller("pcpu_fc_free", EMBED, tail=1)
            machine.memblock.free(unused, sizes.unit - sizes.sum, function)
    machine.log.say(
        f"percpu: Embedded {sizes.sum // page} pages/cpu s{sizes.static} r{sizes.reserved} "
        f"d{sizes.dynamic} u{sizes.unit}"
    )
    _setup_first_chunk(machine, sizes, page, groups, min(areas))
    machine.memblock.free(*info, kernel.caller("pcpu_free_alloc_info", EMBED, tail=1))
    machine.memblock.free(areas_at, areas_size, EMBED)


def _sizes(kernel: Kernel) -> Sizes:
    """pcpu_build_alloc_info(): a unit is the sum of its parts in whole pages."""
    if "__per_cpu_start" in kernel.symbols and "__per_cpu_end" in kernel.symbols:
        static = kernel.symbols["__per_cpu_end"] - kernel.symbols["__per_cpu_start"]
    else:
        static = 0
    reserved = _module_reserve(kernel)
    early = (20 if kernel.release.has("percpu_early_20k") else 12) << _dynamic_shift(kernel)
    used = _pages(kernel, static + reserved + max(_dynamic_reserve(kernel), early))
    return Sizes(static, reserved, used - static - reserved, max(used, _pages(kernel, MIN_UNIT)))


def _module_reserve(kernel: Kernel) -> int:
    """PERCPU_MODULE_RESERVE."""
    if not kernel.config.enabled("MODULES"):
        return 0
    return (8 << 13) if kernel.config.enabled("MEM_ALLOC_PROFILING") else (8 << 10)


def _dynamic_shift(kernel: Kernel) -> int:
    """PERCPU_DYNAMIC_SIZE_SHIFT."""
    if not kernel.config.enabled("RANDOM_KMALLOC_CACHES"):
        return 10
    return 13 if kernel.config.enabled("LOCKDEP") and kernel.page_size > 4 * K else 12


def _dynamic_reserve(kernel: Kernel) -> int:
    """PERCPU_DYNAMIC_RESERVE."""
    return (28 if kernel.arch == "arm64" else 20) << _dynamic_shift(kernel)


def _groups(machine: Machine, cpus: list[PossibleCpu]) -> list[list[PossibleCpu]]:
    """CPUs by proximity: arm64 with NUMA by local distance, everything else in one group."""
    if not _by_node(machine):
        return [cpus]
    groups: list[list[PossibleCpu]] = []
    left = list(cpus)
    while left:
        first = left[0]
        near = [cpu for cpu in left if cpu is first or _local(machine, first.node, cpu.node)]
        groups.append(near)
        left = [cpu for cpu in left if cpu not in near]
    return groups


def _by_node(machine: Machine) -> bool:
    return machine.kernel.arch == "arm64" and machine.kernel.config.enabled("NUMA")


def _local(machine: Machine, one: int, other: int) -> bool:
    distance = machine.node_distance
    return distance(one, other) == distance(other, one) == LOCAL_DISTANCE


def _fc_alloc(machine: Machine, group: list[PossibleCpu], size: int, goal: int) -> int:
    """pcpu_fc_alloc(): a group's units, on its node where the kernel knows nodes."""
    node = NO_NODE
    if _by_node(machine):
        node = group[0].node
        if node not in machine.numa.online:
            node = NO_NODE
            machine.log.say(
                f"percpu: cpu {group[0].number} has no node {group[0].node} or node-local memory"
            )
    function = machine.kernel.caller("pcpu_fc_alloc", EMBED)
    return _alloc(machine, size, machine.kernel.page_size, function, start=goal, nid=node)


def _alloc_info(
    machine: Machine, groups: int, units: int, callers: tuple[str, ...]
) -> tuple[int, int]:
    """pcpu_alloc_alloc_info(): (address, bytes) of the description, which is freed at the end."""
    kernel = machine.kernel
    of = struct_sizes(kernel).of
    described = of("pcpu_alloc_info") + of("pcpu_group_info") * groups + 4 * units
    size = _pages(kernel, described)
    return _alloc(machine, size, kernel.page_size, kernel.caller(*callers)), size


def _setup_first_chunk(
    machine: Machine, sizes: Sizes, atom: int, groups: list[list[PossibleCpu]], base: int
) -> None:
    """pcpu_setup_first_chunk(): the maps of units, the lists of chunks, the first two chunks.

    ``atom``: the step in which units are allocated, in bytes. ``base``: the lowest unit.
    """
    nr_cpus = sum(map(len, groups))
    word = struct_sizes(machine.kernel).word
    function = "pcpu_setup_first_chunk"
    line = machine.memblock.cache_line
    for size in (len(groups) * word, len(groups) * word, nr_cpus * 4, nr_cpus * word):
        _alloc(machine, size, line, function)
    _dump_alloc_info(machine, sizes, atom, groups)
    # One list a size class, and three more: sidelined chunks, free ones, those to depopulate.
    slots = max(sizes.unit.bit_length() - SLOT_BASE_SHIFT + 2, 1) + 4
    _alloc(machine, slots * 2 * word, line, function)
    static = -(-sizes.static // MIN_ALLOC) * MIN_ALLOC
    dynamic = sizes.dynamic - (static - sizes.static)
    if sizes.reserved:
        _alloc_first_chunk(machine, base + static, sizes.reserved)
    _alloc_first_chunk(machine, base + static + sizes.reserved, dynamic)


def _dump_alloc_info(
    machine: Machine, sizes: Sizes, atom: int, groups: list[list[PossibleCpu]]
) -> None:
    """pcpu_dump_alloc_info(): sizes, then units with the CPUs that have them."""
    say = machine.log.say
    say(
        f"pcpu-alloc: s{sizes.static} r{sizes.reserved} d{sizes.dynamic} u{sizes.unit} "
        f"alloc={sizes.unit // atom}*{atom}"
    )
    of_group, of_cpu = len(str(len(groups))), len(str(sum(map(len, groups))))
    width = of_cpu + 1 + of_group + 3
    a_line = 1 << (max(60 // width, 1).bit_length() - 1)
    units = [
        f"[{index:0{of_group}}] {cpu.number:0{of_cpu}} "
        for index, group in enumerate(groups)
        for cpu in group
    ]
    for at in range(0, len(units), a_line):
        say("pcpu-alloc: " + "".join(units[at : at + a_line]))


def _alloc_first_chunk(machine: Machine, start: int, size: int) -> None:
    """pcpu_alloc_first_chunk(): a struct pcpu_chunk, its two bitmaps and its block descriptions."""
    kernel = machine.kernel
    structs = struct_sizes(kernel)
    word = structs.word
    bits_per_word = word * 8
    region = _pages(kernel, start % kernel.page_size + size)
    pages = region // kernel.page_size
    bits = region // MIN_ALLOC
    for bytes_ in (
        structs.of("pcpu_chunk") + -(-pages // bits_per_word) * word,
        -(-bits // bits_per_word) * word,
        -(-(bits + 1) // bits_per_word) * word,
        pages * structs.of("pcpu_block_md"),
    ):
        _alloc(machine, bytes_, machine.memblock.cache_line, "pcpu_alloc_first_chunk")


def _alloc(
    machine: Machine, size: int, align: int, function: str, *, start: int = 0, nid: int = NO_NODE
) -> int:
    found = machine.memblock.alloc_try_nid(size, align, function, start=start, nid=nid)
    if not found:
        raise BootPanic(f"the kernel panics: no {size} bytes for per-CPU areas")
    return found


def _pages(kernel: Kernel, size: int) -> int:
    """PFN_ALIGN(): bytes in whole pages."""
    return -(-size // kernel.page_size) * kernel.page_size
