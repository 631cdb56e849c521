"""Images in every format against the same memory as a raw file."""

import lzma
from collections.abc import Callable

import guest_memory
import numpy as np
import pytest

import ttbr
from ttbr.mmu.mappings import Mappings

REGISTERS = {
    "arm64": guest_memory.listed(guest_memory.ARM64),
    "arm": guest_memory.listed(guest_memory.ARM),
}


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The memory that every makedumpfile dump was made from, as FILE@BASE."""
    path = tmp_path_factory.mktemp("guest") / "raw"
    path.write_bytes(guest_memory.memory())
    return f"{path}@{guest_memory.BASE:#x}"


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """The bytes of a dump in the repository."""

    def read(name: str) -> bytes:
        return lzma.decompress((guest_memory.DUMPS / f"{name}.xz").read_bytes())

    return read


def mappings(spec: str, arch: str) -> Mappings:
    """The kernel's mappings in an image, with the registers of the guest's tables."""
    return ttbr.open(spec, REGISTERS[arch]).address_space("kernel").mappings()


@pytest.fixture
def same_mappings() -> Callable[[str, str, str], int]:
    """Fails unless two images map the same; how many mappings they have."""

    def compare(spec: str, reference: str, arch: str) -> int:
        one, other = mappings(spec, arch), mappings(reference, arch)
        for column in ("va", "pa", "size", "level", "table"):
            assert np.array_equal(getattr(one, column), getattr(other, column)), column
        assert [one.attribute_values[n] for n in one.attributes] == [
            other.attribute_values[n] for n in other.attributes
        ]
        assert len(one.va)
        return len(one.va)

    return compare
