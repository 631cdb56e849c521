"""Recordings, opened as a user would: the same bytes, registers and device trees."""

import importlib.util
import pathlib
import sys

import pytest

import ttbr
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import with_chosen
from ttbr.recover.registers import read_registers, registers_in

BLOBS = ("machine.dtb", "fdt.dtb", "kernel.dtb")
CHUNK = 1 << 24


def device_trees():
    """The helper module of the device tree's own tests."""
    if "device_trees" not in sys.modules:
        path = pathlib.Path(__file__).parents[1] / "boot" / "device_trees.py"
        spec = importlib.util.spec_from_file_location("device_trees", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["device_trees"] = module
        spec.loader.exec_module(module)
    return sys.modules["device_trees"]


def blobs(truth):
    for case in truth.cases():
        for name in BLOBS:
            try:
                yield f"{case}/{name}", truth.data(case, name)
            except FileNotFoundError:
                continue


@pytest.mark.parametrize(
    "case", ["arm64-4k-48", "arm64-4k-39", "arm64-16k-47", "arm32-vexpress-a9", "arm32-imx6ul"]
)
def test_ram(truth, say, case):
    folder = truth.HERE / case
    compared = 0
    for base, expected in truth.ram(case).items():
        image = ttbr.open(f"{folder / 'ram.raw.zst'}@{base:#x}", str(folder / "registers.json"))
        assert [(bank.base, bank.size) for bank in image.memory.banks] == [(base, len(expected))]
        for at in range(0, len(expected), CHUNK):
            part = expected[at : at + CHUNK]
            assert image.memory.read(base + at, len(part)) == part.tobytes()
            compared += len(part)
    assert image.registers
    say(f"{case}: {compared >> 20} MiB of RAM read through ttbr.open, all bytes equal")


def test_registers(truth, say):
    files = entries = 0
    for case in truth.cases():
        folder = truth.HERE / case
        if (folder / "registers.json").exists():
            registers = read_registers(str(folder / "registers.json"))
            assert len(registers) > 10
            files += 1
        for entry in truth.stages(case) if (folder / "stages").exists() else []:
            registers = registers_in(entry, case)
            assert registers == {n: int(v, 16) for n, v in entry["registers"].items()}
            entries += 1
    assert files and entries
    say(f"registers of {files} recordings and {entries} stages read")


def test_device_trees_against_dtc(truth, dtc, say):
    trees = device_trees()
    count = nodes = properties = 0
    for name, data in blobs(truth):
        tree = DeviceTree.parse(data)
        reserve, expected = trees.read_source(trees.decompile(dtc, data))
        assert tree.reserve_map == reserve, name
        assert trees.content(tree.root) == expected, name
        count += 1
        for node in tree.root.walk():
            nodes += 1
            properties += len(node.properties)
    assert count
    say(f"{count} device trees: {nodes} nodes and {properties} properties as dtc has them")


def test_device_trees_through_dtc_and_through_an_edit(truth, dtc):
    trees = device_trees()
    for name, data in blobs(truth):
        tree = DeviceTree.parse(data)
        again = trees.compile_source(dtc, trees.decompile(dtc, data))
        assert trees.content(DeviceTree.parse(again).root) == trees.content(tree.root), name
        chosen = tree.find("/chosen").properties
        if "bootargs" in chosen:
            assert with_chosen(tree, bootargs=chosen["bootargs"].string) == data, name
        new = DeviceTree.parse(with_chosen(tree, bootargs="x", initrd=(0x48000000, 0x1234)))
        assert new.totalsize >= tree.totalsize
        expected = trees.read_source(trees.decompile(dtc, new.blob))
        assert (new.reserve_map, trees.content(new.root)) == expected, name


def test_memory_of_the_machines(truth, say):
    """The RAM that a recording has is what its device tree says."""
    for case in truth.cases():
        try:
            tree = DeviceTree.parse(truth.data(case, "machine.dtb"))
        except FileNotFoundError:
            tree = DeviceTree.parse(truth.data(case, "kernel.dtb"))
        entries = sorted(pair for node in tree.memory_nodes() for pair in node.reg)
        size = sum(bank["size"] for bank in truth.expected(case)["ram"])
        assert sum(size for _, size in entries) == size, case
    say(f"memory nodes of {len(truth.cases())} machines as recorded")
