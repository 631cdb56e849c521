"""Commands that the kernel carries out: its own memory and mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ttbr.errors import InputError, TtbrError
from ttbr.run import gfp
from ttbr.run.cpu.abort import NotHandled
from ttbr.run.modules_area import module_alloc
from ttbr.run.scenario.command import Arguments, Command, Result, command
from ttbr.run.split_block import split_block
from ttbr.run.text_poke import text_poke

if TYPE_CHECKING:
    from ttbr.run.scenario.session import Session

GFP = {
    "kernel": gfp.GFP_KERNEL,
    "user": gfp.GFP_USER,
    "highuser": gfp.GFP_HIGHUSER,
    "movable": gfp.GFP_HIGHUSER_MOVABLE,
    "dma": gfp.GFP_DMA,
    "dma32": gfp.GFP_DMA32,
    "atomic": gfp.GFP_ATOMIC,
}
SET_MEMORY = ("ro", "rw", "x", "nx")


def _vmalloc(session: Session, given: Arguments) -> Result:
    vmalloc, size = session.kernel.space.vmalloc, given.number("size")
    if "huge" in given.flags:
        return vmalloc.vmalloc_huge(size)
    return vmalloc.vzalloc(size) if "zero" in given.flags else vmalloc.vmalloc(size)


def _vfree(session: Session, given: Arguments) -> Result:
    session.kernel.vfree(given.number("address"))
    return None


def _vmap(session: Session, given: Arguments) -> Result:
    count = given.number("pages", 1)
    if not 0 < count <= session.kernel.space.vmalloc.total_pages:
        raise InputError(f"vmap of {count} pages: that is none, or more than there are")
    start = _frame(session, given.number("pfn"))
    _frame(session, start + count - 1)
    frames = np.arange(start, start + count, dtype=np.uint64)
    return session.kernel.space.vmalloc.vmap(frames)


def _vunmap(session: Session, given: Arguments) -> Result:
    session.kernel.space.vmalloc.vunmap(given.number("address"))
    return None


def _purge(session: Session, given: Arguments) -> Result:
    session.kernel.space.vmalloc.vm_unmap_aliases()
    return None


def _ioremap(session: Session, given: Arguments) -> Result:
    kind = given.text("type") if "type" in given else "device"
    return session.kernel.ioremap(given.number("physical"), given.number("size"), kind)


def _iounmap(session: Session, given: Arguments) -> Result:
    session.kernel.iounmap(given.number("address"))
    return None


def _module(session: Session, given: Arguments) -> Result:
    base = given.number("base") if "base" in given else None
    return module_alloc(session.kernel.space, given.number("size"), base=base)


def _set_memory(session: Session, given: Arguments) -> Result:
    kind = given.choice("permission", dict.fromkeys(SET_MEMORY))
    change = getattr(session.kernel.space.memory, f"set_memory_{kind}")
    change(given.number("address"), given.number("pages", 1))
    return None


def _text_poke(session: Session, given: Arguments) -> Result:
    kernel = session.kernel
    data = given.data("data", 4)
    text_poke(kernel.space, kernel.cpu, given.number("address"), data)
    return None


def _kmap(session: Session, given: Arguments) -> Result:
    return session.kernel.space.pkmap.kmap(_frame(session, given.number("pfn")))


def _kunmap(session: Session, given: Arguments) -> Result:
    session.kernel.space.pkmap.kunmap(_frame(session, given.number("pfn")))
    return None


def _kmap_local(session: Session, given: Arguments) -> Result:
    return session.kernel.space.kmap_local.kmap_local(_frame(session, given.number("pfn")))


def _kunmap_local(session: Session, given: Arguments) -> Result:
    session.kernel.space.kmap_local.kunmap_local(given.number("address"))
    return None


def _alloc_pages(session: Session, given: Arguments) -> Result:
    flags = GFP[given.choice("gfp", GFP)] if "gfp" in given else gfp.GFP_KERNEL
    order = given.number("order", 0)
    if not 0 <= order <= session.kernel.pages.max_order:
        raise InputError(f"blocks have orders 0 to {session.kernel.pages.max_order}, not {order}")
    return session.kernel.pages.alloc_pages(order, flags)


def _free_pages(session: Session, given: Arguments) -> Result:
    try:
        session.kernel.pages.free_pages(given.number("pfn"), given.number("order", 0))
    except ValueError as error:
        raise InputError(str(error)) from None
    return None


def _kmalloc(session: Session, given: Arguments) -> Result:
    return session.kernel.kmalloc(given.number("size"))


def _kfree(session: Session, given: Arguments) -> Result:
    try:
        session.kernel.kfree(given.number("address"))
    except ValueError as error:
        raise InputError(str(error)) from None
    return None


def _hugetlb(session: Session, given: Arguments) -> Result:
    pools = session.kernel.user.user.pools
    return pools.grow(given.number("size"), given.number("pages"))


def _kload(session: Session, given: Arguments) -> Result:
    try:
        return session.loaded(session.kernel.cpu.load(given.number("address"), session.word, el=1))
    except NotHandled as error:
        raise _oops(session, error) from None


def _kstore(session: Session, given: Arguments) -> Result:
    data = given.data("data", session.word)
    try:
        session.kernel.cpu.store(given.number("address"), data, el=1)
    except NotHandled as error:
        raise _oops(session, error) from None
    return None


def _oops(session: Session, error: NotHandled) -> TtbrError:
    """What the kernel says of an access of its own that cannot be mended."""
    current = session.kernel.user.current
    report = current.last_fault if current is not None else None
    known = report is not None and report.va == error.abort.va and report.oops
    return InputError(f"{report.oops}: {report}" if known and report else str(error))


def _split(session: Session, given: Arguments) -> Result:
    kernel = session.kernel
    at_once = "at_once" in given.flags
    split_block(kernel.space, kernel.tables, given.number("address"), break_first=not at_once)
    return None


def _entry(session: Session, given: Arguments) -> Result:
    """Write a descriptor as it is, to see what comes of it."""
    kernel, value = session.kernel, given.number("value")
    if not 0 <= value < 1 << 8 * kernel.entry_size:
        raise InputError(f"a descriptor has {kernel.entry_size} bytes, {value:#x} does not fit")
    kernel.tables.set(given.number("table"), given.number("index"), value)
    return None


def _frame(session: Session, pfn: int) -> int:
    """A page frame; `InputError` outside memory."""
    try:
        session.kernel.pages.zone_of(pfn)
    except ValueError as error:
        raise InputError(str(error)) from None
    return pfn


COMMANDS: tuple[Command, ...] = (
    command(_vmalloc, "vmalloc size:number", "Kernel memory; its address.", flags="huge zero"),
    command(_vfree, "vfree address:number", "Free what vmalloc or module gave."),
    command(_vmap, "vmap pfn:number pages:number?", "Map frames in a row; the address."),
    command(_vunmap, "vunmap address:number", "Undo vmap."),
    command(_purge, "purge", "vm_unmap_aliases: lazily freed addresses become free."),
    command(
        _ioremap,
        "ioremap physical:number size:number",
        "Map device registers; the address. type: device, wc, cache …",
        options="type:word",
    ),
    command(_iounmap, "iounmap address:number", "Undo ioremap."),
    command(_module, "module size:number", "Memory for a module.", options="base:number"),
    command(
        _set_memory,
        "set_memory permission:word address:number pages:number?",
        f"Permissions of vmalloc memory: {', '.join(SET_MEMORY)}.",
    ),
    command(_text_poke, "text_poke address:number data:data", "Patch code through the fixmap."),
    command(_kmap, "kmap pfn:number", "An address for a page; for highmem a slot of pkmap."),
    command(_kunmap, "kunmap pfn:number", "Undo kmap."),
    command(_kmap_local, "kmap_local pfn:number", "A short mapping, in a slot of the CPU."),
    command(_kunmap_local, "kunmap_local address:number", "Undo the last kmap_local."),
    command(
        _alloc_pages,
        "alloc_pages order:number?",
        f"A block of 2^order pages; its first frame. gfp: {', '.join(GFP)}.",
        options="gfp:word",
    ),
    command(_free_pages, "free_pages pfn:number order:number?", "Free such a block."),
    command(_kmalloc, "kmalloc size:number", "Kernel memory of a slab; its address."),
    command(_kfree, "kfree address:number", "Free it."),
    command(
        _hugetlb,
        "hugetlb size:number pages:number",
        "More huge pages in the pool of a size; how many it has now.",
    ),
    command(_kload, "kload address:number", "The kernel reads, while the last process runs."),
    command(_kstore, "kstore address:number data:data", "The kernel writes."),
    command(
        _split,
        "split address:number",
        "Replace a block by a table (arm64). at_once: without break-before-make.",
        flags="at_once",
    ),
    command(
        _entry,
        "entry table:number index:number value:number",
        "Write a descriptor of the table at a physical address.",
    ),
)
