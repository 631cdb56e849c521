"""Kernels out of files and profiles."""

import json
import struct
from pathlib import Path

import pytest

from ttbr.errors import InputError
from ttbr.kernel.facts import OPTIONS
from ttbr.kernel.image_header import Arm64Header, ZImageHeader, parse_header
from ttbr.kernel.kernel import DEFAULT_PROFILES, Kernel, profile_names

CONFIG = "# Linux/arm64 6.12.117 Kernel Configuration\nCONFIG_ARM64=y\nCONFIG_ARM64_16K_PAGES=y\n"
MAP = "ffff800080000000 T _text\nffff800080010000 t helper\nffff800080400000 B _end\n"
ARM_CONFIG = "# Linux/arm 6.1.5 Kernel Configuration\nCONFIG_ARM=y\nCONFIG_PAGE_OFFSET=0xC0000000\n"
ARM_MAP = "c0208000 T _text\nc0600000 B _end\n"


def image(size: int = 0x400000, flags: int = 0xA, offset: int = 0) -> bytes:
    return bytes(8) + struct.pack("<QQQ", offset, size, flags) + bytes(24) + b"ARM\x64" + bytes(4)


def zimage(size: int) -> bytes:
    return bytes(0x24) + struct.pack("<III", 0x016F2818, 0, size) + bytes(16)


@pytest.fixture
def files(tmp_path: Path):
    def write(config: str, symbols: str, kernel: bytes | None = None) -> list[Path]:
        parts = [("config", config.encode()), ("System.map", symbols.encode())]
        parts += [] if kernel is None else [("Image", kernel)]
        for name, data in parts:
            (tmp_path / name).write_bytes(data)
        return [tmp_path / name for name, _ in parts]

    return write


def test_arm64(files) -> None:
    kernel = Kernel.from_files(*files(CONFIG, MAP, image(offset=0x80000)))
    assert (kernel.arch, str(kernel.release)) == ("arm64", "6.12.117")
    assert (kernel.image_size, kernel.text_offset, kernel.flags) == (0x400000, 0x80000, 0xA)
    assert (kernel.page_size, kernel.phys_bits) == (16384, 64)


def test_arm(files) -> None:
    kernel = Kernel.from_files(*files(ARM_CONFIG, ARM_MAP, zimage(1234)))
    assert (kernel.arch, kernel.text_offset, kernel.file_size) == ("arm", 0x208000, 1234)
    assert (kernel.page_size, kernel.phys_bits) == (4096, 32)
    lpae = Kernel.from_files(*files(ARM_CONFIG + "CONFIG_ARM_LPAE=y\n", ARM_MAP))
    assert lpae.phys_bits == 64


@pytest.mark.parametrize(
    ("config", "symbols", "kernel", "said"),
    [
        ("CONFIG_ARM64=y\n", MAP, None, "no heading"),
        (CONFIG.replace("arm64", "x86").replace("ARM64", "X86"), MAP, None, "neither an arm nor"),
        (CONFIG, "ffff800080000000 T _text\n", None, "has no _end"),
        (CONFIG, "ffff800080000000 T _end\nffff800080010000 T _text\n", None, "not above _text"),
        (CONFIG, MAP, image(0x500000), "not of one kernel"),
        (CONFIG, MAP, zimage(5), "zImage with the configuration of an arm64"),
        (ARM_CONFIG, ARM_MAP, image(), "arm64 Image with the configuration of an arm kernel"),
        (CONFIG, MAP, b"MZ", "neither an arm64 Image nor an arm zImage"),
    ],
)
def test_files_that_do_not_fit(files, config: str, symbols: str, kernel, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        Kernel.from_files(*files(config, symbols, kernel))
    assert "\n" not in str(error.value)


def test_a_profile_is_the_kernel_again(files, tmp_path: Path) -> None:
    kernel = Kernel.from_files(*files(CONFIG, MAP, image()))
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(kernel.describe()))
    again = Kernel.from_profile(path)
    assert again.describe() == kernel.describe()
    assert again.symbols["_end"] == kernel.symbols["_end"] and "helper" not in again.symbols
    assert (again.arch, again.release, again.image_size) == ("arm64", kernel.release, 0x400000)
    assert not again.config.enabled("EFI")


def test_shipped_profiles() -> None:
    assert set(DEFAULT_PROFILES.values()) <= set(profile_names())
    for name in profile_names():
        kernel = Kernel.from_profile(name)
        assert kernel.name == name and kernel.source
        known = [option for option in OPTIONS if kernel.config.get(option) is not None]
        assert set(known) == set(kernel.config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "not a kernel profile"),
        ("{}", "'ttbr-kernel' is missing or wrong"),
        ('{"ttbr-kernel": 2}', "of version 1"),
        ("{", "not JSON"),
    ],
)
def test_bad_profiles(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        Kernel.from_profile(path)


@pytest.mark.parametrize(
    ("key", "value"), [("symbols", {"_text": "x"}), ("release", "x"), ("config", 1), ("arch", None)]
)
def test_profiles_with_a_wrong_part(tmp_path: Path, key: str, value: object) -> None:
    described = Kernel.from_profile(profile_names()[0]).describe()
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(described | {key: value}))
    with pytest.raises(InputError):
        Kernel.from_profile(path)


def test_unknown_profiles_are_told_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"debian-6\.1-arm64, debian-6\.1-armmp"):
        Kernel.from_profile("debian-7")


def test_headers() -> None:
    header = parse_header(image(flags=0b1100))
    assert isinstance(header, Arm64Header)
    assert header.page_size == 16384 and header.anywhere
    assert parse_header(zimage(7)) == ZImageHeader(7)
    assert Arm64Header(0, 0, 0).page_size is None


def test_callers_are_what_is_left_after_inlining(files) -> None:
    symbols = MAP.replace("helper", "inner") + "ffff800080400001 t middle\n"
    kernel = Kernel.from_files(*files(CONFIG, symbols))
    assert kernel.caller("gone", "inner", "middle", "outer") == "inner"
    assert kernel.caller("gone", "outer") == "outer"
    assert kernel.caller("inner", "middle", "outer", tail=1) == "middle"
    framed = Kernel.from_files(*files(CONFIG + "CONFIG_FRAME_POINTER=y\n", symbols))
    assert framed.caller("inner", "middle", "outer", tail=1) == "inner"
