"""What Linux reads of the flat tree first."""

import pytest
from machines import G, M, board_tree, kernel, machine, pairs

from device_trees import cells
from ttbr.boot.early_fdt import early_init_dt_scan


def scanned(tree, made=None, **kwargs):
    there = machine(tree, made or kernel(), **kwargs)
    early_init_dt_scan(there)
    return there


def memory(there) -> list[tuple[int, int]]:
    return [(region.base, region.end) for region in there.memblock.memory.list]


def said(there) -> list[str]:
    return [message.text for message in there.log.messages]


def test_chosen() -> None:
    chosen = {
        "bootargs": b"memblock=debug a\0b",
        "linux,initrd-start": cells(0x48000000),
        "linux,initrd-end": cells(0x48001000),
        "linux,elfcorehdr": pairs((0x50000000, 0x400)),
    }
    there = scanned(board_tree(chosen=chosen), kernel(CRASH_DUMP="y", CMDLINE="b"))
    assert there.params.text == "memblock=debug a"
    assert there.initrd == (0x48000000, 0x1000)
    assert there.elfcorehdr == (0x50000000, 0x400)
    bare = scanned(board_tree(chosen=chosen), kernel(BLK_DEV_INITRD="n"))
    assert (bare.initrd, bare.elfcorehdr) == (None, None)


def test_without_chosen_the_configured_command_line_counts() -> None:
    name, properties, nodes = board_tree()
    there = scanned((name, properties, nodes[1:]), kernel(CMDLINE="quiet"))
    assert there.params.text == "quiet" and there.initrd is None


def test_the_seed_is_wiped_where_it_lies() -> None:
    there = machine(board_tree(chosen={"a": b"x", "rng-seed": bytes(range(1, 31))}), kernel())
    before = there.ram.read(there.dtb, there.tree.totalsize)
    seed = there.tree.find("/chosen").properties["rng-seed"]
    early_init_dt_scan(there)
    after = there.ram.read(there.dtb, there.tree.totalsize)
    assert there.tree.find("/chosen").prop("rng-seed") is None
    start, end = seed.offset - 12, seed.offset + 32
    assert after[start:end] == bytes.fromhex("00000004") * 11
    assert after[:start] == before[:start] and after[end:] == before[end:]


@pytest.mark.parametrize(
    ("entry", "kept", "ignored"),
    [
        ((G + 1, M), (G + 4096, G + M), None),
        ((G, M + 1), (G, G + M), None),
        ((G, 4095), None, f"block {G:#x} - {G + 4095:#x}"),
        ((G + 4095, 1), None, None),
        ((G + 4095, 4097), (G + 4096, G + 8192), None),
    ],
)
def test_entries_are_cut_to_pages(entry, kept, ignored: str | None) -> None:
    there = scanned(board_tree(memory=((16 * G, G), entry)), at=16 * G)
    assert memory(there) == ([kept] if kept else []) + [(16 * G, 17 * G)]
    assert said(there) == ([f"OF: fdt: Ignoring memory {ignored}"] if ignored else [])


def test_16k_pages_cut_more() -> None:
    made = kernel(ARM64_16K_PAGES="y")
    there = scanned(board_tree(memory=((G + 4096, 32 * M),)), made, at=G + 2 * M)
    assert memory(there) == [(G + 16384, G + 32 * M)]


def test_a_32_bit_kernel_ignores_what_is_above_4g() -> None:
    tree = board_tree(memory=((G, G), (3 * G, 3 * G), (8 * G, G)), cpu="arm,cortex-a7")
    there = scanned(tree, kernel("arm"))
    # The last byte of the address space is not counted: the region ends one byte early.
    assert memory(there) == [(G, 2 * G), (3 * G, 4 * G - 1)]
    assert said(there) == [
        "OF: fdt: Ignoring memory range 0x100000000 - 0x180000000",
        "OF: fdt: Ignoring memory block 0x200000000 - 0x240000000",
    ]
    wide = scanned(tree, kernel("arm", ARM_LPAE="y"))
    assert memory(wide) == [(G, 2 * G), (3 * G, 6 * G), (8 * G, 9 * G)]


def test_an_arm_kernel_loses_what_is_below_it() -> None:
    tree = board_tree(memory=((M, M), (G, G)), cpu="arm,cortex-a7")
    there = scanned(tree, kernel("arm"), at=G + 16 * M)
    assert memory(there) == [(G + 16 * M, 2 * G)]
    assert said(there) == [
        "OF: fdt: Ignoring memory block 0x100000 - 0x200000",
        "OF: fdt: Ignoring memory range 0x40000000 - 0x41000000",
    ]


def test_4g_from_zero_come_out_as_nothing_on_32_bits() -> None:
    tree = board_tree(memory=((0, 4 * G),), cpu="arm,cortex-a7")
    assert memory(scanned(tree, kernel("arm"))) == []


def test_hotpluggable_memory_is_marked() -> None:
    extra = (
        "memory@1",
        {"device_type": b"memory\0", "reg": pairs((4 * G, G)), "hotpluggable": b""},
        [],
    )
    there = scanned(board_tree(extra))
    assert [int(region.flags) for region in there.memblock.memory.list] == [0, 1]


@pytest.mark.parametrize(
    ("usable", "kept"),
    [
        (pairs((G + M, M)), [(G + M, G + 2 * M)]),
        (pairs((G + M, M), (G, 4096)), [(G, G + 4096), (G + M, G + 2 * M)]),
        (pairs((G + M, M), (G, 0), (G, M)), [(G + M, G + 2 * M)]),
        (pairs((0, 0)), [(G, 2 * G)]),
        (b"", [(G, 2 * G)]),
        (cells(1, 2, 3), [(G, 2 * G)]),
    ],
)
def test_usable_memory_range(usable: bytes, kept: list[tuple[int, int]]) -> None:
    assert memory(scanned(board_tree(chosen={"linux,usable-memory-range": usable}))) == kept
