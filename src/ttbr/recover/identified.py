"""What was found out about an image that says nothing of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ttbr.recover.finding import Finding


@dataclass(frozen=True, slots=True)
class Identified:
    """Each finding with its confidence and evidence; None where nothing shows it.

    ``arch``: ``arm64`` or ``arm``; ``format``: the descriptors' name, as `make_regime` knows it.
    ``page_size`` (bytes) is the granule, too. ``va_bits``: address bits that TTBR1 translates (32
    on ARM); ``va_bits_configured``: those that the kernel was built for. Physical addresses:
    ``kernel_root`` (the root that TTBR1 holds), ``swapper_pg_dir``, ``idmap_pg_dir``, ``text_pa``
    (of _text), ``phys_offset`` (memstart_addr on arm64: modulo 2^64), ``user_roots``. Virtual:
    ``page_offset``, ``text_va``. ``kaslr_offset``: how far the image is from its link address.
    ``registers``: values for the regimes, of which ``assumed`` are Linux's usual ones.
    """

    arch: Finding[str]
    format: Finding[str]
    page_size: Finding[int]
    va_bits: Finding[int]
    kernel_root: Finding[int]
    swapper_pg_dir: Finding[int]
    registers: Mapping[str, int]
    assumed: tuple[str, ...]
    va_bits_configured: Finding[int] | None = None
    idmap_pg_dir: Finding[int] | None = None
    page_offset: Finding[int] | None = None
    phys_offset: Finding[int] | None = None
    text_va: Finding[int] | None = None
    text_pa: Finding[int] | None = None
    kaslr_offset: Finding[int] | None = None
    release: Finding[str] | None = None
    banner: Finding[str] | None = None
    user_roots: Finding[tuple[int, ...]] | None = None

    def findings(self) -> dict[str, Finding[Any]]:
        """What was found, by name, in the order of the fields."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Finding)}
