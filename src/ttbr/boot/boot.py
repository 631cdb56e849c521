"""The boot: its stages in order, an image and events of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ttbr.boot import arm, arm64
from ttbr.boot.board import Board
from ttbr.boot.efi.stub import stub_tree
from ttbr.boot.events import EventLog
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import with_chosen
from ttbr.boot.loader import Placement, check
from ttbr.boot.machine import Machine
from ttbr.boot.notebook import boot_html
from ttbr.errors import InputError, TtbrError
from ttbr.kernel.cpu import Cpu, find_cpu
from ttbr.kernel.kernel import DEFAULT_PROFILES, Kernel
from ttbr.mmu.image import Image

HANDOFF = "handoff"
STAGES = {"arm64": arm64.STAGES, "arm": arm.STAGES}


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot that was run: an image by stage, all events, the machine as it was at the end.

    ``failure`` is why it ended before its last stage; `boot` raises it, `boot_until_failure` does
    not.
    """

    images: dict[str, Image]
    events: EventLog
    machine: Machine
    stages: list[str] = field(default_factory=list)
    failure: TtbrError | None = None

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return boot_html(self)


def stage_names(arch: str) -> list[str]:
    """The stages of an architecture's boot, in order."""
    return [HANDOFF, *(name for name, _ in STAGES[arch])]


def default_kernel(board: Board) -> Kernel:
    """The profile that ships for the board's architecture; `InputError` if that is not known."""
    if board.arch is None:
        named = ", ".join(board.cpu_compatible) or "nothing"
        raise InputError(
            f"the board's architecture is not known (its CPU is {named}): name a kernel (--kernel)"
        )
    return Kernel.from_profile(DEFAULT_PROFILES[board.arch])


def boot(
    board: Board,
    kernel: Kernel,
    placement: Placement,
    *,
    kaslr_offset: int = 0,
    kaslr_seed: int | None = None,
    memstart: int | None = None,
    cpu: Cpu | None = None,
    stop: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Boot:
    """Boot a kernel on a board, up to ``stop`` or to the last stage: RAM in the free lists.

    Args:
        board: device tree, RAM and CPUs.
        kernel: release, configuration and symbols.
        placement: where the loader put things; its initrd goes into the tree's /chosen.
        kaslr_offset: the slide in bytes of the kernel's virtual addresses, as observed.
        kaslr_seed: the 64 bits that the loader puts into the tree as ``kaslr-seed``; None leaves
            there what the tree has.
        memstart: arm64's memstart_addr, as observed (it wraps below zero): where KASLR has moved
            the linear map; None to derive it.
        cpu: the boot CPU, if its registers are known better than by the tree.
        stop: the last stage to run; None for all.
        progress: called with the name of each stage before it runs.

    Raises:
        InputError: kernel and board do not fit, or the placement cannot work.
        TtbrError: the boot cannot go on; the text says why.
    """
    result = boot_until_failure(
        board,
        kernel,
        placement,
        kaslr_offset=kaslr_offset,
        kaslr_seed=kaslr_seed,
        memstart=memstart,
        cpu=cpu,
        stop=stop,
        progress=progress,
    )
    if result.failure is not None:
        raise result.failure
    return result


def boot_until_failure(
    board: Board,
    kernel: Kernel,
    placement: Placement,
    *,
    kaslr_offset: int = 0,
    kaslr_seed: int | None = None,
    memstart: int | None = None,
    cpu: Cpu | None = None,
    stop: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Boot:
    """As `boot`, but a boot that cannot go on is returned as far as it came.

    One whose kernel no bank of RAM can hold ends at the hand-over. `InputError` if a boot cannot
    even begin.
    """
    names = stage_names(kernel.arch)
    if stop is not None and stop not in names:
        raise InputError(f"no stage '{stop}': the stages are {', '.join(names)}")
    core = cpu or find_cpu(board.cpu_compatible, kernel.arch)[0]
    if not core.runs(kernel.arch):
        raise InputError(f"{kernel} cannot run on this board: its CPU is a {core.name}")
    randomised = kaslr_offset or kaslr_seed is not None or memstart is not None
    if kernel.arch != "arm64" and randomised:
        raise InputError(f"a kernel of {kernel.arch} is not randomised: no offset, seed, memstart")
    board, tree = _handed_over(board, kernel, placement, kaslr_seed)
    failure: TtbrError | None = check(board, kernel, placement, tree.totalsize)
    machine = Machine.hand_over(
        board,
        kernel,
        placement,
        tree=tree,
        cpu=cpu,
        kaslr_offset=kaslr_offset,
        memstart=memstart,
    )
    images = {HANDOFF: machine.image()}
    for name, run in STAGES[kernel.arch]:
        if failure is not None or stop in images:
            break
        if progress is not None:
            progress(name)
        machine.enter(name)
        try:
            run(machine)
        except TtbrError as error:
            failure = error
        else:
            images[name] = machine.image()
    return Boot(images, machine.log, machine, list(images), failure)


def _handed_over(
    board: Board, kernel: Kernel, placement: Placement, kaslr_seed: int | None
) -> tuple[Board, DeviceTree]:
    """The board and the tree as the kernel finds them: what the loader has put into the tree.

    Linux's EFI stub has a table of the firmware's for the initrd, and leaves the tree alone.
    """
    firmware = board.firmware
    if firmware is None:
        edited = with_chosen(board.tree, initrd=placement.initrd, kaslr_seed=kaslr_seed)
        return board, DeviceTree.parse(edited)
    if not kernel.config.enabled("EFI") or kernel.arch != "arm64":
        raise InputError(
            f"{kernel.name} cannot be booted through UEFI: "
            + ("it has no CONFIG_EFI" if kernel.arch == "arm64" else "only arm64 is covered")
        )
    tree = stub_tree(DeviceTree.parse(with_chosen(board.tree, kaslr_seed=kaslr_seed)), firmware)
    if placement.initrd is not None:
        tables = {**firmware.tables, "INITRD": (placement.initrd,)}
        board = replace(board, firmware=replace(firmware, tables=tables))
    return board, tree
