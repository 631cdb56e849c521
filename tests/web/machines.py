"""Images that the tests of the page and the server show, made by the model in a moment."""

from pathlib import Path

from ttbr.boot import Board, Boot, Kernel, boot, qemu
from ttbr.memory.save import save_core
from ttbr.recover.note import image_note

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROFILES = {"arm64": "debian-6.1-arm64", "arm32": "debian-6.1-armmp"}


def booted(name: str) -> Boot:
    """QEMU's ``virt`` board for ``arm64`` or ``arm32``, when its boot is done."""
    board = Board.from_dtb((EXAMPLES / f"qemu-virt-{name}.dtb").read_bytes())
    kernel = Kernel.from_profile(PROFILES[name])
    return boot(board, kernel, qemu(board, kernel))


def save(name: str, path: Path) -> Path:
    """The same machine as an ELF core, with its registers and what is known of its kernel."""
    image = booted(name).images["mm_init"]
    save_core(path, image.memory, [image_note(image)], image.arch)
    return path
