"""Where boot loaders put things."""

import pytest
from machines import G, K, M, board_tree, kernel

from device_trees import blob, cells
from ttbr.boot.board import Board
from ttbr.boot.loader import Placement, check, custom, qemu, u_boot, zimage_target
from ttbr.errors import InputError


def board(*args, **kwargs) -> Board:
    return Board.from_dtb(blob(board_tree(*args, **kwargs)))


@pytest.mark.parametrize(
    ("memory", "size", "initrd", "placed"),
    [
        # base, RAM and initrd in MiB → kernel, dtb, initrd in MiB
        ((1024, 1024), 4, 3, (1026, 1156, 1152)),
        ((1024, 1024), 4, None, (1026, 1152, None)),
        ((0, 128), 4, 3, (2, 68, 64)),
        ((1024, 64), 40, 3, (1026, 1070, 1066)),
    ],
)
def test_qemu_arm64(memory, size: int, initrd: int | None, placed) -> None:
    made = kernel(size=size * M)
    there = qemu(
        board(memory=((memory[0] * M, memory[1] * M),)),
        made,
        None if initrd is None else initrd * M,
    )
    at, dtb, start = placed
    assert (there.kernel, there.dtb) == (at * M, dtb * M)
    assert there.initrd == (None if start is None else (start * M, (initrd or 0) * M))


def test_qemu_arm64_kernels_with_a_text_offset() -> None:
    made = kernel()
    old = type(made)(**{**vars(made), "text_offset": 512 * K})
    assert qemu(board(), old).kernel == G + 512 * K


def test_qemu_takes_the_initrd_that_the_tree_names() -> None:
    chosen = {"linux,initrd-start": cells(0x50000000), "linux,initrd-end": cells(0x50000001)}
    there = qemu(board(chosen=chosen), kernel())
    assert there.initrd == (0x50000000, 1) and there.dtb == 0x50200000


def test_a_tree_that_would_be_on_the_kernel_goes_to_the_end_of_ram() -> None:
    made = kernel("arm", size=20 * M)
    small = board(memory=((G, 32 * M),), cpu="arm,cortex-a7")
    there = qemu(small, made)
    assert there.dtb == G + 32 * M - 4 * K
    assert "QEMU would put the device tree at 0x41000000, where" in there.assumptions[0]
    assert check(small, made, there, small.tree.totalsize) is None
    # An initrd that the tree names stays, and nothing is put on it.
    last = {"linux,initrd-start": cells(G + 31 * M), "linux,initrd-end": cells(G + 32 * M)}
    full = board(memory=((G, 32 * M),), chosen=last, cpu="arm,cortex-a7")
    assert qemu(full, made).assumptions == ()


def test_qemu_arm() -> None:
    there = qemu(board(cpu="arm,cortex-a7"), kernel("arm"), 5 * K)
    assert there.kernel == G + 0x8000
    assert there.initrd == (G + 128 * M, 5 * K) and there.dtb == G + 128 * M + 8 * K


@pytest.mark.parametrize(
    ("memory", "chosen", "loaded", "start"),
    [
        (((G, G),), {}, G + 64 * K, G),
        (((G + 32 * M, G),), {}, G + 32 * M, G + 32 * M),
        (((G + 33 * M, G),), {}, G + 33 * M, G + 34 * M),
        (((3 * G, M), (2 * G, M)), {}, G, 2 * G),
        (((1 << 33, G),), {}, G, G),
        (((G, G),), {"linux,usable-memory-range": cells(0, G + 5 * M, 0, M)}, G, G + 6 * M),
        (((G, G),), {"linux,usable-memory-range": cells(0, G, 0, 0)}, 9, 0),
        (((G, G),), {"linux,usable-memory-range": cells(0, 16 * M, 0, M)}, G, G),
    ],
)
def test_where_a_zimage_unpacks_itself(memory, chosen, loaded: int, start: int) -> None:
    tree = board(memory=memory, chosen=chosen).tree
    assert zimage_target(tree, kernel("arm"), loaded) == start + 0x8000


def test_a_zimage_with_an_address_of_its_own() -> None:
    with pytest.raises(InputError, match="--kernel-at"):
        qemu(board(), kernel("arm", AUTO_ZRELADDR="n"))


@pytest.mark.parametrize("arch", ["arm64", "arm"])
def test_u_boot_says_what_it_assumes(arch: str) -> None:
    here = board(memory=((2 * G, G),))
    there = u_boot(here, kernel(arch), 3 * M)
    assert there.kernel == 2 * G + (0x8000 if arch == "arm" else 0)
    assert there.initrd is not None and sum(there.initrd) == 2 * G + 256 * M
    assert there.dtb < there.initrd[0] and there.dtb % 4096 == 0
    assert any("bootm_size" in said for said in there.assumptions)
    check(here, kernel(arch), there, here.tree.totalsize)


def test_u_boot_on_a_small_board_stays_below_itself() -> None:
    there = u_boot(board(memory=((2 * G, 64 * M),)), kernel())
    assert there.dtb < 2 * G + 48 * M


GOOD = Placement(G + 2 * M, G + 64 * M, (G + 32 * M, 3 * M), "custom")


@pytest.mark.parametrize("arch", ["arm64", "arm"])
def test_a_placement_that_works(arch: str) -> None:
    made = kernel(arch)
    check(board(), made, Placement(GOOD.kernel + made.text_offset, *astuple(GOOD)[1:]), 5000)


def astuple(placement: Placement):
    return placement.kernel, placement.dtb, placement.initrd, placement.loader


@pytest.mark.parametrize(
    ("at", "dtb", "initrd", "said"),
    [
        (G + 5, G + 64 * M, None, "64 KiB aligned"),
        (G + 2 * M, G + 64 * M + 4, None, "not 8-byte aligned"),
        (2 * G - 2 * M, G + 64 * M, None, "the kernel at .* does not fit into RAM"),
        (0, G + 64 * M, None, "the kernel at .* does not fit into RAM"),
        (G + 2 * M, 2 * G, None, "the device tree at .* does not fit"),
        (G + 2 * M, G + 3 * M, None, "the device tree at .* is on the kernel"),
        (G + 2 * M, G + 2 * M - 8, None, "the kernel at .* is on the device tree"),
        (G + 2 * M, G + 64 * M, (G, 3 * M), "the kernel at .* is on the initrd"),
        (G + 2 * M, G + 64 * M, (G + 64 * M + 8, M), "the initrd at .* is on the device tree"),
    ],
)
def test_placements_that_cannot_work(at: int, dtb: int, initrd, said: str) -> None:
    there = custom(board(), at, dtb, initrd)
    with pytest.raises(InputError, match=said) as error:
        check(board(), kernel(), there, 5000)
    assert "\n" not in str(error.value)


def test_arm_kernels_begin_behind_their_page_directory() -> None:
    for at in (G + 0x8000 + M, G + 0x8001, G):
        with pytest.raises(InputError, match="_text must be 2 MiB aligned plus 0x8000"):
            check(board(), kernel("arm"), custom(board(), at, G + 64 * M), 5000)
    low = board(memory=((G + 0x6000, G),))
    with pytest.raises(InputError, match="the kernel at 0x40004000"):
        check(low, kernel("arm"), custom(low, G + 0x8000, G + 64 * M), 5000)


def test_a_tree_that_arm64_cannot_map() -> None:
    with pytest.raises(InputError, match="2 MiB of arm64"):
        check(board(), kernel(), GOOD, 2 * M + 1)
