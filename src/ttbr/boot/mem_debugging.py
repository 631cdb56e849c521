"""What mm_init() does for debugging and hardening before the page allocator takes over.

Source: init/main.c, mm/mm_init.c, mm/page_alloc.c (6.1), mm/page_ext.c, mm/page_owner.c,
mm/kfence/core.c, lib/stackdepot.c, mm/slub.c, mm/kmemleak.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.memblock import BootPanic
from ttbr.boot.params import kstrtobool
from ttbr.boot.system_hash import HashTable, alloc_large_system_hash
from ttbr.kernel.pageblock import max_page_order
from ttbr.kernel.structs import struct_size, struct_sizes

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

STACKS = (
    ("INIT_STACK_ALL_PATTERN", "all(pattern)"),
    ("INIT_STACK_ALL_ZERO", "all(zero)"),
    ("GCC_PLUGIN_STRUCTLEAK_BYREF_ALL", "byref_all(zero)"),
    ("GCC_PLUGIN_STRUCTLEAK_BYREF", "byref(zero)"),
    ("GCC_PLUGIN_STRUCTLEAK_USER", "__user(zero)"),
)
KFENCE_OBJECTS = 255
BUCKETS = (1 << 12, 1 << 20)  # STACK_BUCKET_NUMBER_ORDER_MIN, _MAX


def flag(machine: Machine, name: str, default: bool) -> bool:
    """The last value of an early parameter that says yes or no."""
    value = default
    for text in machine.params.all(name):
        said = kstrtobool(text)
        value = value if said is None else said
    return value


def page_owner(machine: Machine) -> bool:
    """Whether ``page_owner=on`` is in force."""
    return machine.kernel.config.enabled("PAGE_OWNER") and flag(machine, "page_owner", False)


def page_ext_init_flatmem(machine: Machine, goal: int) -> None:
    """FLATMEM: an extension of struct page for every page, where somebody needs it.

    ``goal``: the physical address of MAX_DMA_ADDRESS.
    """
    kernel, memblock = machine.kernel, machine.memblock
    config = kernel.config
    if config.enabled("SPARSEMEM") or not config.enabled("PAGE_EXTENSION"):
        return
    users = []
    if page_owner(machine):
        users.append(struct_size(kernel, "page_owner"))
    if config.enabled("PAGE_IDLE_FLAG") and kernel.arch == "arm":
        users.append(0)
    if not users:
        return
    each = struct_sizes(kernel).word + sum(users)
    block = 1 << max_page_order(kernel)
    total = 0
    for node in machine.nodes:
        if not node.spanned:
            continue
        pages = node.spanned
        if node.start_pfn % block or node.end_pfn % block:
            pages += block
        function = kernel.caller("alloc_node_page_ext", "page_ext_init_flatmem")
        size = each * pages
        if not memblock.alloc_try_nid(
            size, kernel.page_size, function, start=goal, nid=node.number
        ):
            raise BootPanic("the kernel panics: 'allocation of page_ext failed.'")
        total += size
    machine.log.say(f"allocated {total} bytes of page_ext")


def report_meminit(machine: Machine) -> None:
    """The line ``mem auto-init:``, by configuration, ``init_on_alloc=`` and ``init_on_free=``."""
    config, say = machine.kernel.config, machine.log.say
    alloc = flag(machine, "init_on_alloc", config.enabled("INIT_ON_ALLOC_DEFAULT_ON"))
    free = flag(machine, "init_on_free", config.enabled("INIT_ON_FREE_DEFAULT_ON"))
    poison = config.enabled("PAGE_POISONING") and flag(machine, "page_poison", False)
    if poison and (alloc or free):
        say(
            "mem auto-init: CONFIG_PAGE_POISONING is on, will take precedence over init_on_alloc "
            "and init_on_free"
        )
        alloc = free = False
    stack = next((text for option, text in STACKS if config.enabled(option)), "off")
    on = {True: "on", False: "off"}
    say(f"mem auto-init: stack:{stack}, heap alloc:{on[alloc]}, heap free:{on[free]}")
    if free:
        say("mem auto-init: clearing system memory may take some time...")


def kfence_alloc_pool(machine: Machine) -> None:
    """KFENCE's pool, unless arm64 has taken it before the linear map, and what describes it."""
    kernel, memblock = machine.kernel, machine.memblock
    config, page = kernel.config, kernel.page_size
    if not config.enabled("KFENCE") or not _kfence_interval(machine):
        return
    objects = config.integer("KFENCE_NUM_OBJECTS", KFENCE_OBJECTS)
    metadata = kernel.release.has("kfence_metadata_from_memblock")
    function = "kfence_alloc_pool_and_metadata" if metadata else "kfence_alloc_pool"
    if machine.kfence_pool is None:
        size = (objects + 1) * 2 * page
        pool = memblock.alloc_try_nid(size, page, function)
        if not pool:
            machine.log.say("kfence: failed to allocate pool")
            return
        machine.kfence_pool = pool, size
    if not metadata:
        return
    described = -(-struct_size(kernel, "kfence_metadata") * objects // page) * page
    if not memblock.alloc_try_nid(described, page, function):
        machine.log.say("kfence: failed to allocate metadata")
        memblock.free(*machine.kfence_pool, function)
        machine.kfence_pool = None


def _kfence_interval(machine: Machine) -> int:
    """kfence_sample_interval, as the command line leaves it."""
    interval = machine.kernel.config.integer("KFENCE_SAMPLE_INTERVAL", 0)
    for text in machine.params.all("kfence.sample_interval"):
        if text is not None and text.isdigit():
            interval = int(text)
    return interval


def stack_depot_early_init(machine: Machine) -> None:
    """The table of stack traces, where somebody asked for it before the slab allocator is up."""
    kernel = machine.kernel
    if not kernel.config.enabled("STACKDEPOT"):
        return
    lists = kernel.release.has("stackdepot_buckets_are_lists")
    if flag(machine, "stack_depot_disable", False):
        if lists:
            machine.log.say("stackdepot: disabled")
        return
    if not _stacks_wanted(machine):
        return
    bucket = struct_sizes(kernel).word
    if lists:
        machine.log.say("stackdepot: allocating hash table via alloc_large_system_hash")
        bucket *= 2
    table = HashTable("stackdepot", bucket, 14, 0, *BUCKETS, zeroed=not lists)
    alloc_large_system_hash(machine, table)


def _stacks_wanted(machine: Machine) -> bool:
    """stack_depot_request_early_init(): by configuration, or by three parameters."""
    config = machine.kernel.config
    if config.enabled("STACKDEPOT_ALWAYS_INIT") or page_owner(machine):
        return True
    if config.enabled("DEBUG_KMEMLEAK") and "on" in machine.params.all("kmemleak"):
        return True
    if not config.enabled("SLUB_DEBUG"):
        return False
    names = ["slub_debug"]
    if machine.kernel.release.has("slab_debug_parameter"):
        names.append("slab_debug")
    return any(_stores_users(text) for name in names for text in machine.params.all(name))


def _stores_users(text: str | None) -> bool:
    """Whether a value of slub_debug= asks for stack traces, of all caches or of some."""
    if not text:
        return True
    return any(
        block.startswith(",") or _has_user(block.partition(",")[0])
        for block in text.split(";")
        if block
    )


def _has_user(flags: str) -> bool:
    return "u" in flags.lower().rpartition("-")[2]
