"""Running kernels for the tests: one small board for each shape of tables and memory map."""

import functools

from machines import G, M, board_tree

from device_trees import blob, cells
from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot, default_kernel
from ttbr.boot.loader import qemu
from ttbr.kernel.what_if import with_options

BOARDS = {
    "arm64": {"cpu": "arm,cortex-a53"},
    "arm64-a76": {"cpu": "arm,cortex-a76"},
    "arm64-smp": {"cpu": "arm,cortex-a72"},
    "arm-smp": {"cpu": "arm,cortex-a7"},
    "arm": {"cpu": "arm,cortex-a15"},
    "arm-highmem": {"cpu": "arm,cortex-a15", "memory": ((G, 2 * G),)},
    "arm-lpae": {"cpu": "arm,cortex-a15"},
}
OPTIONS = {"arm-lpae": {"ARM_LPAE": "y", "TRANSPARENT_HUGEPAGE": "y", "HUGETLB_PAGE": "y"}}
"""What the kernel of a board has beside what the one that ships has."""


@functools.cache
def booted(name: str) -> Boot:
    """A board with the kernel that ships for it, up to the hand-over."""
    tree = board_tree(**BOARDS[name])
    board = Board.from_dtb(blob(_numbered(tree) if name.endswith("-smp") else tree))
    made = with_options(default_kernel(board), OPTIONS.get(name, {}))
    return boot(board, made, qemu(board, made, 3 * M))


def _numbered(tree):
    """The tree with numbers of its CPUs, without which the kernel finds only one."""
    name, properties, children = tree
    if name.startswith("cpu@"):
        number = cells(int(name.partition("@")[2]))
        properties = properties | {"reg": number, "enable-method": b"psci\0"}
    return name, properties, [_numbered(child) for child in children]
