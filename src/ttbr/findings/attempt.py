"""What `check` looks at: a boot as far as it came, and the inputs that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ttbr.boot.board import Board
from ttbr.boot.boot import Boot, boot_until_failure, default_kernel
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.loader import Placement
from ttbr.errors import InputError, TtbrError
from ttbr.findings.finding import Found
from ttbr.kernel.cpu import Cpu
from ttbr.kernel.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try to boot a device tree.

    Of ``board``, ``kernel``, ``placement`` and ``boot`` (in this order) everything is None from
    where it failed on, and ``failure`` says why. A ``boot`` that began and could not go on has
    its failure too.
    """

    tree: DeviceTree
    board: Board | None = None
    kernel: Kernel | None = None
    placement: Placement | None = None
    boot: Boot | None = None
    failure: TtbrError | None = None


def attempt(
    blob: bytes,
    *,
    memory: Sequence[tuple[int, int]] = (),
    bootargs: str | None = None,
    cpus: int | None = None,
    kernel: Callable[[Board], Kernel] = default_kernel,
    place: Callable[[Board, Kernel], Placement],
    cpu: Callable[[Board, Kernel], Cpu | None] = lambda board, kernel: None,
    kaslr_offset: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Attempt:
    """Boot a device tree as far as it goes; arguments as of `Board.from_dtb` and `boot`.

    ``kernel``, ``place`` and ``cpu`` choose kernel, placement and boot CPU for the board.
    `InputError` if the bytes are no device tree.
    """
    tree = DeviceTree.parse(blob)
    board = chosen = placement = result = None
    failure: TtbrError | None = None
    try:
        board = Board.from_dtb(blob, memory, bootargs=bootargs, cpus=cpus)
        chosen = kernel(board)
        placement = place(board, chosen)
        result = boot_until_failure(
            board,
            chosen,
            placement,
            kaslr_offset=kaslr_offset,
            cpu=cpu(board, chosen),
            progress=progress,
        )
        failure = result.failure
    except InputError as error:
        failure = error
    return Attempt(board.tree if board else tree, board, chosen, placement, result, failure)


def of_boot(
    find: Callable[[Boot], Iterable[Found]],
) -> Callable[[Attempt], Iterable[Found]]:
    """A rule over the boot alone: it finds nothing where none began."""

    def found(subject: Attempt) -> Iterable[Found]:
        return () if subject.boot is None else find(subject.boot)

    found.__doc__ = find.__doc__
    return found
