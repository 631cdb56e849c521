"""What `check` looks at: a boot as far as it came, and the inputs that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ttbr.boot.board import Board, NoMemory
from ttbr.boot.boot import Boot
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.loader import Placement
from ttbr.errors import InputError, TtbrError
from ttbr.findings.finding import Found
from ttbr.kernel.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try to boot a device tree.

    ``board``, ``kernel`` and ``placement`` are None if the tree has no memory, ``boot`` also if
    it could not begin; ``failure`` says why, or why a boot that began could not go on.
    """

    tree: DeviceTree
    board: Board | None = None
    kernel: Kernel | None = None
    placement: Placement | None = None
    boot: Boot | None = None
    failure: TtbrError | None = None


def attempt(
    blob: bytes,
    board: Callable[[bytes], Board],
    kernel: Callable[[Board], Kernel],
    place: Callable[[Board, Kernel], Placement],
    run: Callable[[Board, Kernel, Placement], Boot],
) -> Attempt:
    """Boot a device tree as far as it goes.

    The functions make of it what `boot` needs, and boot it (`boot_until_failure`). Errors of the
    first three are raised, but for a tree without memory.
    """
    try:
        made = board(blob)
    except NoMemory as error:
        return Attempt(DeviceTree.parse(blob), failure=error)
    chosen = kernel(made)
    placement = place(made, chosen)
    try:
        result = run(made, chosen, placement)
    except InputError as error:
        return Attempt(made.tree, made, chosen, placement, failure=error)
    return Attempt(made.tree, made, chosen, placement, result, result.failure)


def of_boot(
    find: Callable[[Boot], Iterable[Found]],
) -> Callable[[Attempt], Iterable[Found]]:
    """A rule over the boot alone: it finds nothing where none began."""

    def found(subject: Attempt) -> Iterable[Found]:
        return () if subject.boot is None else find(subject.boot)

    found.__doc__ = find.__doc__
    return found
