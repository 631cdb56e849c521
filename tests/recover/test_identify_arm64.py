"""Finding a kernel by structure alone: every page and VA size that Linux can have, and nonsense."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recover.arm64_machine import (
    DATA,
    LINEAR_TABLE,
    NEWEST,
    TABLE,
    USER,
    USER_TABLE,
    G,
    K,
    M,
    Machine,
    build,
    with_junk,
)

from ttbr.kernel.release import Release
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.mmu.image import Image
from ttbr.recover.finding import Confidence
from ttbr.recover.identified import Identified
from ttbr.recover.identify import identify, with_registers

GEOMETRIES = [
    (0x1000, 39, 39),
    (0x1000, 48, 48),
    (0x1000, 52, 52),
    (0x1000, 52, 48),
    (0x4000, 36, 36),
    (0x4000, 47, 47),
    (0x4000, 48, 48),
    (0x4000, 52, 52),
    (0x4000, 52, 47),
    (0x10000, 42, 42),
    (0x10000, 48, 48),
    (0x10000, 52, 52),
    (0x10000, 52, 48),
]
OLD = Release(6, 1, 176)


def agrees(found: Identified | None, machine: Machine) -> None:
    assert found is not None
    assert found.arch.value == "arm64"
    assert found.page_size.value == machine.granule
    assert found.va_bits.value == machine.va_bits
    assert found.kernel_root.value == machine.root
    assert found.kernel_root.confidence is Confidence.CERTAIN
    assert found.swapper_pg_dir.value == machine.swapper
    assert found.va_bits_configured.value == machine.configured
    assert found.page_offset.value == machine.layout.page_offset
    assert found.phys_offset.value == machine.memstart
    assert found.text_pa.value == machine.text_pa
    assert found.kaslr_offset.value == machine.slide
    assert found.idmap_pg_dir.value == machine.idmap
    assert found.user_roots.value == machine.processes


# 52 bits with 4K and 16K pages came with 6.9.
OF_RELEASES = [
    (*geometry, release)
    for geometry in GEOMETRIES
    for release in (OLD, NEWEST)
    if release == NEWEST or geometry[1] < 52 or geometry[0] == 0x10000
]


@pytest.mark.parametrize(("granule", "configured", "va_bits", "release"), OF_RELEASES)
def test_every_geometry(granule: int, configured: int, va_bits: int, release: Release) -> None:
    machine = build(granule, configured, va_bits, release=release)
    agrees(identify(machine.ram, user_roots=True), machine)


@pytest.mark.parametrize(("granule", "configured", "va_bits"), GEOMETRIES)
def test_the_regime_is_the_one_that_maps_the_kernel(
    granule: int, configured: int, va_bits: int
) -> None:
    machine = build(granule, configured, va_bits)
    image, found = with_registers(Image(machine.ram))
    assert found is not None
    assert image.kernel_regime.input_bits == va_bits
    answer = image.translate(machine.layout.kimage_vaddr + 0x1234)
    assert answer.pa == machine.text_pa + 0x1234
    # Registers that are given win.
    given = Image(machine.ram, {"MAIR_EL1": 0x44})
    assert with_registers(given)[0].registers["MAIR_EL1"] == 0x44


@settings(max_examples=15)
@given(
    geometry=st.sampled_from(GEOMETRIES),
    steps=st.integers(1, 1 << 10),
    at=st.integers(0, 100),
    shift=st.integers(0, 64),
    base=st.integers(0, 64),
)
def test_kaslr(geometry: tuple[int, int, int], steps: int, at: int, shift: int, base: int) -> None:
    """Any place in RAM at a multiple of 64K, any offset, any shift of the linear map."""
    granule, configured, va_bits = geometry
    text_at = at % 6 * M + at * 64 * K % (2 * M)
    room = va_bits < 42
    slide = (steps % 64 if room else steps) * 2 * M + text_at % (2 * M)
    moved = 0 if room else shift * G
    machine = build(
        granule,
        configured,
        va_bits,
        base=base * G,
        slide=slide,
        text_at=text_at,
        shift=moved,
    )
    agrees(identify(machine.ram, user_roots=True), machine)


def test_the_header_names_text() -> None:
    machine = build(0x1000, 48, 48)
    machine.ram.write(machine.text_pa + 56, b"ARM\x64")
    found = identify(machine.ram)
    assert found is not None
    assert found.text_pa is not None
    assert found.text_pa.value == machine.text_pa
    assert found.text_pa.confidence is Confidence.CERTAIN


def test_a_banner_in_the_image_counts() -> None:
    machine = build(0x1000, 48, 48, slide=8 * M, release=OLD)
    banner = b"Linux version 6.1.0-9-arm64 (me@here) (gcc) #1 SMP Debian 6.1.27-1\n\0"
    machine.ram.write(machine.text_pa + 3 * M + 64 * K, banner)
    machine.ram.write(machine.text_pa - M, banner.replace(b"6.1.0-9", b"4.4.0-1"))
    found = identify(machine.ram)
    assert found is not None
    assert found.release is not None
    assert found.banner is not None
    assert found.release.value == "6.1.0-9-arm64"
    assert found.banner.value == banner[:-2].decode()
    assert found.banner.confidence is Confidence.CERTAIN
    assert found.kaslr_offset is not None
    assert "6.1.0-9-arm64" in found.kaslr_offset.evidence


def test_copies_of_the_tables_are_not_the_tables() -> None:
    """A copy of the root elsewhere in RAM maps the kernel, too, but not itself in the image."""
    machine = build(0x1000, 48, 48)
    root = machine.ram.read(machine.swapper, 0x1000)
    machine.ram.write(G + 16 * M, root)
    machine.ram.write(G + 20 * M, root)
    agrees(identify(machine.ram, user_roots=True), machine)


def test_junk_in_ram_changes_nothing() -> None:
    machine = build(0x4000, 47, 47)
    with_junk(machine.ram, G + 14 * M, 8 * M, 1)
    agrees(identify(machine.ram, user_roots=True), machine)


def test_nothing_in_empty_memory() -> None:
    assert identify(Ram([Bank(0, 1 << 60)])) is None
    image = Image(Ram([Bank(0x4000_0000, M)]))
    assert with_registers(image) == (image, None)


def raw(words: np.ndarray, base: int = G) -> BankedMemory:
    data = np.frombuffer(words.tobytes(), np.uint8)
    return BankedMemory([Piece(base, len(data), data)])


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=4096), st.integers(0, 1 << 40), st.integers(1, 40))
def test_any_bytes(data: bytes, base: int, times: int) -> None:
    content = np.frombuffer(data * times, np.uint8)
    identify(BankedMemory([Piece(base, len(content), content)]), user_roots=True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 63),
            st.sampled_from(
                [TABLE, LINEAR_TABLE, USER_TABLE, DATA, DATA ^ 2, USER, USER ^ 2, 0x1140E, 0x71D]
            ),
            st.integers(0, 4095),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_tables_in_a_knot(entries: list[tuple[int, int, int, bool]]) -> None:
    """Descriptors that point anywhere among 64 pages, also to their own."""
    words = np.zeros(64 * 512, np.uint64)
    for target, bits, place, everywhere in entries:
        page, index = divmod(place * 8, 512)
        desc = np.uint64((G + target * 4096) | bits)
        if everywhere:
            words[page * 512 : page * 512 + 512] = desc
        words[page * 512 + index] = desc
    identify(raw(words), user_roots=True)


@pytest.mark.parametrize("bits", [0x3, 0x0800 << 48 | 3, 0xE8 << 48 | 0x703, 0xE8 << 48 | 0x701])
def test_all_descriptors_to_one_page(bits: int) -> None:
    """A whole image of descriptors of one table, 16 MiB of them, is answered in time."""
    words = np.full((16 * M) // 8, G | bits, np.uint64)
    start = time.monotonic()
    identify(raw(words), user_roots=True)
    assert time.monotonic() - start < 10


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_damage(data: st.DataObject) -> None:
    """Bytes flipped in the tables and the image cut: an answer or none, never an exception."""
    machine = _small()
    memory = bytearray(machine.ram.read(G, 32 * M))
    places = st.integers(0, 32 * M - 1)
    near = st.integers(machine.swapper - G - 0x4000, machine.swapper - G + 0x2000)
    for place in data.draw(st.lists(places | near, max_size=40)):
        memory[place] ^= data.draw(st.integers(1, 255))
    size = data.draw(st.sampled_from([32 * M, 24 * M, 5 * M + 0x1234, 0x2000]))
    content = np.frombuffer(bytes(memory[:size]), np.uint8)
    identify(BankedMemory([Piece(G, size, content)]), user_roots=True)


_MACHINES: list[Machine] = []


def _small() -> Machine:
    if not _MACHINES:
        _MACHINES.append(build(0x1000, 48, 48))
    return replace(_MACHINES[0], ram=_MACHINES[0].ram.snapshot())


@pytest.mark.parametrize(("sections", "arch"), [(8, "arm64"), (64, "arm")])
def test_tables_of_both_architectures(sections: int, arch: str) -> None:
    """The kernel that maps more RAM is it, and what else there is is said."""
    machine = build(0x1000, 48, 48)
    directory = G + 0x4000
    for n in range(sections):
        entry = G + n % 32 * M | 0x1140E
        machine.ram.write(directory + 4 * (0xC00 + n), entry.to_bytes(4, "little"))
    found = identify(machine.ram)
    assert found is not None
    assert found.arch.value == arch
    assert found.arch.confidence is Confidence.LIKELY
    other = directory if arch == "arm64" else machine.swapper
    assert f"at {other:#x}, too" in found.arch.evidence
    assert found.swapper_pg_dir.value == (machine.swapper if arch == "arm64" else directory)
