"""Kernels with other options than they were built with, and what is said of them."""

import pytest

from ttbr.errors import InputError
from ttbr.kernel.arm_layout import arm_layout
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.what_if import parse_settings, with_options

ARMMP = Kernel.from_profile("debian-6.1-armmp")
ARM64 = Kernel.from_profile("debian-6.1-arm64")


@pytest.mark.parametrize(
    ("option", "base"),
    [
        ("VMSPLIT_3G_OPT", 0xB000_0000),
        ("VMSPLIT_2G", 0x8000_0000),
        ("VMSPLIT_1G", 0x4000_0000),
        ("VMSPLIT_3G", 0xC000_0000),
    ],
)
def test_a_split_moves_the_layout_and_the_symbols(option: str, base: int) -> None:
    made = with_options(ARMMP, {option: "y"})
    layout = arm_layout(made)
    assert layout.page_offset == base
    assert layout.text_offset == arm_layout(ARMMP).text_offset
    assert made.symbols["_end"] - made.symbols["_text"] == ARMMP.image_size
    assert [o for o in ("VMSPLIT_3G", option) if made.config.enabled(o)][-1:] == [option]
    assert sum(made.config.enabled(f"VMSPLIT_{s}") for s in ("3G", "3G_OPT", "2G", "1G")) == 1


def test_what_is_assumed_is_said() -> None:
    made = with_options(ARMMP, {"VMSPLIT_2G": "y", "HIGHMEM": "n"})
    (said,) = made.assumptions
    assert "VMSPLIT_2G=y, HIGHMEM=n" in said and "-0x40000000" in said
    assert not made.config.enabled("HIGHMEM")
    assert ARMMP.config.enabled("HIGHMEM") and not ARMMP.assumptions
    assert with_options(ARMMP, {}) is ARMMP


def test_lpae_has_a_longer_page_directory() -> None:
    made = with_options(ARMMP, {"ARM_LPAE": "y"})
    assert arm_layout(made).swapper_pg_dir == made.symbols["_text"] - 0x5000


def test_settings_are_read_with_and_without_prefix() -> None:
    assert parse_settings(["CONFIG_HIGHMEM=n", "CMA_SIZE_MBYTES=64"]) == {
        "HIGHMEM": "n",
        "CMA_SIZE_MBYTES": "64",
    }
    for wrong in ("HIGHMEM", "=y", "HIGHMEM="):
        with pytest.raises(InputError, match="no setting"):
            parse_settings([wrong])


@pytest.mark.parametrize(
    ("kernel", "settings", "text"),
    [
        (ARMMP, {"E1000": "y"}, "nothing in the model depends on CONFIG_E1000"),
        (ARMMP, {"PAGE_OFFSET": "0x80000000"}, "cannot be changed"),
        (ARMMP, {"VMSPLIT_3G": "n"}, "one of a choice"),
        (ARMMP, {"ARM64_LPA2": "y"}, "a kernel of arm"),
        (ARMMP, {"VMSPLIT_3G_OPT": "y", "ARM_LPAE": "y"}, "there is no kernel with both"),
        (ARM64, {"HIGHMEM": "y"}, "a kernel of arm64"),
        (ARM64, {"ARM64_VA_BITS": "39"}, "cannot be changed"),
    ],
)
def test_what_the_symbols_cannot_follow_is_refused(kernel, settings, text) -> None:
    with pytest.raises(InputError, match=text):
        with_options(kernel, settings)
