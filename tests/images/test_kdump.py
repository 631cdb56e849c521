"""kdump-compressed files: every layout of the headers, every codec, bitmaps of all shapes."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kdump_file import PACKERS, SUB_HEADERS, Kdump, flattened

from ttbr.errors import InputError
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.notes import Note, encode_notes
from ttbr.memory.open import open_memory
from ttbr.memory.packed import PackedMemory
from ttbr.memory.physical import Bank

PAGE = 4096


def page(frame: int, size: int = PAGE) -> bytes:
    return struct.pack("<Q", frame | 0xABCD << 48) * (size // 8)


@pytest.fixture
def opened(tmp_path):
    def open_bytes(data: bytes):
        (tmp_path / "dump").write_bytes(data)
        return open_memory(str(tmp_path / "dump"))

    return open_bytes


@pytest.mark.parametrize("size", [4096, 16384, 65536])
@pytest.mark.parametrize("flags", list(PACKERS))
def test_codecs_and_page_sizes(flags, size, opened):
    pages = {frame: page(frame, size) for frame in (16, 17, 19)}
    memory = opened(Kdump(pages, {18}, page_size=size, flags=flags).build()).memory
    assert isinstance(memory, PackedMemory)
    assert memory.banks == (Bank(16 * size, 4 * size),)
    for frame, data in pages.items():
        assert memory.read(frame * size, size) == data
    assert memory.read(18 * size, size) == bytes(size)
    assert memory.read(17 * size - 8, 16) == page(16)[:8] + page(17)[:8]


@pytest.mark.parametrize(
    ("layout", "version"),
    # Those who write the 32-bit layouts write version 6.
    [*(("64", version) for version in range(1, 7)), ("arm", 6), ("packed", 6)],
)
def test_layouts_and_versions(layout, version, opened):
    machine = b"aarch64" if layout == "64" else b"armv7l"
    pages = {frame: page(frame) for frame in (0x40000, 0x40002)}
    notes = encode_notes([Note("CORE", 1, b"registers")])
    dump = Kdump(
        pages, layout=layout, version=version, machine=machine, vmcoreinfo=b"A=1\n", notes=notes
    )
    found = opened(dump.build())
    assert found.memory.banks == (Bank(0x40000000, PAGE), Bank(0x40002000, PAGE))
    assert found.memory.read(0x40002000, PAGE) == page(0x40002)
    expected = []
    if version >= 4:
        expected.append(Note("CORE", 1, b"registers"))
    if version >= 3:
        expected.append(Note("VMCOREINFO", 0, b"A=1\n"))
    assert found.notes == tuple(expected)


@pytest.mark.parametrize("layout", list(SUB_HEADERS))
@pytest.mark.parametrize("cut", [8, 13, 70])
def test_split_sets(layout, cut, tmp_path):
    pages = {frame: page(frame) for frame in (3, 9, 12, 13, 66, 69)}
    specs = []
    for number, split in enumerate([(0, cut), (cut, 70)]):
        machine = b"Unknown" if layout == "64" else b"arm"
        dump = Kdump(pages, {10, 11}, layout=layout, machine=machine, split=split)
        (tmp_path / str(number)).write_bytes(dump.build())
        specs.append(str(tmp_path / str(number)))
    whole = open_memory(",".join(specs)).memory
    assert [bank.base // PAGE for bank in whole.banks] == [3, 9, 66, 69]
    for frame, data in pages.items():
        assert whole.read(frame * PAGE, PAGE) == data
    with pytest.raises(InputError, match="overlapping banks"):
        open_memory(",".join([specs[0], *specs]))


@st.composite
def dumps(draw):
    frames = draw(st.sets(st.one_of(st.integers(0, 40), st.integers(500, 1100)), min_size=1))
    held = {frame for frame in frames if draw(st.booleans())}
    return frames, held


@given(dumps(), st.sampled_from([1, 8, 512, 700]), st.sampled_from([4, 8]))
def test_bitmaps_against_pieces(tmp_path_factory, dump, count, word):
    frames, held = dump
    path = tmp_path_factory.getbasetemp() / "any.kdump"
    path.write_bytes(Kdump({f: page(f) for f in held}, frames, flags=0).build())
    memory = open_memory(str(path)).memory
    plain = BankedMemory(
        Piece(f * PAGE, PAGE, np.frombuffer(page(f), np.uint8) if f in held else None)
        for f in frames
    )
    assert memory.banks == plain.banks
    places = [f * PAGE + at for f in (*frames, 3, 1101) for at in (0, 8, PAGE - 8, PAGE - 4)]
    pa = np.array(places, np.uint64)
    for got, expected in zip(
        memory.read_words(pa, count, word), plain.read_words(pa, count, word), strict=True
    ):
        assert (got == expected).all()
    assert (memory.contains(pa) == plain.contains(pa)).all()
    for bank in memory.banks:
        assert memory.read(bank.base, bank.size) == plain.read(bank.base, bank.size)
    # What is written covers all pages, and is memory.
    runs = memory.written()
    for f in held:
        assert any(run.base <= f * PAGE < run.end for run in runs)
    for run in runs:
        assert memory.contains(np.arange(run.base, run.end, PAGE, dtype=np.uint64)).all()


def test_far_frames_cost_little(opened):
    """Bits for 4 TiB below the first page."""
    far = 1 << 30
    memory = opened(Kdump({far: page(1)}).build()).memory
    assert memory.banks == (Bank(far * PAGE, PAGE),)
    assert memory.read(far * PAGE, PAGE) == page(1)


@given(st.lists(st.integers(0, 30000), max_size=8))
def test_flattened(tmp_path_factory, cuts):
    dump = Kdump({n: page(n) for n in range(16, 20)}).build()
    path = tmp_path_factory.getbasetemp() / "flat"
    path.write_bytes(flattened(dump, cuts))
    assert open_memory(str(path)).memory.read(17 * PAGE, PAGE) == page(17)


def test_later_records_count(opened):
    """makedumpfile writes its header again when it is done."""
    dump = Kdump({16: page(16)}).build()
    flat = flattened(b"KDUMP   " + bytes(100) + dump[108:], [])
    flat = flat[:-16] + struct.pack(">qq", 0, 108) + dump[:108] + flat[-16:]
    assert opened(flat).memory.read(16 * PAGE, PAGE) == page(16)


GOOD = Kdump({n: page(n) for n in range(16, 20)})
DATA = GOOD.build()


def changed(at: int, form: str, value: int) -> bytes:
    size = struct.calcsize(form)
    return DATA[:at] + struct.pack(form, value) + DATA[at + size :]


DESCRIPTORS = 2 * PAGE + 2 * PAGE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATA[:100], "damaged or truncated kdump header"),
        (DATA[:8], "kdump header of version 0, not one of 1 to 6"),
        (changed(8, "<I", 7), "kdump header of version 7"),
        (Kdump({1: page(1)}, machine=b"x86_64").build(), "a dump of b'x86_64', not of an Arm"),
        (changed(428, "<I", 4095), "damaged or truncated kdump header"),
        (changed(428, "<I", 1 << 30), "damaged or truncated kdump header"),
        (changed(432, "<I", 0), "damaged or truncated kdump header"),
        (changed(432, "<I", 1 << 31), "damaged or truncated kdump header"),
        (changed(436, "<I", 0xFFFFFFFF), "damaged or truncated kdump header"),
        (changed(PAGE + 96, "<Q", 1 << 60), "damaged or truncated kdump header"),
        (changed(PAGE + 40, "<Q", 1 << 63), "damaged or truncated kdump header"),
        (DATA[: 2 * PAGE] + bytes(2 * PAGE) + DATA[4 * PAGE :], "the dump holds no memory"),
        (flattened(DATA, [])[:-1], "truncated: flattened dump without an end"),
        (flattened(DATA, [])[:4100], "truncated: flattened dump without an end"),
        (flattened(DATA, [])[:-20], "record 0 of the flattened dump lacks 4 bytes"),
        (flattened(DATA, [])[:20], "truncated: flattened dump without a header"),
        (flattened(DATA, [], version=2), "flattened dump of type 1, version 2: not known"),
        (flattened(b"", [])[:4096] + struct.pack(">qq", 5, -2), "record 0 of the flattened dump"),
        (flattened(b"", [])[:4096] + struct.pack(">qq", 5, 9), "record 0 of the flattened dump l"),
        (
            flattened(b"", [])[:4096] + struct.pack(">qq", 1 << 62, 1) + b"x",
            "unpacks to more than the limit",
        ),
    ],
)
def test_damaged_headers(data, words, opened):
    with pytest.raises(InputError) as caught:
        opened(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (DATA[: DESCRIPTORS + 30], "truncated: page descriptor 1 is missing"),
        (changed(DESCRIPTORS + 24, "<Q", 1 << 63), "page 1 has"),
        (changed(DESCRIPTORS + 32, "<I", 5000), "page 1 has 0x1388 bytes"),
        (changed(DESCRIPTORS + 32, "<I", 4), "damaged: page 1: "),
        (changed(DESCRIPTORS + 36, "<I", 0), "damaged: page 1: 37 bytes instead of 4096"),
        (changed(DESCRIPTORS + 36, "<I", 3), "damaged: page 1: flags 0x3"),
        *(
            (changed(DESCRIPTORS + 36, "<I", flags), "damaged: page 1: ")
            for flags in (0x2, 0x4, 0x20)
        ),
    ],
)
def test_damaged_pages(data, words, opened):
    memory = opened(data).memory
    with pytest.raises(InputError) as caught:
        memory.read(17 * PAGE, 1)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flags", [0x1, 0x2, 0x4, 0x20])
def test_a_page_that_unpacks_to_another_size(flags, opened):
    """Codecs never take more memory than a page, whatever the data say."""
    for size in (PAGE // 2, 16 * PAGE):
        dump = Kdump({16: page(16)}, flags=flags)
        packed = PACKERS[flags](bytes(size))
        data = bytearray(dump.build())
        struct.pack_into("<QI", data, DESCRIPTORS, len(data), len(packed))
        with pytest.raises(InputError, match="damaged: page 0: "):
            opened(bytes(data) + packed).memory.read(16 * PAGE, 1)


def test_a_zstd_frame_that_claims_a_huge_size(opened):
    frame = bytes.fromhex("28b52ffd") + b"\xe0" + struct.pack("<Q", 1 << 40) + bytes(8)
    data = bytearray(Kdump({16: page(16)}, flags=0x20).build())
    struct.pack_into("<QI", data, DESCRIPTORS, len(data), len(frame))
    with pytest.raises(InputError, match="1099511627776 bytes instead of 4096"):
        opened(bytes(data) + frame).memory.read(16 * PAGE, 1)


def test_a_bitmap_that_is_a_comb(opened):
    """Every second frame of 2^18 is a bank of its own: more than any machine has."""
    frames = set(range(0, 1 << 18, 2))
    with pytest.raises(InputError, match="more than 65536 runs of memory"):
        opened(Kdump({0: page(0)}, frames).build())


def test_each_page_is_unpacked_once(opened, monkeypatch):
    from ttbr.memory import kdump

    counted = []
    monkeypatch.setitem(
        kdump.CODECS, 0x1, lambda data, size: counted.append(1) or packed_page[:size]
    )
    packed_page = page(1)
    memory = opened(Kdump({n: page(n) for n in range(64)}).build()).memory
    pa = np.arange(0, 64 * PAGE, 8, dtype=np.uint64)
    for _ in range(3):
        memory.read_words(pa, 1, 8)
        memory.read(0, 64 * PAGE)
    assert len(counted) == 64
