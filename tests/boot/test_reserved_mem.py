"""/reserved-memory, in both generations of its order."""

import pytest
from machines import CMA, G, M, board_tree, kernel, machine, pairs, reserved_memory

from device_trees import cells
from ttbr.boot.early_fdt import early_init_dt_scan
from ttbr.boot.memblock import Flags
from ttbr.boot.reserved_mem import early_init_fdt_scan_reserved_mem

OLD, NEW = "6.1.176", "6.12.117"
POOL = {"compatible": b"shared-dma-pool\0", "reusable": b""}


def size(value: int, **more: bytes):
    return {"size": value.to_bytes(8, "big"), **more}


def reg(*values: tuple[int, int], **more: bytes):
    return {"reg": pairs(*values), **more}


def scan(*children, release: str = NEW, arch: str = "arm64", reserve=(), chosen=None, **kwargs):
    options = CMA | kwargs.pop("options", {})
    cpu = "arm,cortex-a53" if arch == "arm64" else "arm,cortex-a7"
    node = kwargs.pop("node", None) or reserved_memory(*children)
    tree = board_tree(node, chosen=chosen, cpu=cpu, **kwargs)
    there = machine(tree, kernel(arch, release, **options), reserve=reserve)
    early_init_dt_scan(there)
    there.log._events.clear()
    early_init_fdt_scan_reserved_mem(there)
    return there


def events(there) -> list[tuple[str, int, int]]:
    return [(e.kind.removeprefix("memblock_"), e.start, e.end + 1) for e in there.log]


def said(there) -> str:
    return "\n".join(message.text for message in there.log.messages)


def test_the_old_order() -> None:
    there = scan(
        ("a", size(M, alignment=cells(0, M)), []),
        ("b@1", reg((G + 64 * M, M)), []),
        release=OLD,
        reserve=((G + 100 * M, M),),
        chosen={"linux,elfcorehdr": pairs((G + 80 * M, 4096))},
        options={"CRASH_DUMP": "y"},
    )
    assert events(there) == [
        ("reserve", G + 100 * M, G + 101 * M),
        ("reserve", G + 64 * M, G + 65 * M),
        ("reserve", G + 80 * M, G + 80 * M + 4096),
        ("reserve", 2 * G - M, 2 * G),
    ]


def test_the_new_order() -> None:
    there = scan(
        ("a", size(M, alignment=cells(0, M)), []),
        ("b@1", reg((2 * G - M, M)), []),
        ("c", size(M, alignment=cells(0, M)), []),
        reserve=((G + 100 * M, M),),
        chosen={"linux,elfcorehdr": pairs((G + 80 * M, 4096))},
        options={"CRASH_DUMP": "y"},
    )
    assert events(there) == [
        ("reserve", G + 80 * M, G + 80 * M + 4096),
        ("reserve", 2 * G - M, 2 * G),
        ("reserve", 2 * G - 2 * M, 2 * G - M),
        ("reserve", 2 * G - 3 * M, 2 * G - 2 * M),
        ("reserve", G + 100 * M, G + 101 * M),
    ]


def test_old_kernels_place_equals_in_the_order_of_their_sort() -> None:
    nodes = [(name, size(M * (1 + n), alignment=cells(0, M)), []) for n, name in enumerate("abc")]
    there = scan(*nodes, release=OLD)
    # Three equal keys come out of the kernel's heapsort as the second, the third, the first.
    assert [(end - start) // M for _, start, end in events(there)] == [2, 3, 1]
    assert [(r.path[-1]) for r in there.reserved_regions] == ["b", "c", "a"]


@pytest.mark.parametrize("release", [OLD, NEW])
def test_nomap(release: str) -> None:
    there = scan(
        ("a@1", reg((G + 64 * M, M), **{"no-map": b""}), []),
        ("b@2", reg((9 * G, M), **{"no-map": b""}), []),
        ("c", size(M, alignment=cells(0, M), **{"no-map": b""}), []),
        release=release,
    )
    assert [kind for kind, _, _ in events(there)] == [
        *("mark_nomap", "mark_nomap", "reserve", "mark_nomap")
    ]
    nomap = [(r.base, r.end) for r in there.memblock.memory.list if r.flags & Flags.NOMAP]
    assert nomap == [(G + 64 * M, G + 65 * M), (2 * G - M, 2 * G)]


@pytest.mark.parametrize("release", [OLD, NEW])
def test_nomap_on_what_is_reserved_is_refused(release: str) -> None:
    there = scan(
        ("a@1", reg((G + 64 * M, M)), []),
        ("b@2", reg((G + 64 * M, M), **{"no-map": b""}), []),
        ("c@3", reg((G + 64 * M, 0)), []),
        release=release,
    )
    assert said(there).count("failed to reserve memory for node") == 2
    assert len(events(there)) == 1


@pytest.mark.parametrize("release", [OLD, NEW])
@pytest.mark.parametrize(
    "node",
    [
        reserved_memory(("a@1", reg((G, M)), []), ranges=b"none"),
        reserved_memory(("a@1", reg((G, M)), []), **{"#size-cells": cells(1)}),
        reserved_memory(("a@1", reg((G, M)), []), **{"#address-cells": b"none"}),
    ],
)
def test_a_parent_of_another_format_is_ignored(release: str, node) -> None:
    there = scan(node=node, release=release)
    assert not events(there) and "unsupported node format, ignoring" in said(there)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"reg": cells(1, 2, 3)}, "invalid reg property in 'a'"),
        ({"size": cells(1)}, "invalid size property in 'a'"),
        (size(M, alignment=cells(1)), "invalid alignment property in 'a'"),
        (size(M, **{"alloc-ranges": cells(1, 2)}), "invalid alloc-ranges property in 'a'"),
        (size(9 * G), "failed to allocate memory for node 'a': size 9216 MiB"),
    ],
)
@pytest.mark.parametrize("release", [OLD, NEW])
def test_nodes_that_are_skipped(release: str, properties, message: str) -> None:
    there = scan(("a", properties, []), release=release)
    assert not events(there) and message in said(there)


def test_disabled_and_empty_nodes_say_nothing() -> None:
    there = scan(("a@1", reg((G, M), status=b"disabled\0"), []), ("b", {}, []))
    assert not events(there) and not said(there)


def test_alloc_ranges_are_tried_in_turn() -> None:
    ranges = pairs((9 * G, M), (G + 32 * M, 16 * M))
    there = scan(("a", size(M, alignment=cells(0, M), **{"alloc-ranges": ranges}), []))
    assert events(there) == [("reserve", G + 47 * M, G + 48 * M)]


@pytest.mark.parametrize(
    ("release", "at"), [("6.4.1", G + 63 * M), ("6.5", G + 33 * M), (NEW, G + 33 * M)]
)
def test_new_kernels_keep_neighbours_together(release: str, at: int) -> None:
    first = ("a", size(M, **{"alloc-ranges": pairs((G + 32 * M, M))}), [])
    second = ("b", size(M, **{"alloc-ranges": pairs((G + 33 * M, 31 * M))}), [])
    nodes = (first, second) if release == NEW else (second, first)
    assert ("reserve", at, at + M) in events(scan(*nodes, release=release))


@pytest.mark.parametrize("release", [OLD, NEW])
def test_a_cma_pool_is_aligned_and_becomes_the_default(release: str) -> None:
    pool = ("pool", size(3 * M, **POOL, **{"linux,cma-default": b""}), [])
    there = scan(pool, release=release, options={"HUGETLB_PAGE": "y"})
    # Placed at the alignment of page blocks, 2 MiB; its size is no multiple, so it goes again.
    assert [kind for kind, _, _ in events(there)] == ["reserve", "phys_free"]
    assert "incorrect alignment of CMA region" in said(there) and there.cma.default is None
    pool = ("pool", size(4 * M, **POOL, **{"linux,cma-default": b""}), [])
    there = scan(pool, release=release, options={"HUGETLB_PAGE": "y"})
    assert there.cma.default is not None and there.cma.default.size == 4 * M
    assert there.cma.remap == []


@pytest.mark.parametrize("release", [OLD, NEW])
def test_cma_on_the_command_line_wins(release: str) -> None:
    pool = ("pool", size(4 * M, **POOL, **{"linux,cma-default": b""}), [])
    there = scan(pool, release=release, chosen={"bootargs": b"cma=8M\0"})
    assert "bypass pool node" in said(there) and there.cma.default is None
    assert [kind for kind, _, _ in events(there)] == ["reserve", "phys_free"]


@pytest.mark.parametrize(("release", "ready"), [(OLD, True), (NEW, False)])
def test_arm_pools_are_noted_for_the_remap(release: str, ready: bool) -> None:
    there = scan(
        ("fixed@1", reg((G + 64 * M, 8 * M), **POOL), []),
        ("placed", size(8 * M, **POOL), []),
        release=release,
        arch="arm",
    )
    assert sorted(there.cma.remap) == [(G + 64 * M, 8 * M), (2 * G - 8 * M, 8 * M)]
    assert len(there.cma.areas) == (2 if ready else 1), "'reg' nodes are initialised later"


@pytest.mark.parametrize(
    ("arch", "properties", "kept"),
    [
        ("arm64", {"compatible": b"shared-dma-pool\0"}, True),
        ("arm", {"compatible": b"shared-dma-pool\0"}, False),
        ("arm", {"compatible": b"Shared-DMA-Pool\0", "no-map": b""}, True),
        ("arm", {**POOL, "no-map": b""}, False),
        ("arm64", {"compatible": b"restricted-dma-pool\0"}, True),
        ("arm64", {"compatible": b"restricted-dma-pool\0", "reusable": b""}, False),
        ("arm64", {"compatible": b"acme,pool\0"}, True),
    ],
)
@pytest.mark.parametrize("release", [OLD, NEW])
def test_what_drivers_refuse_is_given_back(release: str, arch: str, properties, kept: bool) -> None:
    node = ("pool", size(8 * M, **properties), [])
    there = scan(node, release=release, arch=arch, options={"DMA_RESTRICTED_POOL": "y"})
    assert ("compatible matching fail" not in said(there)) == kept
    free = there.memblock.phys_alloc_range(M, M, 0, 0, "f")
    if "no-map" not in properties:
        assert (free == 2 * G - M) == (not kept)


def test_overlaps_are_told() -> None:
    there = scan(
        ("b@2", reg((G + 65 * M, M)), []),
        ("a@1", reg((G + 64 * M, 2 * M)), []),
        release=OLD,
    )
    assert "OVERLAP DETECTED!\na@1" in said(there)


def test_elfcorehdr_on_something_else() -> None:
    there = scan(
        ("a@1", reg((G + 80 * M, M)), []),
        release=OLD,
        chosen={"linux,elfcorehdr": pairs((G + 80 * M, 4096))},
        options={"CRASH_DUMP": "y"},
    )
    assert "elfcorehdr is overlapped" in said(there) and len(events(there)) == 1


def test_there_is_an_end_to_the_array() -> None:
    nodes = [(f"n{n}", size(4096), []) for n in range(66)]
    assert len(scan(*nodes, release=OLD).reserved_regions) == 64
    there = scan(*nodes)
    assert len(there.reserved_regions) == 64 and "too many defined dynamic regions" in said(there)


def test_a_tree_without_the_node() -> None:
    there = scan(node=("x", {}, []))
    assert not events(there)
