"""What a boot is told on the command line beside the board: firmware, KASLR."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Run = Callable[..., Result]
BOARD = "qemu-virt-arm64.dtb"
MAP = "qemu-virt-arm64-efi.json"
PLACES = ("--kernel-at", "0x78400000", "--dtb-at", "0x7b400000")


def test_a_boot_through_uefi(ttbr: Run, examples: Path) -> None:
    facts = ttbr(
        *("boot", examples / BOARD, "--efi-memmap", examples / MAP, *PLACES),
        *("--bootargs", "nokaslr", "--json"),
    ).json
    assert facts["loader"] == "efi"
    nomap = [
        row["start"]
        for row in facts["memblock"]
        if row["list"] == "memory" and row["flags"] == "NOMAP"
    ]
    assert nomap == ["0x4000000", "0x7c440000", "0x7fc00000"]
    assert {"start": "0x7bd30000", "last": "0x7bdf5fff"}.items() <= next(
        place for place in facts["physical"] if place["what"] == "initrd"
    ).items()
    assert not any("memory map" in line for line in facts["unknown"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--efi-memmap", MAP], ["--kernel-at"]),
        (["--efi-memmap", MAP, *PLACES, "--loader", "qemu"], ["not qemu"]),
        (["--efi-memmap", MAP, *PLACES, "--memory", "0x40000000:1G"], ["said twice"]),
        (["--efi-memmap", MAP, *PLACES, "--initrd", "1M"], ["--initrd PA:SIZE"]),
        (["--efi-memmap", BOARD, *PLACES], [BOARD]),
        (["--efi-memmap", "absent", *PLACES], ["absent"]),
        (["--loader", "efi"], ["--efi-memmap"]),
        (["--efi-memmap-at", "0x1000"], ["--efi-memmap"]),
        (["--bootargs", "", "--memstart", "0x40000001"], ["memstart_addr cannot be"]),
        (["--kaslr-seed", "x"], ["not a number"]),
    ],
)
def test_what_does_not_fit(ttbr: Run, examples: Path, options: list[str], words: list[str]) -> None:
    named = [examples / o if o in (BOARD, MAP) else o for o in options]
    ttbr("boot", examples / BOARD, *named).refused(*words)


def test_a_seed_and_what_was_observed_of_it(ttbr: Run, examples: Path) -> None:
    """The seed's offset and memstart_addr, given as observed, make the same machine."""
    board = ("boot", examples / BOARD, "--bootargs", "quiet", "--stage", "paging_init")
    by_seed = ttbr(*board, "--kaslr-seed", "0x123456789abcdef0", "--json").json
    text = int(by_seed["physical"][0]["start"], 16)
    assert text == 0x4020_0000
    # 6.1: 2^45 + the seed's low 46 bits, in steps of 2 MiB.
    offset = (1 << 45) + (0x123456789ABCDEF0 & (1 << 46) - 1) & ~0x1FFFFF
    # A Cortex-A57 has 44 bits: 2^47 − 2^44 in steps of 1 GiB, of which the seed's low 16 bits of
    # 2^16 are taken.
    steps = (((1 << 47) - (1 << 44)) >> 30) * 0xDEF0 >> 16
    memstart = 0x4000_0000 - (steps << 30) & (1 << 64) - 1
    observed = ttbr(*board, "--kaslr-offset", hex(offset), "--memstart", hex(memstart), "--json")
    by_hand = observed.json
    assert by_hand["virtual"] == by_seed["virtual"]
    assert by_hand["memblock"] == by_seed["memblock"]
    assert by_hand["linear_map"] == by_seed["linear_map"]
    arm = ttbr("boot", examples / "qemu-virt-arm32.dtb", "--kaslr-seed", "1")
    arm.refused("not randomised")


@pytest.mark.parametrize(
    "options", [("--kaslr-offset", "0x200000"), ("--kaslr-seed", "1"), ("--el", "2")]
)
def test_what_32_bit_arm_does_not_have(ttbr: Run, examples: Path, options: tuple[str, str]) -> None:
    ttbr("boot", examples / "board32-1g-at-80000000.dtb", *options).refused("arm")
