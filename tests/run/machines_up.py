"""Running kernels for the tests: one small board for each shape of tables and memory map."""

import functools

from machines import G, M, board_tree

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot, default_kernel
from ttbr.boot.loader import qemu

BOARDS = {
    "arm64": {"cpu": "arm,cortex-a53"},
    "arm64-a76": {"cpu": "arm,cortex-a76"},
    "arm": {"cpu": "arm,cortex-a15"},
    "arm-highmem": {"cpu": "arm,cortex-a15", "memory": ((G, 2 * G),)},
}


@functools.cache
def booted(name: str) -> Boot:
    """A board with the kernel that ships for it, up to the hand-over."""
    board = Board.from_dtb(blob(board_tree(**BOARDS[name])))
    made = default_kernel(board)
    return boot(board, made, qemu(board, made, 3 * M))
