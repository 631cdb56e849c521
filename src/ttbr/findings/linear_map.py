"""Rules about the linear map: what it can hold, what it is made of, what its tables cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ttbr.boot.arm.state import ArmBoot
from ttbr.boot.arm64.crash_area import splits_linear_map
from ttbr.boot.arm64.options import debug_pagealloc, kfence_early, rodata
from ttbr.boot.arm64.state import Arm64
from ttbr.boot.boot import Boot
from ttbr.boot.fdt import Node
from ttbr.boot.reserved_mem import ReservedMemory
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Bytes, Found, Place, Severity, argument, config, node
from ttbr.findings.words import said
from ttbr.format import about, size
from ttbr.mmu.image import Image
from ttbr.mmu.regions import kernel_mappings, linear_map, table_bytes

NO_FIT = "Memory doesn't fit in the linear mapping, VA_BITS too small"
LIMITED = "Memory limited to {size}MB"
CAPPED = "Capping linear region to 51 bits for KVM in nVHE mode on LVA capable hardware."
WORTH_SAYING = 1000  # tables that cost more than one part in so many of RAM are


def final_image(boot: Boot) -> Image | None:
    """The machine once paging_init has made the final tables; None if it did not come so far."""
    return boot.images.get("paging_init")


@CHECK.rule(
    "va-bits-too-small",
    Severity.ERROR,
    "RAM does not fit into the linear map",
    source="arch/arm64/mm/init.c: arm64_memblock_init",
    remedy="Build the kernel with more CONFIG_ARM64_VA_BITS.",
    example="A kernel with 39-bit addresses and RAM at 0x80000000 and at 0x8080000000.",
    kernel=(NO_FIT,),
)
@of_boot
def va_bits_too_small(boot: Boot) -> Iterable[Found]:
    """The linear map has half of the kernel's space: 256 GiB with 39 bits, 128 TiB with 48.

    It has to span from RAM's start, rounded down, to RAM's end, holes included. What does not fit
    is removed: at the top, unless the kernel itself lies there.
    """
    state = boot.machine.arch_state
    if not isinstance(state, Arm64):
        return
    for line in said(boot, NO_FIT):
        banks = boot.machine.board.ram
        span = banks[-1].end - banks[0].base
        yield Found(
            f"RAM spans {about(span)}, the linear map of {state.layout.va_bits} bits only "
            f"{about(state.layout.linear_size)}: the rest is not used",
            "use a kernel with more CONFIG_ARM64_VA_BITS",
            kernel=line.lines,
            numbers={"span": Bytes(span), "linear map": Bytes(state.layout.linear_size)},
            ranges={"RAM": (banks[0].base, banks[-1].end - 1)},
            places=(config("ARM64_VA_BITS"),),
        )


@CHECK.rule(
    "kvm-51-bits",
    Severity.NOTE,
    "KVM without VHE halves the linear map",
    source="arch/arm64/mm/init.c: arm64_memblock_init",
    remedy="Nothing on CPUs with VHE. Otherwise keep RAM within 51 bits, or CONFIG_KVM off. --el "
    "says at which exception level the kernel is entered.",
    example="A kernel with 52-bit addresses and CONFIG_KVM, entered at EL2 on a CPU without VHE.",
    kernel=(CAPPED,),
)
@of_boot
def kvm_51_bits(boot: Boot) -> Iterable[Found]:
    """Entered at EL2 on a CPU without VHE, a 52-bit kernel with KVM keeps 51 bits to map RAM."""
    machine, state = boot.machine, boot.machine.arch_state
    if not isinstance(state, Arm64) or state.layout.va_bits_actual != 52:
        return
    capped = [line.text for line in said(boot, CAPPED)]
    if capped:
        text = "entered at EL2 on a CPU without VHE, the kernel maps RAM with 51 bits"
    elif machine.placement.el is None and machine.kernel.config.enabled("KVM"):
        text = "if it is entered at EL2 on a CPU without VHE, the kernel maps RAM with 51 bits"
    else:
        return
    yield Found(
        text,
        "enter it at EL1, or keep RAM within 51 bits",
        kernel=tuple(capped),
        places=(config("KVM"), Place(loader="--el")),
    )


@CHECK.rule(
    "memory-limited",
    Severity.NOTE,
    "mem= leaves RAM unused",
    source="arch/arm64/mm/init.c: early_mem, arm64_memblock_init",
    remedy="Take mem= off the command line once it is not needed; use reserved-memory nodes to "
    "keep RAM for other uses.",
    example="mem=512M on a board with 1 GiB.",
    kernel=(LIMITED,),
)
@of_boot
def memory_limited(boot: Boot) -> Iterable[Found]:
    """mem= keeps the first bytes of RAM, counted over all banks, and forgets the rest.

    The kernel image is added back if it lies beyond. Regions that are NOMAP stay.
    """
    total = sum(bank.size for bank in boot.machine.board.ram)
    for line in said(boot, LIMITED):
        left = boot.machine.memblock.phys_mem_size()
        yield Found(
            f"mem= leaves {about(left)} of {about(total)}",
            "take mem= off the command line if that is not meant",
            kernel=line.lines,
            numbers={"left": Bytes(left), "RAM": Bytes(total)},
            places=(argument("mem="),),
        )


@CHECK.rule(
    "linear-map-pages",
    Severity.NOTE,
    "the linear map is made of pages, not of blocks",
    source="arch/arm64/mm/mmu.c: map_mem; arch/arm64/mm/pageattr.c: can_set_direct_map",
    remedy="rodata=on keeps the kernel's own code read-only and lets the linear map have blocks; "
    "without CONFIG_RODATA_FULL_DEFAULT_ENABLED it is the default. Modules and BPF programs then "
    "stay writable through their linear addresses.",
    example="Any kernel with CONFIG_RODATA_FULL_DEFAULT_ENABLED and no rodata= on its command "
    "line.",
)
@of_boot
def linear_map_pages(boot: Boot) -> Iterable[Found]:
    """Blocks and contiguous runs are left out of arm64's linear map where single pages may change.

    So do rodata=full (protection of the linear alias of modules), debug_pagealloc, KFENCE that may
    start later, and before Linux 6.4 any crashkernel= where the kernel has a DMA zone. Tables then
    take 1/512 of RAM with 4K pages, and the TLB holds less.
    """
    state, image = boot.machine.arch_state, final_image(boot)
    if not isinstance(state, Arm64) or image is None:
        return
    reasons = list(_page_reasons(state))
    mappings = kernel_mappings(image)
    if not reasons or mappings is None:
        return
    page = state.layout.geometry.page_size
    kinds = linear_map(image, mappings)
    pages = sum(kind["bytes"] for kind in kinds if kind["size"] == page)
    names = ", ".join(str(place) for place in reasons)
    yield Found(
        f"{about(pages)} of the linear map are single pages, because of {names}",
        "rodata=on on the command line, if that is the reason and TLB reach matters more",
        numbers={"by pages": Bytes(pages), "tables": Bytes(table_bytes(image, mappings))},
        places=tuple(reasons),
    )


def _page_reasons(state: Arm64) -> Iterator[Place]:
    params, options = state.machine.params, state.machine.kernel.config
    if rodata(params, options) == "full":
        asked = params.last("rodata") == "full"
        yield argument("rodata=full") if asked else config("RODATA_FULL_DEFAULT_ENABLED")
    if debug_pagealloc(params, options):
        asked = params.given("debug_pagealloc")
        yield argument("debug_pagealloc") if asked else config("DEBUG_PAGEALLOC_ENABLE_DEFAULT")
    if options.enabled("KFENCE") and not kfence_early(params, options):
        yield config("KFENCE")
    if splits_linear_map(state):
        yield argument("crashkernel=")


@CHECK.rule(
    "table-memory",
    Severity.NOTE,
    "the kernel's tables take a notable part of RAM",
    source="arch/arm64/mm/mmu.c: map_mem; arch/arm/mm/mmu.c: map_lowmem",
    remedy="Let the linear map have blocks (see linear-map-pages), or choose larger pages.",
    example="4K pages and rodata=full: 2 MiB of tables for 1 GiB of RAM.",
)
@of_boot
def table_memory(boot: Boot) -> Iterable[Found]:
    """Tables of the kernel's own space are allocated at boot and stay; more than 1/1000 is said."""
    image = final_image(boot)
    mappings = kernel_mappings(image) if image else None
    if image is None or mappings is None:
        return
    cost, total = table_bytes(image, mappings), boot.machine.memblock.phys_mem_size()
    if cost * WORTH_SAYING > total:
        yield Found(
            f"the kernel's {len(mappings.tables)} tables take {about(cost)}, "
            f"{cost / total:.2%} of RAM",
            "let the linear map have blocks, or use larger pages",
            numbers={"tables": len(mappings.tables), "bytes": Bytes(cost), "RAM": Bytes(total)},
            places=(config("RODATA_FULL_DEFAULT_ENABLED"),)
            if boot.machine.kernel.arch == "arm64"
            else (),
        )


@CHECK.rule(
    "no-map-splits-blocks",
    Severity.NOTE,
    "a no-map region splits blocks of the linear map",
    source="arch/arm64/mm/mmu.c: map_mem, alloc_init_pmd; arch/arm/mm/mmu.c: map_lowmem",
    remedy="Align start and size to the block size that the finding names, or put several such "
    "regions next to each other.",
    example="rodata=on and a no-map node of 64 KiB in the middle of RAM.",
)
@of_boot
def no_map_splits_blocks(boot: Boot) -> Iterable[Found]:
    """The linear map is made range by range: at the edges of a no-map region blocks must end.

    An edge that is no multiple of the block size is mapped by pages, with a table, up to it.
    """
    state, image = boot.machine.arch_state, final_image(boot)
    if image is None:
        return
    if isinstance(state, Arm64):
        if any(_page_reasons(state)):
            return
        geometry = state.layout.geometry
        block, end = geometry.page_size * geometry.entries, None
    elif isinstance(state, ArmBoot):
        block, end = state.layout.section_size, state.lowmem.limit
    else:
        return
    for child, base, length in no_map_regions(boot):
        odd = [edge for edge in (base, base + length) if edge % block]
        if not odd or (end is not None and base >= end):
            continue
        if not boot.machine.memblock.memory.overlaps(base, length):
            continue
        yield Found(
            f"{child.path} is not aligned to {size(block)}: the linear map around it is by pages",
            f"align its start and size to {size(block)}",
            numbers={"block": Bytes(block), "edges": len(odd)},
            ranges={child.name: (base, base + length - 1)},
            places=(node(child.path, "reg"),),
        )


def no_map_regions(boot: Boot) -> Iterator[tuple[Node, int, int]]:
    """(node, base, bytes) of every static no-map range of the tree."""
    for child, base, length in ReservedMemory(boot.machine).reg_ranges():
        if child.prop("no-map") is not None and length:
            yield child, base, length
