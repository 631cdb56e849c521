"""The nodes that the vmalloc space is divided into (since 6.9), found by their form."""

import struct

import pytest
from linear_memory import VA, Linear

from ttbr.recover.layouts import Layouts
from ttbr.recover.vmalloc import find_vmalloc, find_vmap_nodes
from ttbr.recover.vmcoreinfo import VmcoreInfo

IMAGE = 0x1800  # bytes of memory that are the kernel's image where the node is not in it
AREA, VM, START = 0x3800, 0x3900, 0x100000


def memory_with(word, node):
    """One node at an offset, whose list in use has an area; the second pool is not empty."""
    form = "<I" if word == 4 else "<Q"
    data = bytearray(0x4000)

    def put(at, *values):
        for row, value in enumerate(values):
            struct.pack_into(form, data, at + row * word, value)

    for pool in range(256):
        head = node + 3 * word * pool
        put(head, *[VA[word] + (head if pool != 1 else AREA + 0x80)] * 2, 0)
    busy, link = node + 3 * word * 256 + 2 * word, AREA + 5 * word
    put(busy, *[VA[word] + link] * 2)
    put(link, *[VA[word] + busy] * 2)
    put(AREA, VA[word] + START, VA[word] + START + 0x3000)
    put(AREA + 7 * word, VA[word] + VM)
    put(VM + word, VA[word] + START, 0x3000, 2, 0)
    struct.pack_into("<I", data, VM + 5 * word, 2)
    put(0x800, VA[word] + node)
    return data


@pytest.mark.parametrize("word", [4, 8])
@pytest.mark.parametrize("node", [0x900, 0x1800])
def test_in_the_image_and_behind_a_pointer(word, node):
    data = memory_with(word, node)
    kernel = Linear(word, data)
    image = bytes(data if node < IMAGE else data[:IMAGE])
    at = find_vmap_nodes(kernel, image, VA[word])
    assert at is not None and VA[word] + node <= at < VA[word] + node + 6 * word + 1
    nothing = Layouts(None, VmcoreInfo(), lambda struct: {})
    areas = find_vmalloc(kernel, nothing, None, at, word, 4096)
    assert areas is not None
    assert (areas.start.tolist(), areas.pages.tolist()) == ([VA[word] + START], [2])


@pytest.mark.parametrize("word", [4, 8])
def test_empty_lists_alone_are_no_nodes(word):
    data = memory_with(word, 0x900)
    busy = 0x900 + 3 * word * 256 + 2 * word
    data[busy : busy + 2 * word] = bytes(2 * word)
    assert find_vmap_nodes(Linear(word, data), bytes(data), VA[word]) is None
    assert find_vmap_nodes(Linear(word, bytes(64)), bytes(64), VA[word]) is None
