"""Boards, kernels and machines made by the tests."""

from typing import Any

from device_trees import Tree, blob, cells
from ttbr.boot.board import Board
from ttbr.boot.loader import Placement
from ttbr.boot.machine import Machine
from ttbr.kernel.config import Config
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.release import Release
from ttbr.kernel.symbols import Symbols

K, M, G = 1 << 10, 1 << 20, 1 << 30
LINK = {"arm64": 0xFFFF_8000_8000_0000, "arm": 0xC000_8000}
CMA = {"CMA": "y", "DMA_CMA": "y", "CMA_AREAS": "7", "DMA_DECLARE_COHERENT": "y"}


def kernel(
    arch: str = "arm64", release: str = "6.12.117", size: int = 4 * M, **options: Any
) -> Kernel:
    symbols = Symbols([("_text", LINK[arch]), ("_end", LINK[arch] + size)])
    values = {"AUTO_ZRELADDR": "y", "BLK_DEV_INITRD": "y"} | options
    config = Config({name: str(value) for name, value in values.items()})
    text_offset = 0x8000 if arch == "arm" else 0
    return Kernel(arch, Release.parse(release), config, symbols, "test", text_offset, size)


def board_tree(
    *nodes: Tree,
    memory: tuple[tuple[int, int], ...] = ((G, G),),
    chosen: dict[str, bytes] | None = None,
    cpu: str = "arm,cortex-a53",
    root: dict[str, bytes] | None = None,
    address_cells: int = 2,
) -> Tree:
    wide = {"#address-cells": cells(address_cells), "#size-cells": cells(address_cells)}

    def number(value: int) -> bytes:
        return value.to_bytes(4 * address_cells, "big")

    reg = b"".join(number(base) + number(size) for base, size in memory)
    return (
        "",
        {**wide, **(root or {})},
        [
            ("chosen", chosen or {}, []),
            ("memory", {"device_type": b"memory\0", "reg": reg}, []),
            (
                "cpus",
                {"#address-cells": cells(1), "#size-cells": cells(0)},
                [
                    (
                        f"cpu@{number}",
                        {"device_type": b"cpu\0", "compatible": cpu.encode() + b"\0"},
                        [],
                    )
                    for number in range(4)
                ],
            ),
            *nodes,
        ],
    )


def reserved_memory(*children: Tree, **properties: bytes) -> Tree:
    usual = {"#address-cells": cells(2), "#size-cells": cells(2), "ranges": b""}
    kept = {name: data for name, data in (usual | properties).items() if data != b"none"}
    return ("reserved-memory", kept, list(children))


def pairs(*values: tuple[int, int]) -> bytes:
    return b"".join(base.to_bytes(8, "big") + size.to_bytes(8, "big") for base, size in values)


def machine(
    tree: Tree, made: Kernel, *, reserve: tuple[tuple[int, int], ...] = (), at: int | None = None
) -> Machine:
    """A machine whose kernel is at the start of RAM and whose tree is 16 MiB further."""
    board = Board.from_dtb(blob(tree, reserve=reserve))
    base = board.ram[0].base if at is None else at
    placement = Placement(base + made.text_offset, base + 16 * M, board.initrd, "custom")
    return Machine.hand_over(board, made, placement, tree=board.tree)
