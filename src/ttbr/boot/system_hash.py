"""alloc_large_system_hash(): hash tables that are as long as memory is large.

Source: mm/mm_init.c (6.1: mm/page_alloc.c); fs/dcache.c, fs/inode.c: the two early ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot.memblock import BootPanic
from ttbr.boot.params import leading_number
from ttbr.kernel.structs import struct_sizes

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

M = 1 << 20
ADAPT_BYTES = 64 << 30  # ADAPT_SCALE_BASE: from here on tables grow more slowly than memory
ADAPT_SHIFT = 2
MOST = 0x8000_0000


@dataclass(frozen=True, slots=True)
class HashTable:
    """A table: ``bucket`` bytes an entry, ``scale``: one entry for 2^scale bytes of lowmem.

    ``asked`` wins over that, and ``low`` and ``high`` bound it; 0 for what is not given.
    """

    name: str
    bucket: int
    scale: int
    asked: int = 0
    low: int = 0
    high: int = 0
    zeroed: bool = True


def hash_distributed(machine: Machine) -> bool:
    """hashdist: tables that are spread over nodes have to wait for vmalloc."""
    config = machine.kernel.config
    if not config.enabled("NUMA"):
        return False
    with_memory = sum(node.present > 0 for node in machine.nodes)
    spread = machine.kernel.arch == "arm64" and with_memory > 1
    for text in machine.params.all("hashdist"):
        if text:
            spread = leading_number(text)[0] != 0
    return spread


def vfs_caches_init_early(machine: Machine) -> None:
    """The tables of directory entries and inodes."""
    if hash_distributed(machine):
        return
    pointer = struct_sizes(machine.kernel).word
    for name, option, scale, low in (
        ("Dentry cache", "dhash_entries", 13, 2),
        ("Inode-cache", "ihash_entries", 14, 0),
    ):
        asked = 0
        for text in machine.params.all(option):
            if text:
                asked = leading_number(text)[0]
        alloc_large_system_hash(machine, HashTable(name, pointer, scale, asked, low))


def entries(machine: Machine, table: HashTable) -> int:
    """How many entries the table is to have, before memory is asked for."""
    page = machine.kernel.page_size
    count = table.asked
    if not count:
        count = machine.nr_kernel_pages
        if page < M:
            step = M // page
            count = -(-count // step) * step
        scale = table.scale
        if machine.kernel.arch == "arm64" and not table.high:
            adapt = ADAPT_BYTES // page
            while adapt < count:
                scale += 1
                adapt <<= ADAPT_SHIFT
        count = (count * page) >> scale
        if count * table.bucket < page:
            count = page // table.bucket
    count = 1 << max(count - 1, 0).bit_length()
    most = min(table.high or (machine.nr_all_pages * page >> 4) // table.bucket, MOST)
    count = min(max(count, table.low), most)
    return 1 << max(count.bit_length() - 1, 0)


def alloc_large_system_hash(machine: Machine, table: HashTable) -> int:
    """The table in memblock's memory (HASH_EARLY), halved until it fits; its address."""
    page, memblock = machine.kernel.page_size, machine.memblock
    count = entries(machine, table)
    alloc = memblock.alloc_try_nid if table.zeroed else memblock.alloc_try_nid_raw
    while True:
        size = table.bucket * count
        found = alloc(size, memblock.cache_line, "alloc_large_system_hash")
        if found or size <= page or count == 1:
            break
        count //= 2
    if not found:
        raise BootPanic(f"the kernel panics: 'Failed to allocate {table.name} hash table'")
    order = max(-(-size // page) - 1, 0).bit_length()
    machine.log.say(
        f"{table.name} hash table entries: {count} (order: {order}, {size} bytes, linear)"
    )
    return found
