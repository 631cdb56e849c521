"""Sizes of C structures by configuration."""

import json
from pathlib import Path

import pytest

from ttbr.errors import InputError
from ttbr.kernel.config import Config
from ttbr.kernel.facts import OPTIONS
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.release import Release
from ttbr.kernel.struct_layout import CACHELINE, TWO_WORDS, Field, Sizes
from ttbr.kernel.structs import STRUCTS_OF_6_1, STRUCTS_OF_6_12, struct_size
from ttbr.kernel.symbols import Symbols

# What gcc 12 makes of the kernel's own headers, configured for debugging and for PREEMPT_RT.
COMPILED = json.loads(Path(__file__).with_name("struct_sizes.json").read_text("utf-8"))


def kernel(arch: str = "arm64", release: str = "6.12.117", **options: str) -> Kernel:
    config = Config({"SMP": "y", **options}, architecture=arch)
    return Kernel(arch, Release.parse(release), config, Symbols([]), "test", 0, 0)


def sizes(word: int, **options: str) -> Sizes:
    table = {
        "pair": (Field("u8"), Field("ptr")),
        "padded": (Field("u8"), Field(CACHELINE), Field("int", "some")),
        "aligned": (Field("int"), Field(TWO_WORDS)),
        "either": (Field("int", when="A|B"), Field("long", when="A&!B"), Field("u64", when="!A")),
        "empty": (),
    }
    return Sizes(table, Config({"X": "y", **options}), word, word, 64, {"some": 3})


@pytest.mark.parametrize(
    ("name", "options", "narrow", "wide"),
    [
        ("pair", {}, 8, 16),
        ("padded", {}, 128, 128),
        ("aligned", {}, 8, 16),
        ("either", {}, 8, 8),
        ("either", {"A": "y"}, 8, 16),
        ("either", {"A": "y", "B": "m"}, 4, 4),
        ("either", {"B": "y"}, 16, 16),
        ("empty", {}, 0, 0),
    ],
)
def test_the_procedure_call_standards(name, options, narrow, wide) -> None:
    assert (sizes(4, **options).of(name), sizes(8, **options).of(name)) == (narrow, wide)


@pytest.mark.parametrize("name", COMPILED)
def test_as_a_compiler_lays_them_out(name: str) -> None:
    found = COMPILED[name]
    made = kernel("arm64", found["release"], **found["config"])
    sizes = {struct: struct_size(made, struct) for struct in found["sizes"]}
    assert sizes == found["sizes"]


def test_unknown_structures_are_not_guessed() -> None:
    with pytest.raises(KeyError):
        struct_size(kernel(), "no_such_struct")


@pytest.mark.parametrize(
    ("name", "options", "arm64", "arm"),
    [
        # As the compilers lay out the headers of 6.12 with these options.
        ("device_node", {"OF_KOBJ": "y"}, 208, 108),
        ("device_node", {}, 144, 72),
        ("property", {"OF_KOBJ": "y"}, 104, 52),
        ("property", {"OF_DYNAMIC": "y"}, 40, 20),
        ("resource", {}, 64, 32),
        ("reserved_mem", {}, 48, 24),
        ("alias_prop", {}, 40, 20),
        ("mem_section", {}, 16, 8),
        ("mem_section", {"PAGE_EXTENSION": "y"}, 32, 16),
    ],
)
def test_structures_of_the_boot(name, options, arm64, arm) -> None:
    assert struct_size(kernel("arm64", **options), name) == arm64
    assert struct_size(kernel("arm", **options), name) == arm


def test_lpae_widens_addresses() -> None:
    assert struct_size(kernel("arm", ARM_LPAE="y"), "resource") == 40
    assert struct_size(kernel("arm", ARM_LPAE="y"), "reserved_mem") == 40


def test_the_last_cpu_of_a_page_moves_out_of_full_flags() -> None:
    numa = {"NUMA_BALANCING": "y", "NODES_SHIFT": "10", "LRU_GEN": "y", "64BIT": "y", "MMU": "y"}
    numa |= {"HAVE_ALIGNED_STRUCT_PAGE": "y", "MEMCG": "y", "ZONE_DMA": "y", "ZONE_DMA32": "y"}
    assert struct_size(kernel(NR_CPUS="131072", **numa), "page") == 64
    assert struct_size(kernel(NR_CPUS="131072", KASAN_HW_TAGS="y", **numa), "page") == 80


def test_every_option_of_the_tables_is_kept_in_profiles() -> None:
    asked = {
        option.removeprefix("!")
        for structs in (STRUCTS_OF_6_1, STRUCTS_OF_6_12)
        for fields in structs.values()
        for field in fields
        for option in field.when.replace("|", "&").split("&")
    }
    assert asked - {""} <= set(OPTIONS)


class Stated:
    """Types that know two structures."""

    source = "test"

    def size(self, struct: str) -> int | None:
        return {"page": 128, "resource": 96}.get(struct)


def test_what_the_kernels_own_types_state_counts(tmp_path: Path) -> None:
    symbols = Symbols([("_text", 0xFFFF_8000_8000_0000), ("_end", 0xFFFF_8000_8040_0000)])
    config = Config({"ARM64_4K_PAGES": "y", "SMP": "y"}, architecture="arm64")
    plain = Kernel("arm64", Release.parse("6.12"), config, symbols, "test", 0, 4 << 20)
    assert "sizes" not in plain.describe()
    stated = plain.with_types(Stated())  # type: ignore[arg-type]
    again = Kernel.from_description(json.loads(json.dumps(stated.describe())), "test")
    for made in (stated, again):
        assert [struct_size(made, name) for name in ("page", "resource")] == [128, 96]
        assert struct_size(made, "device_node") == struct_size(plain, "device_node")


@pytest.mark.parametrize("sizes", [{"page": "64"}, {"page": 0}, {"page": 1 << 40}, [64], "page"])
def test_sizes_in_a_profile_that_cannot_be(sizes: object) -> None:
    symbols = {"_text": "0xffff800080000000", "_end": "0xffff800080400000"}
    described = {"ttbr-kernel": 1, "name": "x", "arch": "arm64", "release": "6.12", "source": ""}
    described |= {"flags": 0, "file_size": 0, "symbols": symbols, "config": {}, "sizes": sizes}
    with pytest.raises(InputError, match="'sizes'"):
        Kernel.from_description(described, "x")


def test_what_kfence_keeps_of_an_object_is_aligned_for_its_memory_cgroup() -> None:
    """39 pages for 255 objects, as a 32-bit kernel with both said; 38 without MEMCG."""
    assert struct_size(kernel("arm", MEMCG="y"), "kfence_metadata") == 616
    assert struct_size(kernel("arm"), "kfence_metadata") == 608
