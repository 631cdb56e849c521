"""/proc/iomem's part about RAM: nesting, whole pages, and pieces that do not overlap."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from machines import G, K, M, board_tree, kernel, machine

from ttbr.boot.iomem import Resource, iomem
from ttbr.boot.machine import Machine
from ttbr.kernel.symbols import Symbols
from ttbr.report.iomem import iomem_lines

PAGE = 4 * K


def made(arch: str = "arm64", size: int = G) -> Machine:
    kern = kernel(arch, "6.12.117")
    start = kern.symbols["_text"]
    image = {"_stext": start, "__init_begin": start + M, "_sdata": start + 2 * M}
    object.__setattr__(kern, "symbols", Symbols([*kern.symbols.items(), *image.items()]))
    done = machine(board_tree(memory=((G, G),)), kern)
    done.memblock.add(G, size, "test")
    return done


def lines(of: Machine) -> list[str]:
    return iomem_lines(iomem(of))


def test_arm64_reserved_memory_goes_around_the_image() -> None:
    here = made()
    here.memblock.reserve(G, 5 * M + 1, "test")
    here.memblock.reserve(G + 16 * M + 100, 200, "test")
    here.memblock.mark_nomap(G + 32 * M, M, "test")
    here.crash_areas.append((G + 64 * M, M))
    here.memblock.reserve(G + 64 * M, M, "test")
    assert lines(here) == [
        "40000000-41ffffff : System RAM",
        "  40000000-400fffff : Kernel code",
        "  40100000-401fffff : reserved",
        "  40200000-403fffff : Kernel data",
        "  40400000-40500fff : reserved",
        "  41000000-41000fff : reserved",
        "42000000-420fffff : reserved",
        "42100000-7fffffff : System RAM",
        "  44000000-440fffff : Crash kernel",
    ]


def test_arm_enters_bytes_and_no_reservations() -> None:
    here = made("arm", G - 1)
    here.memblock.reserve(G + 16 * M, M, "test")
    assert lines(here) == [
        "40000000-7ffffffe : System RAM",
        "  40008000-40107fff : Kernel code",
        "  40208000-40407fff : Kernel data",
    ]


def flat(resources: list[Resource]) -> list[Resource]:
    return [child for top in resources for child in top.children]


@given(st.lists(st.tuples(st.integers(0, 8 * M), st.integers(1, M)), max_size=12))
def test_pieces_do_not_overlap_and_cover_what_is_reserved(areas: list[tuple[int, int]]) -> None:
    here = made(size=16 * M)
    for offset, size in areas:
        here.memblock.reserve(G + offset, size, "test")
    children = flat(iomem(here))
    assert all(a.end < b.start for a, b in itertools.pairwise(children))
    covered = {
        page for child in children for page in range(child.start // PAGE, child.end // PAGE + 1)
    }
    reserved = {
        page
        for offset, size in areas
        for page in range((G + offset) // PAGE, (G + offset + size - 1) // PAGE + 1)
    }
    image = set(range(G // PAGE, (G + M) // PAGE)) | set(
        range((G + 2 * M) // PAGE, (G + 4 * M) // PAGE)
    )
    assert covered == reserved | image
