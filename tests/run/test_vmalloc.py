"""vmalloc, vmap, ioremap and set_memory on the three kinds of kernel tables."""

import numpy as np
import pytest
from machines import board_tree
from machines_up import BOARDS, booted

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import boot, default_kernel
from ttbr.boot.loader import qemu
from ttbr.errors import InputError, TtbrError
from ttbr.kernel.what_if import parse_settings, with_options
from ttbr.run import OutOfMemory, run
from ttbr.run.frames import Owner
from ttbr.run.vmap_area import NoAddressSpace

K, M = 1 << 10, 1 << 20
UART = 0x0900_0000


@pytest.fixture(params=BOARDS)
def kernel(request):
    return run(booted(request.param))


def translated(kernel, va: int) -> int | None:
    return kernel.image().address_space("kernel").translate(va).pa


def test_pages_lie_behind_addresses_and_come_back(kernel) -> None:
    page = kernel.page_size
    warm = kernel.vmalloc(3 * M)  # makes the tables, which stay
    kernel.vfree(warm)
    kernel.space.vmalloc.vm_unmap_aliases()
    free = kernel.pages.free
    at = kernel.vmalloc(3 * M)
    area = kernel.space.vmalloc.find(at)
    assert area.size == 3 * M + page
    assert free - kernel.pages.free >= 3 * M // page
    for number in (0, 1, len(area.pages) - 1):
        assert translated(kernel, at + number * page) == int(area.pages[number]) * page
        assert kernel.pages.frames.owner(int(area.pages[number])) is Owner.VMALLOC
    assert translated(kernel, at + 3 * M) is None, "the guard page"
    kernel.vfree(at)
    assert translated(kernel, at) is None
    assert kernel.pages.free == free
    assert (at, area.end) in kernel.space.vmalloc.areas.lazy


def test_vmap_shows_the_same_pages_twice(kernel) -> None:
    page = kernel.page_size
    pfns = kernel.pages.alloc_bulk(3)
    at = kernel.space.vmalloc.vmap(pfns[::-1].copy())
    assert translated(kernel, at) == int(pfns[2]) * page
    kernel.space.vmalloc.vunmap(at)
    assert kernel.pages.frames.refcount(int(pfns[0])) == 1, "they stay the caller's"
    with pytest.raises(InputError, match="vmap of 0 pages"):
        kernel.space.vmalloc.vmap(np.zeros(0, np.uint64))


def test_ioremap_keeps_the_offset_and_refuses_ram(kernel) -> None:
    at = kernel.ioremap(UART + 0x18, 8)
    assert at % kernel.page_size == 0x18
    assert translated(kernel, at) == UART + 0x18
    kernel.iounmap(at)
    assert translated(kernel, at) is None
    ram = kernel.machine.board.ram[0].base
    for phys, size in ((ram, 4096), (UART, 0), ((1 << 64) - 8, 16)):
        with pytest.raises(InputError, match="ioremap of"):
            kernel.ioremap(phys, size)
    with pytest.raises(InputError, match="no ioremap of type 'odd'"):
        kernel.ioremap(UART, 4096, "odd")
    with pytest.raises(InputError, match="no ioremap is there"):
        kernel.iounmap(at)


def test_blocks_where_vmap_may_use_them() -> None:
    kernel = run(booted("arm64"))
    at = kernel.ioremap(0x40_0000_0000, 2 << 30)
    assert at % (1 << 30) == 0
    entry = kernel.space.map.entry(at + 5)
    assert (entry.level, entry.size, entry.phys) == (1, 1 << 30, 0x40_0000_0005)
    kernel.iounmap(at)
    huge = kernel.space.vmalloc.vmalloc_huge(3 * M)
    assert kernel.space.map.entry(huge).size == 2 * M
    assert kernel.space.vmalloc.find(huge).size == 4 * M + 4096
    free = kernel.pages.free
    kernel.vfree(huge)
    assert kernel.pages.free == free + 1024 + 2, "and the array of its pages"
    kernel.space.vmalloc.vm_unmap_aliases()
    # Single pages leave a table behind; a block in its place frees that.
    small = kernel.space.vmalloc.node_range(2 * M, align=2 * M, caller="test")
    kernel.vfree(small)
    kernel.space.vmalloc.vm_unmap_aliases()
    free = kernel.pages.free
    block = kernel.space.vmalloc.vmalloc_huge(2 * M)
    assert block == small
    assert kernel.pages.free == free + 1 - 512


def test_sections_only_in_a_kernel_without_smp() -> None:
    kernel = run(booted("arm"))
    at = kernel.ioremap(0x1000_0000, 2 * M)
    assert kernel.space.map.entry(at).size == 4096
    assert kernel.space.map.block_shifts() == []


def test_an_array_of_pages_that_is_too_long_is_vmalloced_itself(kernel) -> None:
    pages = kernel.page_size // (8 if kernel.arch == "arm64" else 4)
    assert kernel.space.vmalloc.find(kernel.vmalloc(pages * 4096)).vpages is None
    at = kernel.vmalloc((pages + 1) * 4096)
    array = kernel.space.vmalloc.find(at).vpages
    assert array is not None
    kernel.vfree(at)
    with pytest.raises(InputError, match="nonexistent vm area"):
        kernel.vfree(array)


def test_refusals_leave_everything_as_it_was(kernel) -> None:
    free, areas = kernel.pages.free, len(kernel.space.vmalloc.areas.areas)
    most = kernel.space.vmalloc.total_pages * kernel.page_size
    with pytest.raises(InputError, match="0 bytes"):
        kernel.vmalloc(0)
    with pytest.raises(TtbrError, match="exceeds total pages"):
        kernel.vmalloc(most + kernel.page_size)
    with pytest.raises((OutOfMemory, NoAddressSpace)):
        kernel.vmalloc(most)
    for address in (0x1234, 0x5000):
        with pytest.raises(InputError, match="Trying to vfree"):
            kernel.vfree(address)
    assert len(kernel.space.vmalloc.areas.areas) == areas
    assert free - kernel.pages.free <= most // kernel.page_size // 512 + 4, "only tables stay"


def test_permissions_change_page_by_page(kernel) -> None:
    page, memory = kernel.page_size, kernel.space.memory
    at = kernel.vmalloc(3 * page)

    def attributes(number: int):
        found = kernel.image().address_space("kernel").translate(at + number * page)
        return found.attributes

    before = attributes(1)
    memory.set_memory_ro(at + page, 1)
    memory.set_memory_x(at + page, 1)
    assert before.el1_write and not attributes(1).el1_write
    assert attributes(1).el1_execute
    assert attributes(0) == before == attributes(2)
    memory.set_memory_nx(at + page, 1)
    memory.set_memory_rw(at + page, 1)
    assert attributes(1) == before
    memory.set_memory_valid(at, 1, enable=False)
    assert translated(kernel, at) is None
    memory.set_memory_valid(at, 1, enable=True)
    linear = kernel.space.direct_map.page_address(kernel.machine.board.ram[0].base // page)
    for address, pages in ((at + 1, 1), (linear, 1), (at, -1)):
        with pytest.raises(TtbrError, match="set_memory_ro"):
            memory.set_memory_ro(address, pages)


def test_read_only_memory_is_so_through_the_linear_map() -> None:
    """Debian's arm64 kernel has rodata=full."""
    kernel = run(booted("arm64"))
    at = kernel.vmalloc(8 * K)
    pfn = int(kernel.space.vmalloc.find(at).pages[1])
    linear = kernel.space.direct_map.page_address(pfn)
    kernel.space.memory.set_memory_ro(at, 1)
    attributes = kernel.image().address_space("kernel").translate(linear).attributes
    assert not attributes.el1_write, "all pages of the area, whatever was named"
    assert kernel.space.memory.set_direct_map_invalid(pfn)
    assert translated(kernel, linear) is None
    assert kernel.space.memory.set_direct_map_default(pfn)
    assert translated(kernel, linear) == pfn * 4096
    arm = run(booted("arm"))
    assert not arm.space.memory.set_direct_map_invalid(int(arm.pages.alloc_pages(0)))


def test_vmalloc_seq_counts_new_first_level_entries() -> None:
    kernel = run(booted("arm"))
    kernel.vmalloc(4 * K)
    assert kernel.space.map.vmalloc_seq == 1
    kernel.vmalloc(4 * K)
    assert kernel.space.map.vmalloc_seq == 1
    kernel.vmalloc(4 * M)
    assert kernel.space.map.vmalloc_seq == 2


def uniprocessor(*settings: str):
    """A kernel of 32-bit ARM without SMP: Debian's, by its configuration alone."""
    board = Board.from_dtb(blob(board_tree(**BOARDS["arm"])))
    kernel = with_options(default_kernel(board), parse_settings(("SMP=n", *settings)))
    return run(boot(board, kernel, qemu(board, kernel, 3 * M)))


def test_sections_in_a_kernel_without_smp() -> None:
    kernel = uniprocessor()
    at = kernel.ioremap(0x1000_0000, 4 * M)
    assert at % (4 * M) == 0
    entry = kernel.space.map.entry(at + M + 5)
    assert (entry.level, entry.size, entry.phys) == (1, M, 0x1010_0005)
    assert translated(kernel, at + M + 5) == 0x1010_0005
    assert kernel.space.map.entry(kernel.ioremap(0x1000_0000, 4 * K)).size == 4 * K
    seq = kernel.space.map.vmalloc_seq
    kernel.iounmap(at)
    assert translated(kernel, at) is None
    assert kernel.space.map.vmalloc_seq == seq + 2, "two pairs of entries"
    assert not kernel.cpus.violations


def test_supersections_above_4_gib() -> None:
    kernel = uniprocessor("IO_36=y")
    at = kernel.ioremap(0x1_1000_0000, 32 * M)
    entries = [
        kernel.tables.get(kernel.machine.roots["swapper_pg_dir"], at // M + n) for n in (0, 15, 16)
    ]
    assert entries[0] == entries[1] and entries[2] == entries[0] + 16 * M
    assert entries[0] & 1 << 18 and entries[0] >> 20 & 0xF == 1, "PA[35:32]"
    for refused in (0x1_1010_0000, 0x1_1000_1000):
        with pytest.raises(InputError, match="must be 16 MiB aligned"):
            kernel.ioremap(refused, 16 * M)
    # What cannot be a supersection would need pages, which end at 4 GiB.
    with pytest.raises(TtbrError, match="end at 4 GiB"):
        kernel.ioremap(0x1_1000_0000, 4 * M)
