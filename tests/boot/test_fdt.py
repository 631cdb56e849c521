"""The device-tree reader: what it says of good blobs, and of bad ones."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_trees import (
    BEGIN,
    END,
    END_NODE,
    NOP,
    PROP,
    assemble,
    blob,
    cells,
    compile_source,
    content,
    decompile,
    machine,
    read_source,
)
from ttbr.boot.fdt import HEADER_FIELDS, DeviceTree
from ttbr.errors import InputError

SOURCE = """/dts-v1/;
/memreserve/ 0x40000000 0x1000;
/memreserve/ 0x123456789abcd000 0x20000;
/ {
    #address-cells = <2>; #size-cells = <1>;
    compatible = "ttbr,one", "ttbr,two";
    text = "tab\\t quote\\" percent % umlaut ä";
    empty;
    bytes = [00 01 02 ff fe];
    wide = /bits/ 64 <0x123456789abcdef0>;
    mixed = "s", <1 2 3>, [0a];
    memory@80000000 { device_type = "memory"; reg = <0 0x80000000 0x1000 1 0 0x2000>; };
    label: node@1,2 { reg = <0 1 2>; deeper { deepest { x = <&label>; }; }; };
    reserved-memory { #address-cells = <1>; #size-cells = <1>; ranges;
        pool@5 { reg = <5 6>; no-map; }; };
};
"""


def test_a_machine():
    tree = DeviceTree.parse(blob(machine(bootargs=b"quiet\0"), reserve=[(0x1000, 0x2000)]))
    assert tree.reserve_map == [(0x1000, 0x2000)]
    assert content(tree.root) == machine(bootargs=b"quiet\0")
    assert tree.root.prop("compatible").strings == ("ttbr,board", "ttbr,any")
    assert tree.root.prop("compatible").string == "ttbr,board"
    assert tree.find("/chosen").prop("bootargs").string == "quiet"
    assert [node.reg for node in tree.memory_nodes()] == [[(0x60000000, 0x80000000)]]
    serial = tree.find("/soc/serial@9000000")
    assert serial.path == "/soc/serial@9000000"
    assert (serial.base_name, serial.unit_address) == ("serial", "9000000")
    assert serial.reg == [(0x9000000, 0x1000)]
    assert tree.find("/soc/serial") is serial
    assert tree.find("/soc").unit_address is None
    assert serial.available and tree.find("/soc").available
    assert not tree.find("/soc/serial@9001000").available
    assert tree.by_phandle(7) is serial
    assert tree.by_phandle(8) is tree.find("/soc/serial@9001000")
    assert tree.by_phandle(9) is None
    assert tree.find("/nothing/below") is None
    assert tree.find("/") is tree.root
    assert [node.name for node in tree.root.walk()] == [
        "", "chosen", "memory@60000000", "soc", "serial@9000000", "serial@9001000",
    ]  # fmt: skip


def test_offsets_point_at_what_they_name():
    data = blob(machine(bootargs=b"quiet\0"))
    tree = DeviceTree.parse(data)
    for node in tree.root.walk():
        assert data[node.offset : node.offset + 4] == BEGIN
        assert data[node.offset + 4 :].startswith(node.name.encode() + b"\0")
        assert data[node.end - 4 : node.end] == END_NODE
        assert data[node.behind_properties : node.behind_properties + 4] in (BEGIN, END_NODE)
        for found in node.properties.values():
            assert data[found.offset :].startswith(found.data)
            assert data[found.offset - 12 : found.offset - 8] == PROP


@pytest.mark.parametrize(
    ("status", "available"),
    [
        (b"okay\0", True),
        (b"ok\0", True),
        (b"okay", True),
        (b"okay\0disabled\0", True),
        (b"disabled\0", False),
        (b"reserved\0", False),
        (b"okay2\0", False),
        (b"", False),
    ],
)
def test_status(status, available):
    tree = DeviceTree.parse(blob(("", {}, [("a", {"status": status}, [])])))
    assert tree.find("/a").available is available


def test_cells_come_from_the_nearest_node_that_says():
    inner = ("inner", {}, [("leaf@1", {"reg": cells(0, 1, 2, 0, 3, 4, 9)}, [])])
    tree = DeviceTree.parse(
        blob(("", {"#address-cells": cells(2), "#size-cells": cells(1)}, [inner]))
    )
    # Three cells an entry; the last cell is half of nothing and left out.
    assert tree.find("/inner/leaf").reg == [(1, 2), (3, 4)]
    bare = DeviceTree.parse(blob(("", {}, [("leaf@1", {"reg": cells(1, 2)}, [])])))
    assert bare.find("/leaf").reg == [(1, 2)]
    none = DeviceTree.parse(
        blob(
            (
                "",
                {"#address-cells": cells(0), "#size-cells": cells(0)},
                [("leaf", {"reg": cells(1)}, [])],
            )
        )
    )
    assert none.find("/leaf").reg == []


def test_numbers():
    tree = DeviceTree.parse(
        blob(("", {"one": cells(5), "two": cells(1, 2), "odd": b"abc", "text": b"x"}, []))
    )
    one, two, odd, text = (tree.root.prop(name) for name in ("one", "two", "odd", "text"))
    assert (one.u32, one.number, two.u64, two.number, two.cells) == (
        5, 5, 1 << 32 | 2, 1 << 32 | 2, (1, 2),
    )  # fmt: skip
    for found, kind in (
        (two, "u32"), (one, "u64"), (odd, "cells"), (odd, "number"), (text, "string"),
        (text, "strings"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=rf"^device tree: /: \w+ at offset {found.offset:#x}:"):
            getattr(found, kind)


def test_version_16_and_bytes_behind_the_blob():
    data = blob(machine(), version=16)
    assert content(DeviceTree.parse(data + b"trailing").root) == machine()


def test_first_of_two_equal_properties_counts():
    body = BEGIN + bytes(4)
    for number in (1, 2):
        body += PROP + cells(4, 0, number)
    tree = DeviceTree.parse(assemble(body + NOP + END_NODE + END, b"x\0"))
    assert tree.root.prop("x").u32 == 1


def header(name: str, number: int) -> bytes:
    data = bytearray(blob(machine()))
    struct.pack_into(">I", data, 4 * HEADER_FIELDS.index(name), number)
    return bytes(data)


ROOT = BEGIN + bytes(4)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes end inside the header of 40 at offset 0x0"),
        (blob(machine())[:39], "39 bytes end inside the header"),
        (b"\x7fELF" + bytes(60), "not a device tree blob: 0x7f454c46 at offset 0x0"),
        (blob(machine())[:-1], "totalsize at offset 0x4"),
        (header("version", 3), "version at offset 0x14: 3 is older than 16"),
        (header("last_comp_version", 18), "last_comp_version at offset 0x18: 18 is newer"),
        (header("off_dt_struct", 2), "off_dt_struct at offset 0x8"),
        (header("off_dt_struct", 0xFFFFFFFC), "off_dt_struct at offset 0x8"),
        (header("off_dt_strings", 0xFFFFFFFF), "off_dt_strings at offset 0xc"),
        (header("off_mem_rsvmap", 44), "off_mem_rsvmap at offset 0x10"),
        (header("size_dt_strings", 0xFFFFFFFF), "size_dt_strings at offset 0x20"),
        (header("size_dt_struct", 0xFFFFFFF0), "size_dt_struct at offset 0x24"),
        (header("size_dt_struct", 16), "the structure block ends without FDT_END"),
        (assemble(END, b""), "offset 0x38: there is no root node"),
        (assemble(PROP + END, b""), "offset 0x38: token 0x3 outside the root node"),
        (assemble(END_NODE + END, b""), "offset 0x38: token 0x2 outside the root node"),
        (assemble(ROOT + END, b""), "offset 0x40: the tree ends inside /"),
        (assemble(ROOT + END_NODE, b""), "offset 0x44: the structure block ends without FDT_END"),
        (assemble(ROOT + cells(77), b""), "offset 0x40: unknown token 0x4d"),
        (assemble(BEGIN + b"abcd", b""), "offset 0x38: the node's name does not end"),
        (assemble((ROOT + END_NODE) * 2 + END, b""), "offset 0x44: a second root node"),
        (assemble(ROOT + PROP + cells(9, 0), b"x\0"), "offset 0x40: a property of / has 0x9 bytes"),
        (assemble(ROOT + PROP + cells(0, 5), b"x\0"), "the property's name at 0x51 does not end"),
        (assemble(ROOT + PROP + cells(0, 0), b"x"), "the property's name at 0x4c does not end"),
        (assemble(ROOT + PROP + cells(0, 0), b"x" * 300), "does not end"),
        (assemble(ROOT * 65 + END_NODE * 65 + END, b""), "nested more than 64 deep"),
    ],
)
def test_bad_blobs(data, words):
    with pytest.raises(InputError) as caught:
        DeviceTree.parse(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reservations_without_an_end():
    data = bytearray(blob(machine(), reserve=[(1, 2)]))
    data[40:] = b"\1" * (len(data) - 40)
    with pytest.raises(InputError, match=r"structure block|memory reservation"):
        DeviceTree.parse(bytes(data))
    good = blob(machine())
    endless = good[:16] + cells(len(good) // 8 * 8) + good[20:]
    with pytest.raises(InputError, match="memory reservation block at offset"):
        DeviceTree.parse(endless)


def test_too_many_cells():
    tree = DeviceTree.parse(
        blob(("", {"#address-cells": cells(0x7FFFFFFF)}, [("a", {"reg": cells(1)}, [])]))
    )
    with pytest.raises(InputError, match=r"/: #address-cells at offset .*: 2147483647 cells"):
        _ = tree.find("/a").reg


def test_names_that_would_break_a_line():
    tree = DeviceTree.parse(blob(("", {}, [("a\nb\x1b", {"x\ty": b"z"}, [])])))
    assert tree.root.children[0].path == "/a\\nb\\x1b"
    with pytest.raises(InputError) as caught:
        _ = tree.root.children[0].prop("x\\ty").string
    assert str(caught.value).isprintable()


def test_files(tmp_path):
    path = tmp_path / "board.dtb"
    with pytest.raises(InputError, match=r"board\.dtb: No such file"):
        DeviceTree.from_file(path)
    path.write_bytes(b"no device tree in here, but some forty bytes")
    with pytest.raises(InputError, match=r"board\.dtb: not a device tree blob"):
        DeviceTree.from_file(path)
    path.write_bytes(blob(machine()))
    assert content(DeviceTree.from_file(path).root) == machine()


def use(data: bytes) -> None:
    """Everything that the reader offers, on a blob that may be broken in any way."""
    try:
        tree = DeviceTree.parse(data)
    except InputError as error:
        assert "\n" not in str(error)
        return
    tree.memory_nodes()
    for node in tree.root.walk():
        assert node.path.startswith("/")
        for kind in ("available", "phandle", "reg", "address_cells"):
            quietly(node, kind)
        for found in node.properties.values():
            for kind in ("strings", "string", "cells", "u32", "u64", "number"):
                quietly(found, kind)


def quietly(what, kind):
    try:
        getattr(what, kind)
    except InputError as error:
        assert "\n" not in str(error)


GOOD = blob(machine(bootargs=b"quiet\0"), reserve=[(0x1000, 0x2000)], slack=16)


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD) - 1),
            st.one_of(
                st.binary(min_size=1, max_size=4),
                st.sampled_from([cells(n) for n in (0, 1, 2, 3, 4, 9, 0xFFFFFFFF, 0x7FFFFFFF)]),
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    st.one_of(st.none(), st.integers(0, len(GOOD))),
)
def test_mutated_blobs(changes, cut):
    data = bytearray(GOOD)
    for at, new in changes:
        data[at : at + len(new)] = new
    use(bytes(data[:cut]))


@given(st.binary(max_size=400))
def test_random_structure_blocks(body):
    use(assemble(body + bytes(-len(body) % 4), b"reg\0status\0#size-cells\0"))


@given(st.lists(st.sampled_from([ROOT, END_NODE, NOP, PROP + cells(4, 0, 1), END]), max_size=80))
def test_random_tokens(tokens):
    use(assemble(b"".join(tokens), b"reg\0"))


def test_time_stays_linear():
    """60,000 properties with names that overlap: each with the rest of one long string."""
    count = 60_000
    body = ROOT + b"".join(PROP + cells(0, n) for n in range(count)) + END_NODE + END
    started = time.perf_counter()
    use(assemble(body, b"x" * count + b"\0"))
    use(assemble(body, b"xy\0" * (count // 3 + 1)))
    assert time.perf_counter() - started < 10


def test_source_that_dtc_compiled(dtc):
    data = compile_source(dtc, SOURCE)
    tree = DeviceTree.parse(data)
    reserve, expected = read_source(decompile(dtc, data))
    assert content(tree.root) == expected
    assert tree.reserve_map == reserve == [(0x40000000, 0x1000), (0x123456789ABCD000, 0x20000)]
    root = tree.root
    assert root.prop("compatible").strings == ("ttbr,one", "ttbr,two")
    assert root.prop("text").string == 'tab\t quote" percent % umlaut ä'
    assert root.prop("empty").data == b"" and root.prop("empty").strings == ()
    assert root.prop("bytes").data == bytes([0, 1, 2, 255, 254])
    assert root.prop("wide").u64 == 0x123456789ABCDEF0
    assert root.prop("mixed").data == b"s\0" + cells(1, 2, 3) + b"\n"
    assert tree.memory_nodes()[0].reg == [(0x80000000, 0x1000), (1 << 32, 0x2000)]
    assert tree.find("/reserved-memory/pool@5").reg == [(5, 6)]
    node = tree.find("/node/deeper/deepest")
    assert tree.by_phandle(node.prop("x").u32) is tree.find("/node@1,2")


@pytest.mark.parametrize("version", [16, 17])
def test_our_blobs_are_dtcs(dtc, version):
    data = blob(machine(bootargs=b"quiet\0"), reserve=[(0x1000, 0x2000)], version=version)
    assert read_source(decompile(dtc, data)) == (
        [(0x1000, 0x2000)],
        machine(bootargs=b"quiet\0"),
    )
