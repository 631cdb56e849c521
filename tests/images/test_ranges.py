"""LiME, AVML and raw memory with a list of banks: the same mappings as one raw file has."""

import json
import struct

import guest_memory
import pytest
from ranges import avml, lime, padded

from ttbr.errors import InputError
from ttbr.memory.open import open_memory
from ttbr.memory.physical import Bank

BASE, SIZE = guest_memory.BASE, guest_memory.SIZE
CUT = 0x108000
END = bytes(8) + b"the last bytes of an odd range"


def cuts() -> list[tuple[int, bytes]]:
    """The guest's memory in two ranges without a gap, and a third elsewhere."""
    memory = guest_memory.memory()
    return [(BASE, memory[:CUT]), (BASE + CUT, memory[CUT:]), (0x8_0000_0000, END)]


@pytest.fixture
def opened(tmp_path):
    def open_bytes(data: bytes, where: str = ""):
        (tmp_path / "image").write_bytes(data)
        return open_memory(f"{tmp_path / 'image'}{where}").memory

    return open_bytes


def holds_the_guest(memory):
    assert memory.banks == (Bank(BASE, SIZE), Bank(0x8_0000_0000, len(END)))
    assert memory.read(BASE, SIZE) == guest_memory.memory()
    assert memory.read(0x8_0000_0000, len(END)) == END


@pytest.mark.parametrize("arch", ["arm64", "arm"])
@pytest.mark.parametrize("write", [lime, avml], ids=["lime", "avml"])
def test_ranges(write, arch, guest, same_mappings, opened, tmp_path):
    holds_the_guest(opened(write(cuts())))
    same_mappings(str(tmp_path / "image"), guest, arch)


@pytest.mark.parametrize("order", [[2, 0, 1], [1, 2, 0]])
@pytest.mark.parametrize("write", [lime, avml], ids=["lime", "avml"])
def test_any_order(write, order, opened):
    holds_the_guest(opened(write([cuts()[place] for place in order])))


def test_avml_leaves_out_zeros(opened):
    block = 1 << 16
    data = b"a" * block + bytes(2 * block) + b"b" * 100
    memory = opened(avml([(0x1000, data)], block))
    assert memory.banks == (Bank(0x1000, block), Bank(0x1000 + 3 * block, 100))
    assert memory.written() == list(memory.banks)


def test_padded_lime_is_raw_memory_from_0_on(opened):
    memory = opened(padded([(0x2000, b"low"), (0x9000, b"high")]), "@0")
    assert memory.banks == (Bank(0, 0x9004),)
    assert memory.read(0x2000, 3) + memory.read(0x9000, 4) == b"lowhigh"


def banks_file(tmp_path, value) -> str:
    path = tmp_path / "banks.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return f"@{path}"


@pytest.mark.parametrize(
    "listed",
    [
        [{"base": hex(base), "size": len(data)} for base, data in cuts()],
        {"banks": [{"base": base, "size": hex(len(data))} for base, data in cuts()]},
        [
            {"base": 0x8_0000_0000, "size": len(END), "offset": SIZE},
            {"base": BASE, "size": SIZE, "offset": "0x0"},
        ],
        [
            {"base": 0, "size": 1 << 40, "file": "another"},
            *({"base": base, "size": len(data), "file": "image"} for base, data in cuts()),
        ],
    ],
    ids=["list", "object", "offsets", "files"],
)
def test_raw_memory_with_a_list_of_banks(listed, opened, tmp_path):
    raw = b"".join(data for _, data in cuts())
    holds_the_guest(opened(raw, banks_file(tmp_path, listed)))


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("[", "banks.json: not JSON"),
        ("[" * 100_000, "banks.json: not JSON"),
        ("5", "banks.json: not a list of at most 65536 banks"),
        ([], "banks.json: no bank of image in it"),
        ([5], "bank 0 is not"),
        ([{"size": 1}], "bank 0: base is None, not a number"),
        ([{"base": 0, "size": True}], "bank 0: size is True, not a number"),
        ([{"base": "1_0", "size": 1}], "bank 0: base is '1_0', not a number"),
        ([{"base": 0, "size": 0}], "bank 0: 0x0 bytes at 0x0 are no bank"),
        ([{"base": (1 << 64) - 1, "size": 2}], "bank 0: 0x2 bytes at 0xffffffffffffffff are no"),
        ([{"base": 0, "size": 2}, {"base": 8, "size": 7}], "bank 1: ends 0x1 bytes behind"),
        ([{"base": 0, "size": 1, "offset": 8}], "bank 0: ends 0x1 bytes behind"),
        ([{"base": 0, "size": 2}, {"base": 1, "size": 2}], "overlapping banks: 0x0-0x1 of"),
        ([{"base": 0, "size": 2, "file": "x"}], "banks.json: no bank of image in it"),
    ],
)
def test_bad_lists_of_banks(listed, words, opened, tmp_path):
    with pytest.raises(InputError) as caught:
        opened(bytes(8), banks_file(tmp_path, listed))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_list_of_banks(opened):
    with pytest.raises(InputError, match=r"gone\.json: No such file"):
        opened(bytes(8), "@gone.json")


ONE = [(0x1000, b"memory" * 20)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lime(ONE)[:-1], "truncated: the range at physical 0x1000 lacks 0x1 of its 0x78 bytes"),
        (lime(ONE) + b"EMiL", "truncated: a header at 0x98 sticks out of the file"),
        (lime(ONE) + bytes(40), "damaged: no header of a range at 0x98"),
        (b"EMiL\2" + lime(ONE)[5:], "version 2 of the format is not known"),
        (struct.pack("<4sIQQQ", b"EMiL", 1, 9, 8, 0), "damaged: the range at 0x0 is 0x9-0x8"),
        (lime(ONE * 2), "overlapping banks"),
        (struct.pack("<4sIQQQ", b"EMiL", 1, 0, (1 << 64) - 1, 0), "lacks 0x10000000000000000 of"),
        (avml(ONE)[:-9], "truncated: snappy chunk at 0x2a sticks"),
        (avml(ONE)[:-1], "truncated: a range without its length"),
        (avml(ONE)[:-1] + b"\1", "damaged: the frames at 0x20 have"),
        (avml(ONE)[:40], "truncated: snappy chunk"),
        (avml(ONE)[:34], "truncated: the range at physical 0x1000 lacks 0x78"),
        (avml(ONE * 2), "overlap"),
        (avml(ONE)[:32] + b"\x02\0\0\0" + avml(ONE)[36:], "snappy chunk at 0x20 of type 0x2"),
        (struct.pack("<4sIQQQ", b"AVML", 2, 0, 9, 0) + b"\1\2\0\0abcd", "snappy chunk at 0x20 of"),
    ],
)
def test_bad_ranges(data, words, opened):
    with pytest.raises(InputError) as caught:
        opened(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checksum_is_verified(opened):
    data = bytearray(avml(ONE))
    data[47] ^= 1  # of the chunk behind the header (32) and the stream identifier (10)
    memory = opened(bytes(data))
    with pytest.raises(InputError, match="damaged: snappy chunk at 0x2a"):
        memory.read(0x1000, 1)
