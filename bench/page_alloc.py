"""What pages cost: taken and given back one by one and many at once, and how that grows."""

from collections.abc import Iterator
from pathlib import Path

from ttbr.boot.board import Board
from ttbr.boot.boot import boot, default_kernel
from ttbr.boot.loader import qemu
from ttbr.run.kernel import run
from ttbr.run.page_alloc import PageAllocator
from work import Group, Work

TREE = Path(__file__).parent.parent / "examples" / "qemu-virt-arm64.dtb"
RAM = ((0x4000_0000, 8 << 30),)
COUNTS = (250_000, 500_000, 1_000_000)


def page_groups() -> Iterator[Group]:
    """Pages by the million; the floor is a dictionary that gets and loses as many numbers."""
    board = Board.from_dtb(TREE.read_bytes(), memory=RAM)
    made = default_kernel(board)
    pages = run(boot(board, made, qemu(board, made))).pages
    for title, call in (("one by one", _singly), ("many at once", _at_once)):
        works = [Work("a dictionary", _dictionary, COUNTS[-1], 3)]
        works += [
            Work(f"{count:,} pages", lambda n=count, use=call: use(pages, n), count, 3)
            for count in COUNTS
        ]
        yield Group(f"Pages taken and given back, {title}", "pages", works)


def _dictionary() -> None:
    held: dict[int, int] = {}
    for number in range(COUNTS[-1]):
        held[number] = number
    for number in range(COUNTS[-1]):
        del held[number]


def _singly(pages: PageAllocator, count: int) -> None:
    held = [pages.alloc_pages(0) for _ in range(count)]
    for pfn in held:
        pages.free_pages(pfn, 0)


def _at_once(pages: PageAllocator, count: int) -> None:
    pages.free_bulk(pages.alloc_bulk(count))
