"""What /proc/meminfo is made of beside counters: exports, pools of huge pages, sums over CPUs."""

import struct

import pytest
from linear_memory import VA, Linear

from ttbr.recover.exported_symbols import ExportedSymbols
from ttbr.recover.huge_pages import find_huge_pages
from ttbr.recover.layouts import Layouts
from ttbr.recover.per_cpu import counter_sum, cpu_offsets
from ttbr.recover.vmcoreinfo import VmcoreInfo

NOTHING = Layouts(None, VmcoreInfo(), lambda struct: {})
M = 1 << 20


def exports(word, start, symbols, texts):
    """An image with a table of exports; ``texts``: where in the image each name is."""
    image = bytearray(0x2000)
    for at, text in texts.items():
        image[at : at + len(text) + 1] = text.encode() + b"\0"
    for row, (name, address) in enumerate(symbols):
        text = next(at + len(t) - len(name) for at, t in texts.items() if t.endswith(name))
        for column, target in enumerate((address, text, 0x1FFF)):
            place = 0x1000 + 12 * row + 4 * column
            value = start + target if word == 4 else target - place
            struct.pack_into("<I" if word == 4 else "<i", image, place, value)
    return ExportedSymbols(bytes(image), start, word)


@pytest.mark.parametrize("word", [4, 8])
def test_exported_variables(word):
    symbols = [("init_task", 0x40), ("node_stat", 0x50), ("vm_area", 0x60), ("zone", 0x70)]
    # Linkers let a name be the end of another
    texts = {0x100: "init_task", 0x120: "vm_node_stat", 0x140: "vm_area", 0x160: "zone"}
    start = VA[word]
    found = exports(word, start, symbols, texts)
    assert found.get("node_stat") == start + 0x50
    assert found.get("vm_area") == start + 0x60
    assert found.get("absent") is None
    # Nothing is known of an entry that has no neighbour on one side
    assert found.get("init_task") is None
    disordered = [symbols[0], symbols[2], symbols[1], symbols[3]]
    assert exports(word, start, disordered, texts).get("vm_area") is None


@pytest.mark.parametrize("word", [4, 8])
def test_pools_of_huge_pages(word):
    image = bytearray(0x4000)
    for at, size, numbers in ((0x1000, 2 * M, (9, 8, 3, 1)), (0x2000, 64 << 10, (0, 0, 0, 0))):
        order = (size // 4096).bit_length() - 1
        form = "<" + ("I" if word == 4 else "Q") * 6
        struct.pack_into("<II", image, at, order, 0)
        values = (-size % (1 << 8 * word), 7, *numbers)
        struct.pack_into(form, image, at + 8, *values)
        name = b"hugepages-%dkB\0" % (size >> 10)
        image[at + 0x400 : at + 0x400 + len(name)] = name
    image[0x3000:0x3010] = b"hugepages-12kB\0\0"  # of no power of two
    first, second = find_huge_pages(bytes(image), word, 4096)
    assert (first.size, first.total, first.free, first.reserved, first.surplus) == (
        2 * M,
        9,
        8,
        3,
        1,
    )
    assert (second.size, second.total) == (64 << 10, 0)


@pytest.mark.parametrize("word", [4, 8])
@pytest.mark.parametrize("listed", [False, True])
def test_sums_over_cpus(word, listed):
    data = bytearray(0x1000)
    pointer = "<I" if word == 4 else "<Q"
    at, table, copies = 0x100, 0x200, (0x800, 0x900)
    for row, copy in enumerate(copies):
        struct.pack_into(pointer, data, table + row * word, VA[word] + copy - 0x40)
        struct.pack_into("<i", data, copy, -5 + row)
    struct.pack_into("<q", data, at + 8, 100)
    if listed:
        node = VA[word] + at + 16
        struct.pack_into(pointer, data, at + 16, node)
        struct.pack_into(pointer, data, at + 16 + word, node)
    struct.pack_into(pointer, data, at + 16 + 2 * word * listed, 0x40)
    kernel = Linear(word, data)
    offsets = cpu_offsets(kernel, VA[word] + table, 8)
    assert len(offsets) == 2
    assert counter_sum(kernel, NOTHING, VA[word] + at, offsets) == 91
    assert counter_sum(kernel, NOTHING, VA[word] + at + 8, []) == 100  # a kernel for one CPU
    assert counter_sum(kernel, NOTHING, VA[word] + 0xFFC, offsets) is None
