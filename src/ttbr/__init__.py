"""ARM and ARM64 virtual memory under Linux: predicts the tables of a boot, reads an image's."""

from importlib.metadata import PackageNotFoundError, version

from ttbr.errors import TtbrError
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.recover.open import open

try:
    __version__ = version("ttbr")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "unknown"

__all__ = ["AddressSpace", "Image", "TtbrError", "__version__", "open"]
