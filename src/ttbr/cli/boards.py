"""Options that say which board, kernel and loader to boot; `boot` and `layout` share them."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import click

from ttbr.boot.board import Board, c_string
from ttbr.boot.boot import Boot, boot_until_failure, default_kernel
from ttbr.boot.efi import Firmware, read_firmware
from ttbr.boot.fdt import MAGIC, DeviceTree, read_blob
from ttbr.boot.loader import Placement, custom, qemu, u_boot
from ttbr.cli.output import progress
from ttbr.cli.values import INITRD, NUMBER, SIZE_BASE
from ttbr.errors import InputError
from ttbr.findings.attempt import Attempt, attempt
from ttbr.kernel.cpu import find_cpu, with_registers
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.what_if import parse_settings, with_options
from ttbr.recover.registers import read_registers

FILE = click.Path(path_type=Path, dir_okay=False)

BOARD = click.argument("dtb", metavar="BOARD.dtb", type=FILE)
BOARD_OR_IMAGE = click.argument("spec", metavar="BOARD.dtb|IMAGE")
BOARDS_AND_IMAGES = click.argument("specs", metavar="BOARD.dtb|IMAGE...", nargs=-1, required=True)
OPTIONS = (
    click.option(
        "--kernel",
        "profile",
        metavar="PROFILE",
        help="A kernel profile: a name of 'ttbr kernel list', or a file of 'ttbr kernel describe'. "
        "Default: Debian's 6.1 for the board's architecture.",
    ),
    click.option("--config", type=FILE, help="The kernel's .config, in place of --kernel."),
    click.option("--system-map", type=FILE, help="The kernel's System.map; goes with --config."),
    click.option("--image", type=FILE, help="The kernel's Image or zImage, for its header."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="OPTION=VALUE",
        help="What if the kernel had another option, such as VMSPLIT_2G=y or HIGHMEM=n? Its "
        "symbols stay those of the kernel that was built: an approximation. May be repeated.",
    ),
    click.option("--bootargs", metavar="STRING", help="The command line, in place of the tree's."),
    click.option(
        "--memory",
        multiple=True,
        type=SIZE_BASE,
        metavar="SIZE@BASE",
        help="RAM, in place of the tree's memory nodes; also BASE:SIZE, or a SIZE alone where the "
        "tree's RAM begins. May be repeated.",
    ),
    click.option(
        "--cpus", type=click.IntRange(1), help="CPUs present, if not as many as the tree names."
    ),
    click.option(
        "--registers",
        metavar="FILE|NAME=VALUE,…",
        help="ID registers of the CPU, such as ID_AA64MMFR0_EL1=0x1124, where they are not those "
        "of the core that the tree names.",
    ),
    click.option(
        "--loader",
        type=click.Choice(["qemu", "u-boot", "efi", "custom"]),
        help="Who places kernel, device tree and initrd. Default: efi with --efi-memmap, custom "
        "with --kernel-at, else qemu.",
    ),
    click.option("--kernel-at", type=NUMBER, metavar="PA", help="Physical address of _text."),
    click.option("--dtb-at", type=NUMBER, metavar="PA", help="Physical address of the tree."),
    click.option(
        "--initrd",
        type=INITRD,
        metavar="PA:SIZE",
        help="The initrd; a SIZE alone lets the loader place it. Default: as in /chosen.",
    ),
    click.option(
        "--el",
        type=click.IntRange(1, 2),
        help="The exception level at which the loader enters the kernel (arm64).",
    ),
    click.option(
        "--kaslr-offset",
        type=NUMBER,
        default=0,
        metavar="N",
        help="The kernel's KASLR slide, as observed (arm64).",
    ),
    click.option(
        "--kaslr-seed",
        type=NUMBER,
        metavar="N",
        help="The seed that the loader puts into the tree, in place of the tree's (arm64).",
    ),
    click.option(
        "--memstart",
        type=NUMBER,
        metavar="PA",
        help="memstart_addr, as observed: where KASLR has moved the linear map (arm64).",
    ),
    click.option(
        "--efi-memmap",
        type=FILE,
        help="A boot through UEFI (arm64): its memory map, as JSON, as the bytes of the "
        "descriptors, or in a kernel log with efi=debug. Needs --kernel-at and --dtb-at.",
    ),
    click.option(
        "--efi-memmap-at",
        type=NUMBER,
        metavar="PA",
        help="Where the array of the map's descriptors lies, if neither FILE nor the tree says so.",
    ),
)


def board_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """BOARD.dtb and every option of a boot; they arrive as one ``request``."""

    @wraps(function)
    def collect(**arguments: Any) -> Any:
        names = [field.name for field in fields(Request)]
        request = Request(**{name: arguments.pop(name) for name in names})
        return function(request=request, **arguments)

    return _decorated(collect, BOARD)


def board_or_image_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """BOARD.dtb or an image's ``spec``, and as ``request`` every option of a boot.

    Of an image, which `is_board` tells, only ``registers`` counts: other options are refused.
    """

    @wraps(function)
    def collect(spec: str, **arguments: Any) -> Any:
        (request,) = _requests((spec,), arguments)
        return function(spec=spec, request=request, **arguments)

    return _decorated(collect, BOARD_OR_IMAGE)


def boards_and_images_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `board_or_image_options`, of several: ``specs``, and a request for each."""

    @wraps(function)
    def collect(specs: tuple[str, ...], **arguments: Any) -> Any:
        requests = _requests(specs, arguments)
        return function(specs=specs, requests=requests, **arguments)

    return _decorated(collect, BOARDS_AND_IMAGES)


def _requests(specs: tuple[str, ...], arguments: dict[str, Any]) -> list["Request"]:
    """A request for each of the ``specs``, out of the ``arguments`` of a command."""
    names = [field.name for field in fields(Request) if field.name != "dtb"]
    given = {name: arguments.pop(name) for name in names}
    about_boards = [name for name in names if name != "registers" and given[name]]
    if about_boards and not any(map(is_board, specs)):
        option = about_boards[0].replace("_", "-").replace("profile", "kernel")
        raise InputError(f"{specs[0]} is no device tree: --{option} is about a board")
    return [Request(dtb=Path(spec), **given) for spec in specs]


def is_board(spec: str) -> bool:
    """Whether a file begins like a device tree; any other is taken for an image."""
    try:
        with Path(spec).open("rb") as file:
            return int.from_bytes(file.read(4), "big") == MAGIC
    except OSError:
        return False


def _decorated(
    function: Callable[..., Any], argument: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Callable[..., Any]:
    for option in reversed((argument, *OPTIONS)):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks to boot."""

    dtb: Path
    profile: str | None
    config: Path | None
    system_map: Path | None
    image: Path | None
    settings: tuple[str, ...]
    bootargs: str | None
    memory: tuple[tuple[int | None, int], ...]
    cpus: int | None
    registers: str | None
    loader: str | None
    kernel_at: int | None
    dtb_at: int | None
    initrd: tuple[int | None, int] | None
    el: int | None
    kaslr_offset: int
    kaslr_seed: int | None
    memstart: int | None
    efi_memmap: Path | None
    efi_memmap_at: int | None

    def run(self, stop: str | None = None, *, quiet: bool = False) -> Boot:
        """Boot up to ``stop`` or to the end; ``quiet``: somebody else shows the progress.

        Raises whatever keeps the boot from getting there.
        """
        reached = self.attempt(stop, quiet=quiet)
        if reached.failure is not None:
            raise reached.failure
        assert reached.boot is not None
        return reached.boot

    def attempt(self, stop: str | None = None, *, quiet: bool = False) -> Attempt:
        """As `run`, but as far as it goes."""
        registers = None if self.registers is None else read_registers(self.registers)

        def run(board: Board, kernel: Kernel, placement: Placement) -> Boot:
            cpu = None
            if registers is not None:
                core, _ = find_cpu(board.cpu_compatible, kernel.arch)
                cpu = with_registers(core, registers)
            with nullcontext(None) if quiet else progress("booting") as step:
                return boot_until_failure(
                    board,
                    kernel,
                    placement,
                    kaslr_offset=self.kaslr_offset,
                    kaslr_seed=self.kaslr_seed,
                    memstart=self.memstart,
                    cpu=cpu,
                    stop=stop,
                    progress=step,
                )

        def place(board: Board, kernel: Kernel) -> Placement:
            if self.el is not None and kernel.arch != "arm64":
                raise InputError(f"--el is about arm64, and {kernel} is not")
            return replace(self._placement(board, kernel), el=self.el)

        return attempt(read_blob(self.dtb), self._board, self._kernel, place, run)

    def _board(self, blob: bytes) -> Board:
        firmware = self._firmware()
        try:
            return Board.from_dtb(
                blob, self.memory, bootargs=self.bootargs, cpus=self.cpus, firmware=firmware
            )
        except InputError as error:
            raise type(error)(f"{self.dtb}: {error}") from error

    def command_line(self) -> str:
        """The command line that is asked for, or that of the tree."""
        if self.bootargs is not None:
            return self.bootargs
        chosen = DeviceTree.parse(read_blob(self.dtb)).find("/chosen")
        found = chosen.prop("bootargs") if chosen else None
        return c_string(found) if found else ""

    def _firmware(self) -> Firmware | None:
        if self.efi_memmap is None:
            if self.efi_memmap_at is not None or self.loader == "efi":
                raise InputError("a boot through UEFI needs the firmware's map: --efi-memmap")
            return None
        found = read_firmware(self.efi_memmap)
        return found if self.efi_memmap_at is None else replace(found, memmap=self.efi_memmap_at)

    def _kernel(self, board: Board) -> Kernel:
        return with_options(self._as_built(board), parse_settings(self.settings))

    def _as_built(self, board: Board) -> Kernel:
        if self.config is None and self.system_map is None:
            if self.image is not None:
                raise InputError("--image goes with --config and --system-map")
            return (
                default_kernel(board) if self.profile is None else Kernel.from_profile(self.profile)
            )
        if self.profile is not None:
            raise InputError("--kernel and --config exclude each other")
        if self.config is None or self.system_map is None:
            raise InputError("--config and --system-map go together: give both")
        return _kernel_from(self.config, self.system_map, self.image)

    def _placement(self, board: Board, kernel: Kernel) -> Placement:
        usual = "custom" if self.kernel_at is not None else "qemu"
        loader = self.loader or ("efi" if board.firmware is not None else usual)
        if board.firmware is not None:
            return self._by_firmware(board, board.firmware, loader)
        if loader == "custom":
            if self.kernel_at is None or self.dtb_at is None:
                raise InputError("--loader custom needs --kernel-at and --dtb-at")
            if self.initrd is not None and self.initrd[0] is None:
                raise InputError("--loader custom needs the initrd's place: --initrd PA:SIZE")
            return custom(board, self.kernel_at, self.dtb_at, _placed(self.initrd))
        size = self.initrd[1] if self.initrd else None
        chosen = (qemu if loader == "qemu" else u_boot)(board, kernel, size)
        # What the user states wins over what the loader would do.
        return Placement(
            kernel=chosen.kernel if self.kernel_at is None else self.kernel_at,
            dtb=chosen.dtb if self.dtb_at is None else self.dtb_at,
            initrd=_placed(self.initrd) or chosen.initrd,
            loader=loader,
            assumptions=chosen.assumptions,
        )

    def _by_firmware(self, board: Board, firmware: Firmware, loader: str) -> Placement:
        if loader not in ("efi", "custom"):
            raise InputError(f"--efi-memmap: the loader is the firmware, not {loader}")
        if self.kernel_at is None or self.dtb_at is None:
            raise InputError(
                "--efi-memmap needs --kernel-at and --dtb-at: where the EFI stub has put kernel "
                "and device tree is for the machine itself to tell (docs/boot-inputs.md says how)"
            )
        if self.initrd is not None and self.initrd[0] is None:
            raise InputError("--efi-memmap needs the initrd's place: --initrd PA:SIZE")
        initrd = _placed(self.initrd) or board.initrd or firmware.initrd
        return Placement(self.kernel_at, self.dtb_at, initrd, "efi")


@lru_cache(maxsize=4)
def _kernel_from(config: Path, system_map: Path, image: Path | None) -> Kernel:
    """The kernel of these files, read once for all variants of a boot."""
    return Kernel.from_files(config, system_map, image)


def _placed(initrd: tuple[int | None, int] | None) -> tuple[int, int] | None:
    """The initrd as (start, size), if its place is given."""
    return None if initrd is None or initrd[0] is None else (initrd[0], initrd[1])
