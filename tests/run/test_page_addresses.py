"""Frames to addresses and back, under each memory model."""

import pytest
from machines import G, M, board_tree
from memory_maps import mapped

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import boot, default_kernel
from ttbr.boot.loader import qemu
from ttbr.kernel.what_if import with_options
from ttbr.run import run
from ttbr.run.page_addresses import PageAddresses

MODELS = ("arm", "arm-highmem", "arm-sparse", "arm64", "arm64-16k", "arm64-numa", "arm64-sparse")
SPARSE = {"SPARSEMEM": "y", "FLATMEM": "n", "SPARSEMEM_VMEMMAP": "n"}


def sparse(cpu: str):
    """The shipped kernel of an architecture with SPARSEMEM, but no virtual map of struct page."""
    board = Board.from_dtb(blob(board_tree(cpu=cpu, memory=((G, G), (3 * G, G // 2)))))
    made = with_options(default_kernel(board), SPARSE)
    return boot(board, made, qemu(board, made, 3 * M)).machine


@pytest.fixture(params=MODELS)
def machine(request):
    cpus = {"arm-sparse": "arm,cortex-a15", "arm64-sparse": "arm,cortex-a53"}
    name = request.param
    return sparse(cpus[name]) if name in cpus else mapped(name).machine


def test_every_frame_has_a_struct_page_of_its_own(machine) -> None:
    addresses = PageAddresses(machine)
    page = machine.kernel.page_size
    places = [(r.base // page, r.end // page) for r in machine.memblock.memory.list]
    pfns = [
        pfn
        for start, end in places
        for pfn in (start, start + 1, *range(start, end, 12345), end - 1)
    ]
    pages = [addresses.pfn_to_page(pfn) for pfn in pfns]
    assert len(set(pages)) == len(set(pfns))
    assert [addresses.page_to_pfn(found) for found in pages] == pfns
    first = places[0][0]
    size = addresses.pfn_to_page(first + 1) - addresses.pfn_to_page(first)
    with pytest.raises(ValueError, match="is no struct page"):
        addresses.page_to_pfn(pages[0] + size // 2)
    if machine.sections:
        with pytest.raises(ValueError, match="has no struct page"):
            addresses.pfn_to_page((8 << 40) // page)


def test_linear_addresses(machine) -> None:
    addresses, page = PageAddresses(machine), machine.kernel.page_size
    start = machine.memblock.start_of_dram()
    for phys in (start, start + 5 * page, start + 256 * M - 8):
        virt = addresses.virt(phys)
        assert virt is not None and addresses.phys(virt) == phys
        assert addresses.pfn(virt) == phys // page
        assert addresses.page_address(phys // page) == virt // page * page
    for outside in (0, 0x1000, (1 << 64) - page):
        with pytest.raises(ValueError, match="not in the linear map"):
            addresses.phys(outside)


def test_highmem_has_no_linear_address() -> None:
    kernel = run(mapped("arm-highmem"))
    zone = next(zone for zone in kernel.pages.zones if zone.name == "HighMem")
    assert kernel.addresses.page_address(zone.start) is None
    assert kernel.addresses.page_address(zone.start - 1) is not None
    assert kernel.addresses.page_to_pfn(kernel.addresses.pfn_to_page(zone.start)) == zone.start
