"""ARM and ARM64 virtual memory under Linux: predicts the tables of a boot, reads an image's."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttbr.errors import TtbrError
    from ttbr.mmu.address_space import AddressSpace
    from ttbr.mmu.image import Image
    from ttbr.recover.open import open

    __version__: str

__all__ = ["AddressSpace", "Image", "TtbrError", "__version__", "open"]

_HOMES = {
    "AddressSpace": "ttbr.mmu.address_space",
    "Image": "ttbr.mmu.image",
    "TtbrError": "ttbr.errors",
    "open": "ttbr.recover.open",
}


def __getattr__(name: str) -> Any:
    """Load on first use: the command line needs few of these, and NumPy takes its time."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module 'ttbr' has no attribute {name!r}")
    globals()[name] = value
    return value


def _version() -> str:
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("ttbr"))
    except metadata.PackageNotFoundError:  # run from a source tree that was not installed
        return "unknown"
