"""A prediction without its registers is a bare dump like any other: its kernel is found."""

from pathlib import Path

import pytest

from ttbr.boot import Board, Kernel, boot, qemu
from ttbr.mmu.image import Image
from ttbr.recover.identify import identify, with_registers

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BOARDS = {
    "qemu-virt-arm64": "debian-6.1-arm64",
    "board-2g-at-60000000": "debian-6.1-arm64",
    "qemu-virt-arm32": "debian-6.1-armmp",
    "board32-1g-at-80000000": "debian-6.1-armmp",
}


@pytest.mark.parametrize("name", BOARDS)
def test_final_tables(name: str) -> None:
    board = Board.from_dtb((EXAMPLES / f"{name}.dtb").read_bytes())
    kernel = Kernel.from_profile(BOARDS[name])
    predicted = boot(board, kernel, qemu(board, kernel)).images["paging_init"]
    found = identify(predicted.memory)
    assert found is not None
    assert found.arch.value == kernel.arch
    assert found.kernel_root.value == predicted.address_space("kernel").root
    assert found.page_size.value == 4096
    assert found.page_offset is not None
    assert found.page_offset.value == predicted.facts.page_offset
    assert found.text_va is not None
    assert found.text_va.value == kernel.symbols["_text"]
    assert found.kaslr_offset is not None
    assert found.kaslr_offset.value == 0
    bare, _ = with_registers(Image(predicted.memory))
    ours, theirs = (image.address_space("kernel").mappings() for image in (bare, predicted))
    assert (ours.va == theirs.va).all()
    assert (ours.pa == theirs.pa).all()
    assert ours.attribute_values == theirs.attribute_values
