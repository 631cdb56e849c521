"""The hand-over of memory: what is given back of struct pages that nobody needs."""

from machines import G, M, board_tree, kernel, machine

from ttbr.boot.free_all import memblock_free_all
from ttbr.boot.machine import Machine
from ttbr.boot.zones import Node, Zone

PAGE, STRUCT_PAGE = 4096, 32
FIRST, HOLE, SECOND, END = G, G + 100 * M, G + 512 * M, G + 768 * M


def made(**options: object) -> Machine:
    """A 32-bit ARM machine with two banks; struct pages lie at the start of the second."""
    kern = kernel("arm", "6.12.117", HIGHMEM="y", **options)
    done = machine(board_tree(memory=((FIRST, HOLE - FIRST), (SECOND, END - SECOND))), kern)
    done.memblock.add(FIRST, HOLE - FIRST, "test")
    done.memblock.add(SECOND, END - SECOND, "test")
    done.memblock.reserve(SECOND, 8 * M, "test")
    done.memblock.current_limit = END
    present = (HOLE - FIRST + END - SECOND) // PAGE
    zone = Zone("Normal", FIRST // PAGE, (END - FIRST) // PAGE, present)
    done.nodes.append(Node(0, FIRST // PAGE, END // PAGE, [zone]))
    return done


def freed(of: Machine) -> list[tuple[int, int]]:
    return [(e.start, e.end + 1) for e in of.log if e.kind == "memblock_phys_free"]


def test_flat_memory_gives_back_what_describes_a_hole() -> None:
    here = made()
    here.nodes[0].mem_map = SECOND
    got = memblock_free_all(here)
    hole = (HOLE - FIRST) // PAGE * STRUCT_PAGE, (SECOND - FIRST) // PAGE * STRUCT_PAGE
    assert freed(here) == [(SECOND + hole[0], SECOND + hole[1])]
    zone = here.nodes[0].zones[0]
    assert zone.managed == got.totalram == got.free.pages
    assert zone.managed == zone.present - (8 * M - (hole[1] - hole[0])) // PAGE


def test_sparse_memory_gives_back_the_end_of_a_section() -> None:
    here = made(SPARSEMEM="y")
    here.section_arrays = {4: SECOND, 6: SECOND + 2 * M}
    memblock_free_all(here)
    used = (HOLE - FIRST) // PAGE * STRUCT_PAGE
    assert freed(here) == [(SECOND + used, SECOND + 2 * M)]


def test_lowmem_first_then_highmem_page_by_page() -> None:
    here = made()
    here.memblock.current_limit = SECOND
    here.nodes[0].zones[:] = [
        Zone("Normal", FIRST // PAGE, (SECOND - FIRST) // PAGE, (HOLE - FIRST) // PAGE),
        Zone("HighMem", SECOND // PAGE, (END - SECOND) // PAGE, (END - SECOND) // PAGE),
    ]
    got = memblock_free_all(here)
    assert got.highmem == (END - SECOND - 8 * M) // PAGE
    assert got.totalram - got.highmem == (HOLE - FIRST) // PAGE
    low = got.free.of(0, "Normal", 10).tolist()
    high = got.free.of(0, "HighMem", 10).tolist()
    assert low == sorted(low) and high == sorted(high, reverse=True)


def test_memory_of_nodes_that_take_turns_goes_to_its_own() -> None:
    """The span of node 0 covers node 1; what lies there is node 1's."""
    banks = ((G, 0), (G + 128 * M, 1), (G + 256 * M, 0))
    done = machine(board_tree(), kernel(NUMA="y", NODES_SHIFT="1"))
    for base, nid in banks:
        done.memblock.add(base, 128 * M, "test")
        done.memblock.set_node(base, 128 * M, done.memblock.memory, nid)
    pages = 128 * M // PAGE
    first = Node(0, G // PAGE, G // PAGE + 3 * pages)
    first.zones.append(Zone("Normal", G // PAGE, 3 * pages, 2 * pages))
    second = Node(1, G // PAGE + pages, G // PAGE + 2 * pages)
    second.zones.append(Zone("Normal", G // PAGE + pages, pages, pages))
    done.nodes += [first, second]
    free = memblock_free_all(done).free
    of_second = free.of(1, "Normal", 10)
    assert first.zones[0].managed == 2 * pages and second.zones[0].managed == pages
    assert not set(of_second.tolist()) & set(free.of(0, "Normal", 10).tolist())
