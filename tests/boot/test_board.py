"""What is read of a board."""

import pytest
from machines import G, M, board_tree

from device_trees import blob, cells
from ttbr.boot.board import Board
from ttbr.boot.fdt import DeviceTree
from ttbr.errors import InputError

VIRTIO = ("virtio_mmio@1000", {"compatible": b"virtio,mmio\0"}, [])


def test_a_board() -> None:
    chosen = {
        "bootargs": b"console=ttyAMA0\0",
        "linux,initrd-start": cells(0x48000000),
        "linux,initrd-end": cells(0, 0x48100000),
    }
    tree = board_tree(chosen=chosen, root={"model": b"a board\0", "compatible": b"a,b\0c,d\0"})
    board = Board.from_dtb(blob(tree))
    assert (board.model, board.compatible) == ("a board", ("a,b", "c,d"))
    assert [(bank.base, bank.size) for bank in board.ram] == [(G, G)]
    assert (board.cpus, board.cpu_compatible) == (4, ("arm,cortex-a53",))
    assert (board.arch, board.initrd, board.unknowns) == ("arm64", (0x48000000, M), ())


def test_memory_is_read_as_linux_does() -> None:
    tree = board_tree(
        (
            "memory@1",
            {"device_type": b"memory\0", "reg": cells(0, 5, 0, 7), "hotpluggable": b""},
            [],
        ),
        ("memory@2", {"device_type": b"memory\0", "reg": cells(0, 5, 0, 7), "status": b"no\0"}, []),
        ("memory@3", {"device_type": b"memor\0", "reg": cells(0, 5, 0, 7)}, []),
        ("deep", {}, [("memory@4", {"device_type": b"memory\0", "reg": cells(0, 9, 0, 9)}, [])]),
        (
            "ddr@5",
            {
                "device_type": b"memory\0",
                "reg": cells(0, 0x1000, 0, 0x1000),
                "linux,usable-memory": cells(0, 0x1800, 0, 0x100, 0, 1),
            },
            [],
        ),
        memory=((2 * G, G), (G, G)),
    )
    board = Board.from_dtb(blob(tree))
    assert [(e.base, e.size, e.hotpluggable) for e in board.memory] == [
        (2 * G, G, False),
        (G, G, False),
        (5, 7, True),
        (0x1800, 0x100, False),
    ]
    assert [(bank.base, bank.size) for bank in board.ram] == [
        *((5, 7), (0x1000, 0x1000), (G, 2 * G))
    ]


def test_memory_and_command_line_of_ones_own() -> None:
    board = Board.from_dtb(blob(board_tree()), [(3 * G, G), (G, M)], bootargs="quiet")
    assert [(e.base, e.size) for e in board.memory] == [(3 * G, G), (G, M)]
    assert [bank.base for bank in board.ram] == [G, 3 * G]
    chosen = board.tree.find("/chosen")
    assert chosen is not None and chosen.properties["bootargs"].data == b"quiet\0"


def test_an_override_that_changes_nothing_changes_no_byte() -> None:
    data = blob(board_tree(chosen={"bootargs": b"quiet\0"}))
    assert Board.from_dtb(data, [(G, G)], bootargs="quiet").tree.blob == data


@pytest.mark.parametrize(
    ("memory", "said"),
    [
        ([(G, M), (G + M - 1, M)], "overlap"),
        ([(G, 0)], "memory"),
        ([(1 << 64, M)], "memory|fit"),
    ],
)
def test_memory_that_cannot_be(memory: list[tuple[int, int]], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        Board.from_dtb(blob(board_tree()), memory)
    assert "\n" not in str(error.value)


def test_a_board_without_memory() -> None:
    with pytest.raises(InputError, match="no memory node"):
        Board.from_dtb(blob(board_tree(memory=())))


@pytest.mark.parametrize(
    ("root", "nodes", "cpus", "count", "assumed"),
    [
        ({}, (), None, 4, False),
        ({}, (VIRTIO,), None, 1, True),
        ({}, (VIRTIO,), 2, 2, False),
        ({"compatible": b"linux,dummy-virt\0"}, (VIRTIO,), None, 4, False),
    ],
)
def test_cpus_present(root, nodes, cpus: int | None, count: int, assumed: bool) -> None:
    board = Board.from_dtb(blob(board_tree(*nodes, root=root)), cpus=cpus)
    assert board.cpus == count
    assert any("QEMU" in said for said in board.unknowns) == assumed


@pytest.mark.parametrize(
    ("compatible", "blanked", "cpus", "count", "bare"),
    [
        # QEMU blanks the memory node of a tree that it is given out, and leaves /cpus alone.
        (b"fsl,imx6q\0", True, None, 1, True),
        (b"fsl,imx6q\0", True, 1, 1, True),
        (b"fsl,imx6q\0", True, 4, 4, False),
        (b"fsl,imx6q\0", False, None, 4, False),
        (b"fsl,imx6q\0", False, 1, 1, False),
        (b"calxeda,highbank\0", True, None, 1, False),
        (b"brcm,bcm2836\0", True, None, 4, False),
    ],
)
def test_cores_of_qemus_boards(compatible, blanked, cpus, count, bare) -> None:
    old = ("memory@10000000", {"device_type": b"memory\0", "reg": cells(0, 5, 0, 7)}, [])
    root, last = {"compatible": compatible}, ("last", {}, [])
    tree = bytearray(blob(board_tree(old, last, root=root, cpu="arm,cortex-a9")))
    if blanked:
        node = DeviceTree.parse(bytes(tree)).find("/memory@10000000")
        assert node is not None
        tree[node.offset : node.end] = cells(4) * ((node.end - node.offset) // 4)
    board = Board.from_dtb(bytes(tree), cpus=cpus)
    assert (board.cpus, board.bare_core) == (count, bare)
    assert any("QEMU" in said for said in board.unknowns) == (cpus is None and count == 1)


@pytest.mark.parametrize(
    ("start", "end", "initrd"),
    [
        (cells(0x1000), cells(0x3000), (0x1000, 0x2000)),
        (cells(0x3000), cells(0x1000), None),
        (cells(0x3000), cells(0x3000), None),
        (cells(1, 0), cells(1, 5), (1 << 32, 5)),
        (b"", cells(7), (0, 7)),
    ],
)
def test_initrd(start: bytes, end: bytes, initrd: tuple[int, int] | None) -> None:
    chosen = {"linux,initrd-start": start, "linux,initrd-end": end}
    assert Board.from_dtb(blob(board_tree(chosen=chosen))).initrd == initrd


def test_qemus_max_looks_like_a_cortex_a57() -> None:
    from ttbr.boot.qemu_boards import disguised_cpu

    a57, virt = ("arm,cortex-a57",), ("linux,dummy-virt",)
    assert "-cpu max" in (disguised_cpu(virt, a57, "arm64") or "")
    for board, cpu, arch in (
        (virt, ("arm,cortex-a72",), "arm64"),
        (("arm,juno",), a57, "arm64"),
        (virt, a57, "arm"),
    ):
        assert disguised_cpu(board, cpu, arch) is None


def test_a_cortex_a57_of_qemu_with_16k_pages_is_its_max() -> None:
    from ttbr.boot.qemu_boards import unmasked_cpu
    from ttbr.kernel.cpu import CORES, QEMU_MAX

    a57 = CORES["arm,cortex-a57"]
    assert unmasked_cpu(True, a57, 12) == (a57, None)
    assert unmasked_cpu(False, a57, 14) == (a57, None)
    core, concluded = unmasked_cpu(True, a57, 14)
    assert core is QEMU_MAX and core.granule(14) and core.lpa2(14)
    assert concluded is not None and "no pages of 16K" in concluded
