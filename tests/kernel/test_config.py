"""Kernel configurations."""

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.kernel.config import LIMIT, Config, OptionNotKept

TEXT = """#
# Linux/arm64 6.1.176 Kernel Configuration
#
CONFIG_CC_VERSION_TEXT="gcc-12 \\"x\\""
CONFIG_ARM64=y
CONFIG_SND=m
CONFIG_ARM64_VA_BITS=48
CONFIG_PAGE_OFFSET=0xC0000000
# CONFIG_KASAN is not set
"""


def test_values() -> None:
    config = Config.from_text(TEXT)
    assert config["ARM64_VA_BITS"] == config["CONFIG_ARM64_VA_BITS"] == "48"
    assert config["CC_VERSION_TEXT"] == 'gcc-12 "x"'
    assert config.enabled("SND") and config.enabled("CONFIG_ARM64") and not config.enabled("KASAN")
    assert config.built_in("ARM64") and not config.built_in("SND")
    assert config.integer("PAGE_OFFSET") == 0xC0000000
    assert config.integer("NR_CPUS") is None and config.integer("NR_CPUS", 4) == 4
    assert (config.architecture, config.release) == ("arm64", "6.1.176")
    assert "KASAN" not in config and len(config) == 5
    with pytest.raises(InputError, match="CONFIG_SND='m'"):
        config.integer("SND")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_files(tmp_path: Path, pack) -> None:
    path = tmp_path / "config"
    path.write_bytes(pack(TEXT.encode()))
    assert dict(Config.from_file(path)) == dict(Config.from_text(TEXT))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"hello", "no line like CONFIG_MMU=y"),
        (b"", "no line like"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-20], "damaged or truncated"),
        (b"\x1f\x8bxxxxxxxxxxxx", "damaged or truncated"),
        (b"\x28\xb5\x2f\xfdxxxxxxxx", "damaged or truncated"),
        (gzip.compress(bytes(LIMIT + 1), mtime=0), "unpacks to more than the limit"),
        (zstandard.ZstdCompressor().compress(bytes(LIMIT + 1)), "unpacks to more than the limit"),
        (zstandard.ZstdCompressor().compress(TEXT.encode())[:-9], "damaged or truncated"),
        (b"#" * (LIMIT + 1), "has more than 16777216 bytes"),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "config"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as error:
        Config.from_file(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        Config.from_file(tmp_path / "none")
    with pytest.raises(InputError, match="directory"):
        Config.from_file(tmp_path)


def test_a_profile_says_what_it_does_not_know() -> None:
    config = Config({"ARM64": "y"}, known=["EFI"])
    assert config.enabled("ARM64") and not config.enabled("EFI")
    with pytest.raises(OptionNotKept, match="CONFIG_KASAN"):
        config.enabled("KASAN")


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True), st.integers(0)))
def test_what_is_written_is_read(options: dict[str, int]) -> None:
    text = "# CONFIG_OFF is not set\n" + "".join(f"CONFIG_{n}={v}\n" for n, v in options.items())
    assert {n: int(v) for n, v in Config.from_text(text).items()} == options
