"""What a boot loader changes in a device tree, and that it changes nothing else."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_trees import assemble, blob, cells, content, decompile, machine, read_source
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.fdt_edit import with_chosen, with_memory
from ttbr.errors import InputError


def parsed(data: bytes) -> DeviceTree:
    return DeviceTree.parse(data)


def chosen(data: bytes) -> dict[str, bytes]:
    return {name: found.data for name, found in parsed(data).find("/chosen").properties.items()}


def others(data: bytes, *paths: str):
    """All nodes but some, to hold one blob against another."""
    return [
        (node.path, {name: found.data for name, found in node.properties.items()})
        for node in parsed(data).root.walk()
        if node.path not in paths
    ]


def test_nothing_asked_for_and_nothing_new_leave_the_bytes():
    data = blob(
        machine(
            bootargs=b"quiet\0",
            **{"linux,initrd-start": cells(0x4000), "linux,initrd-end": cells(0x5000)},
        ),
        slack=100,
    )
    tree = parsed(data)
    assert with_chosen(tree) == data
    assert with_chosen(tree, bootargs="quiet", initrd=(0x4000, 0x1000)) == data
    assert with_memory(tree, [(0x60000000, 0x80000000)]) == data


@pytest.mark.parametrize("slack", [0, 5, 4096])
def test_bootargs(slack):
    data = blob(machine(bootargs=b"quiet\0", x=b"1"), reserve=[(1, 2)], slack=slack, boot_cpu=3)
    for text in ("", "q", "a longer line, with umlaut ä " * 9):
        new = with_chosen(parsed(data), bootargs=text)
        assert chosen(new) == {"bootargs": text.encode() + b"\0", "x": b"1"}
        assert others(new, "/chosen") == others(data, "/chosen")
        tree = parsed(new)
        assert len(new) == tree.totalsize
        assert (tree.reserve_map, tree.header["boot_cpuid_phys"]) == ([(1, 2)], 3)
        used = len(blob(machine(bootargs=text.encode() + b"\0", x=b"1"), reserve=[(1, 2)]))
        assert tree.totalsize == max(len(data), used)
        assert with_chosen(tree, bootargs=text) == new


def test_initrd_as_wide_as_addresses_or_as_it_was():
    narrow = {"linux,initrd-start": cells(1), "linux,initrd-end": cells(2)}
    cases = [
        (machine(), (0x48000000, 0x100), cells(0, 0x48000000), cells(0, 0x48000100)),
        (machine(**narrow), (0x48000000, 0x100), cells(0x48000000), cells(0x48000100)),
        (machine(**narrow), (0xFFFFFF00, 0x100), cells(0xFFFFFF00), cells(1, 0)),
        (("", {}, [("chosen", {}, [])]), (0x48000000, 0x100), cells(0x48000000), cells(0x48000100)),
    ]
    for tree, initrd, start, end in cases:
        new = with_chosen(parsed(blob(tree)), initrd=initrd)
        assert chosen(new) == {"linux,initrd-start": start, "linux,initrd-end": end}


def test_a_tree_without_chosen_gets_one():
    data = blob(("", {"model": b"x\0"}, [("soc", {"a": b""}, [])]))
    new = with_chosen(parsed(data), bootargs="quiet")
    assert content(parsed(new).root) == (
        "",
        {"model": b"x\0"},
        [("chosen", {"bootargs": b"quiet\0"}, []), ("soc", {"a": b""}, [])],
    )


def test_memory():
    new = with_memory(parsed(blob(machine())), [(1 << 40, 1 << 30), (0x80000000, 0x1000)])
    nodes = parsed(new).memory_nodes()
    assert [node.reg for node in nodes] == [[(1 << 40, 1 << 30), (0x80000000, 0x1000)]]
    assert others(new, "/memory@60000000") == others(blob(machine()), "/memory@60000000")


def test_memory_of_several_nodes_becomes_one():
    def memory(at: int, **more: bytes):
        properties = {"device_type": b"memory\0", "reg": cells(at, 0x1000), **more}
        return (f"memory@{at:x}", properties, [("below", {}, [])])

    root = {"#address-cells": cells(1), "#size-cells": cells(1)}
    nodes = [
        memory(0x1000, status=b"disabled\0"),
        memory(0x2000, **{"linux,usable-memory": cells(0x2800, 0x800)}),
        ("between", {"a": cells(1)}, []),
        memory(0x3000),
    ]
    data = blob(("", root, nodes), slack=8)
    tree = parsed(data)
    # What Linux sees already, in its order, is no change.
    assert with_memory(tree, [(0x2800, 0x800), (0x3000, 0x1000)]) == data
    new = parsed(with_memory(tree, [(0x8000, 0x4000)]))
    assert content(new.root)[2] == [
        nodes[0],
        (
            "memory@2000",
            {"device_type": b"memory\0", "reg": cells(0x8000, 0x4000)},
            [("below", {}, [])],
        ),
        nodes[2],
    ]
    assert new.totalsize == len(data)


def test_a_tree_without_memory_gets_it():
    data = blob(("", {}, [("soc", {}, [])]))
    new = parsed(with_memory(parsed(data), [(0x60000000, 0x1000)]))
    assert content(new.root)[2][0] == (
        "memory@60000000",
        {"reg": cells(0x60000000, 0x1000), "device_type": b"memory\0"},
        [],
    )


@pytest.mark.parametrize(
    ("banks", "words"),
    [
        ([], "at least one bank"),
        ([(0x1000, 0)], "at least one byte"),
        ([(0x1000, 0x2000), (0x2000, 0x1000)], "0x1000-0x2fff and 0x2000-0x2fff overlap"),
        ([(-1, 5)], "at least one byte"),
        ([(1 << 64, 5)], "within 64 address bits"),
    ],
)
def test_bad_memory(banks, words):
    with pytest.raises(InputError) as caught:
        with_memory(parsed(blob(machine())), banks)
    assert words in str(caught.value)


def test_what_does_not_fit():
    small = parsed(blob(("", {}, [])))
    with pytest.raises(InputError, match="memory address 0x100000000 does not fit the 1 cells"):
        with_memory(small, [(1 << 32, 1)])
    with pytest.raises(InputError, match="memory size 0x100000000 does not fit"):
        with_memory(small, [(0, 1 << 32)])
    with pytest.raises(InputError, match="linux,initrd-end 0x100000000 does not fit"):
        with_chosen(small, initrd=(0xFFFFFFFF, 1))
    with pytest.raises(InputError, match="NUL"):
        with_chosen(small, bootargs="a\0b")


def test_blocks_in_another_order_and_version_16():
    data = blob(machine(), version=16, slack=40)
    new = with_chosen(parsed(data), bootargs="x")
    assert chosen(new) == {"bootargs": b"x\0"}
    assert len(new) == len(data)
    # Strings before the structure: everything moves, nothing is lost.
    normal = parsed(blob(machine(a=b"1")))
    body_at, strings_at = normal.header["off_dt_struct"], normal.header["off_dt_strings"]
    body = normal.blob[body_at:strings_at]
    strings = normal.blob[strings_at:]
    swapped = bytearray(assemble(body, strings))
    pad = bytes(-len(strings) % 4)
    swapped[body_at:] = strings + pad + body
    swapped[4:16] = cells(len(swapped), body_at + len(strings + pad), body_at)
    assert content(parsed(bytes(swapped)).root) == machine(a=b"1")
    new = with_chosen(parsed(bytes(swapped)), bootargs="x")
    assert content(parsed(new).root) == machine(bootargs=b"x\0", a=b"1")


TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60)


@given(
    TEXT,
    st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 30)),
    st.integers(0, 60),
    st.booleans(),
)
def test_edits_come_back(bootargs, initrd, slack, had):
    data = blob(machine(bootargs=b"quiet\0") if had else machine(), slack=slack)
    new = parsed(with_chosen(parsed(data), bootargs=bootargs, initrd=initrd))
    node = new.find("/chosen")
    assert node.prop("bootargs").data == bootargs.encode() + b"\0"
    assert node.prop("linux,initrd-start").number == initrd[0]
    assert node.prop("linux,initrd-end").number == sum(initrd)
    assert others(new.blob, "/chosen") == others(data, "/chosen")


def test_dtc_reads_what_we_wrote(dtc):
    data = blob(machine(), reserve=[(0x1000, 0x2000)], slack=12)
    data = with_chosen(parsed(data), bootargs="console=ttyAMA0", initrd=(0x48000000, 0x5000))
    data = with_memory(parsed(data), [(0x40000000, 0x40000000), (0x880000000, 0x1000)])
    tree = parsed(data)
    assert read_source(decompile(dtc, data)) == ([(0x1000, 0x2000)], content(tree.root))


def test_fdtput_makes_the_same_tree(dtc, tmp_path):
    fdtput = shutil.which("fdtput")
    if fdtput is None:
        pytest.skip("fdtput is absent (Debian: device-tree-compiler)")
    data = blob(machine(bootargs=b"quiet\0"), slack=200)
    path = tmp_path / "board.dtb"
    path.write_bytes(data)
    subprocess.run(
        [fdtput, "-t", "s", path, "/chosen", "bootargs", "console=ttyAMA0"], check=True, timeout=60
    )
    for name, value in (("linux,initrd-start", "48000000"), ("linux,initrd-end", "48005000")):
        subprocess.run(
            [fdtput, "-t", "x", path, "/chosen", name, "0", value], check=True, timeout=60
        )
    ours = with_chosen(parsed(data), bootargs="console=ttyAMA0", initrd=(0x48000000, 0x5000))
    theirs = parsed(path.read_bytes())
    assert content(parsed(ours).root) == content(theirs.root)
