"""Nodes, zones and the cost of the memory map, as a user sees them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from btf_file import BtfFile

Run = Callable[..., Any]


def test_nodes_in_text_and_json(ttbr: Run, examples: Path) -> None:
    board = ("boot", examples / "qemu-virt-arm64.dtb", "--stage", "bootmem_init")
    text = ttbr(*board).out
    assert "NODES AND ZONES" in text and "memory map: 16 MiB of struct page" in text
    facts = ttbr(*board, "--json").json
    (node,) = facts["nodes"]
    dma = node["zones"][0]
    assert (dma["name"], dma["start"], dma["present_bytes"]) == ("DMA", "0x40000000", 1 << 30)
    assert facts["memory_map"] == {
        "struct_page_bytes": 64,
        "bytes": 16 << 20,
        "sections": 8,
        "section_bytes": 128 << 20,
    }
    places = [place["what"] for place in facts["physical"]]
    assert {"struct pages", "unflattened device tree", "data of a node"} <= set(places)


def test_nothing_about_nodes_before_there_are_any(ttbr: Run, examples: Path) -> None:
    board = ("boot", examples / "qemu-virt-arm64.dtb", "--stage", "paging_init")
    assert "NODES AND ZONES" not in ttbr(*board).out
    assert "nodes" not in ttbr(*board, "--json").json


def test_flat_memory_has_a_map_too(ttbr: Run, examples: Path) -> None:
    facts = ttbr("boot", examples / "qemu-virt-arm32.dtb", "--stage", "bootmem_init", "--json").json
    assert facts["memory_map"]["bytes"] > 8 << 20 and not facts["memory_map"]["sections"]


def test_sizes_come_from_a_kernels_own_types(ttbr: Run, tmp_path: Path) -> None:
    """A vendor's structures: what BTF says is in the profile."""
    types = BtfFile()
    types.struct("page", 128, [("flags", types.integer("long", 8), 0)])
    files = {
        "config": "# Linux/arm64 6.12.1 Kernel Configuration\nCONFIG_ARM64=y\n",
        "map": "ffff800080000000 T _text\nffff800080400000 B _end\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "btf").write_bytes(types.bytes())
    command = ("kernel", "describe", "--config", tmp_path / "config", "--system-map")
    described = ttbr(*command, tmp_path / "map", "--debug-info", tmp_path / "btf").json
    assert described["sizes"] == {"page": 128}
    assert "sizes" not in ttbr(*command, tmp_path / "map").json
    ttbr(*command, tmp_path / "map", "--debug-info", tmp_path / "map").refused("map")
