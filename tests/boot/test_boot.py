"""Running a boot: what it refuses, and what it says."""

import pytest
from machines import G, M, board_tree, kernel

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import boot, boot_until_failure, default_kernel, stage_names
from ttbr.boot.loader import KernelTooBig, custom, qemu
from ttbr.errors import InputError
from ttbr.kernel.kernel import Kernel

STAGES = ["handoff", "head", "early_map", "fixmap", "memblock", "paging_init"]
LATER = ["bootmem_init", "mm_init"]
DEBUG = {"bootargs": b"memblock=debug\0"}


def board(**kwargs) -> Board:
    return Board.from_dtb(blob(board_tree(chosen=dict(DEBUG), **kwargs)))


@pytest.fixture(scope="module", params=["arm,cortex-a53", "arm,cortex-a15"])
def booted(request):
    here = board(cpu=request.param)
    made = default_kernel(here)
    return boot(here, made, qemu(here, made, 3 * M))


def test_every_stage_leaves_an_image(booted) -> None:
    known = stage_names(booted.machine.kernel.arch)
    assert booted.stages == list(booted.images) == known
    assert known == [*STAGES, *LATER][: len(known)]
    assert len(known) >= len(STAGES)
    for stage, image in booted.images.items():
        assert image.facts.stage == stage
        assert image.facts.release == "6.1.176" and image.arch == booted.machine.kernel.arch


def test_images_do_not_change_afterwards(booted) -> None:
    first, last = booted.images["handoff"], booted.images["paging_init"]
    assert len(first.memory.written()) < len(last.memory.written())
    tree = booted.machine.tree
    assert first.memory.read(booted.machine.dtb, tree.totalsize) == tree.blob


def test_the_initrd_is_told_to_linux(booted) -> None:
    machine = booted.machine
    assert machine.placement.initrd is not None
    assert machine.initrd == machine.placement.initrd


def test_events_belong_to_stages(booted) -> None:
    stages = [event.stage for event in booted.events]
    assert stages == sorted(stages, key=[*STAGES, *LATER].index)
    logged = [event.logged for event in booted.events if event.kind == "memblock_reserve"]
    assert logged == sorted(logged), "nothing is printed before the parameter is parsed"
    assert any(logged) and not all(logged)


def test_stop_and_progress() -> None:
    here = board()
    made = default_kernel(here)
    seen: list[str] = []
    done = boot(here, made, qemu(here, made), stop="fixmap", progress=seen.append)
    assert done.stages == STAGES[:4] and seen == STAGES[1:4]
    assert boot(here, made, qemu(here, made), stop="handoff").stages == ["handoff"]


def test_unknown_stages() -> None:
    here = board()
    made = default_kernel(here)
    with pytest.raises(InputError, match="no stage 'swap': the stages are handoff, head"):
        boot(here, made, qemu(here, made), stop="swap")


@pytest.mark.parametrize(
    ("cpu", "profile", "said"),
    [
        ("arm,cortex-a15", "debian-6.1-arm64", "its CPU is a Cortex-A15"),
        ("arm,cortex-a76", "debian-6.1-armmp", "its CPU is a Cortex-A76"),
    ],
)
def test_a_kernel_for_another_cpu(cpu: str, profile: str, said: str) -> None:
    here = board(cpu=cpu)
    made = Kernel.from_profile(profile)
    with pytest.raises(InputError, match=said):
        boot(here, made, qemu(here, made))


def test_a_64_bit_cpu_can_run_a_32_bit_kernel() -> None:
    here = board(cpu="arm,cortex-a53")
    made = Kernel.from_profile("debian-6.1-armmp")
    assert boot(here, made, qemu(here, made), stop="head").machine.cpu.name == "Cortex-A53"


def test_a_kernel_that_does_not_fit() -> None:
    here = board(memory=((G, 16 * M),))
    made = default_kernel(here)
    with pytest.raises(KernelTooBig, match=r"the kernel needs .* the best has 16 MiB"):
        boot(here, made, qemu(here, made))
    ended = boot_until_failure(here, made, qemu(here, made))
    assert ended.stages == ["handoff"] and isinstance(ended.failure, KernelTooBig)
    with pytest.raises(InputError, match=r"the device tree at .* does not fit into RAM"):
        boot_until_failure(here, made, custom(here, G + 2 * M, 2 * G))


def test_a_tree_on_the_kernel() -> None:
    here = board()
    made = default_kernel(here)
    with pytest.raises(InputError, match=r"the device tree at .* is on the kernel"):
        boot(here, made, custom(here, G + 2 * M, G + 4 * M))


def test_a_cpu_that_nobody_knows() -> None:
    here = board(cpu="acme,cpu")
    with pytest.raises(InputError, match="architecture is not known"):
        default_kernel(here)
    made = Kernel.from_profile("debian-6.1-arm64")
    done = boot(here, made, qemu(here, made), stop="head")
    assert any("acme,cpu" in said for said in done.machine.unknowns)


def test_a_release_that_nobody_read_is_said() -> None:
    here = board()
    made = kernel(release="6.6.1")
    done = boot(here, made, qemu(here, made), stop="handoff")
    assert any("6.6.1" in said for said in done.machine.unknowns)
