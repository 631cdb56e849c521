"""Backward, to the letter: the kernel's own dump of its tables, from RAM and registers alone."""

from collections.abc import Callable

import numpy as np
import pytest
from recorded import Recorded

from ttbr.mmu.mappings import Mappings
from ttbr.recover.markers import find_markers
from ttbr.recover.markers_computed import computed_markers
from ttbr.recover.release import find_release
from ttbr.report.ptdump import ptdump


@pytest.fixture
def kernels_own(machine: Recorded) -> str:
    """What the kernel itself printed, if it was built to."""
    try:
        return machine.text("kernel_page_tables.txt")
    except FileNotFoundError:
        pytest.skip("the recorded kernel cannot dump its tables")


def test_dump_is_the_kernels_own(
    machine: Recorded, kernels_own: str, say: Callable[[str], None]
) -> None:
    release = find_release(machine.image.memory)
    markers = find_markers(machine.image)
    dump = ptdump(machine.image.address_space("kernel"), markers.markers, release)
    ours, theirs = dump.text.splitlines(), kernels_own.splitlines()
    equal = sum(a == b for a, b in zip(ours, theirs, strict=False))
    say(f"{machine.case}: {equal} of {len(theirs)} lines of the kernel's table dump equal")
    assert ours == theirs
    assert dump.text == kernels_own
    assert dump.missing == ()
    assert markers.unknown == ()


def test_release_is_found(machine: Recorded) -> None:
    release = find_release(machine.image.memory)
    assert release is not None
    assert release.text == machine.expected["kernel_release"]
    # Debian's banner also has the version of the sources; the recordings name its beginning.
    assert (
        machine.expected["kernel_version"].find(
            f"{release.major}.{release.minor}.{release.sublevel}"
        )
        > 0
    )


@pytest.mark.usefixtures("kernels_own")
def test_computed_markers_are_the_kernels(machine: Recorded) -> None:
    """What a kernel without markers of its own would get is what this one has."""
    own = {name: va for va, name in find_markers(machine.image).markers}
    release = find_release(machine.image.memory)
    markers, unknown, _ = computed_markers(machine.image, release)
    assert {name for _, name in markers} | set(unknown) == set(own)
    # A 52-bit kernel looks like one of 48 bits to its tables where the CPU has no more.
    hidden = {"Linear Mapping start"} if machine.case == "arm64-4k-52-on-48" else set()
    assert {name for va, name in markers if own[name] != va} == hidden


def test_reverse_finds_every_kernel_mapping(machine: Recorded, say: Callable[[str], None]) -> None:
    """kmalloc, vmalloc and vmap mappings: by address, and back from the physical address."""
    space = machine.image.address_space("kernel")
    mappings: Mappings = space.mappings()
    assert mappings.truncated is None
    assert not len(mappings.unreadable)
    maps = machine.expected["kernel_maps"]
    for row in maps:
        va, pa = int(row["va"], 16), int(row["pa"], 16)
        assert space.translate(va).pa == pa
        assert va in mappings.reverse(pa)
    vas = np.array([int(row["va"], 16) for row in maps], np.uint64)
    assert space.translate_many(vas).pa.tolist() == [int(row["pa"], 16) for row in maps]
    say(f"{machine.case}: {len(maps)} of {len(maps)} known kernel mappings found both ways")
