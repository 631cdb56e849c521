"""The words with which Linux's table dumps describe an entry, as tables.

Source: pte_bits and section_bits in arch/arm64/mm/ptdump.c and arch/arm/mm/dump.c, and the bit
definitions in arch/arm64/include/asm/pgtable-hwdef.h, arch/arm/include/asm/pgtable-{2,3}level.h
and pgtable-{2,3}level-hwdef.h (6.1 and 6.12; the tables are the same in both).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce


@dataclass(frozen=True, slots=True)
class Word:
    """What is printed if the bits of ``mask`` have the value ``value``, and what if not.

    None: nothing at all, not even the space between words.
    """

    mask: int
    value: int
    set: str
    clear: str | None = None


Words = Sequence[Word]


def _bit(bit: int, set_: str, clear: str | None = None) -> Word:
    return Word(1 << bit, 1 << bit, set_, clear)


def mask_of(words: Words) -> int:
    """All bits that any of the words looks at: entries that agree in these are one line."""
    return reduce(lambda mask, word: mask | word.mask, words, 0)


def describe(words: Words, entry: int) -> str:
    """The words for an entry, each with a space before it."""
    said = ((w.set if entry & w.mask == w.value else w.clear) for w in words)
    return "".join(f" {text}" for text in said if text is not None)


def _memory_types(mask: int, shift: int, names: Sequence[tuple[int, str]]) -> tuple[Word, ...]:
    return tuple(Word(mask, index << shift, name) for index, name in names)


ARM64: Words = (
    _bit(0, " ", "F"),
    _bit(6, "USR", "   "),
    _bit(7, "ro", "RW"),
    _bit(53, "NX", "x "),
    Word(3 << 8, 3 << 8, "SHD", "   "),
    _bit(10, "AF", "  "),
    _bit(11, "NG", "  "),
    _bit(52, "CON", "   "),
    _bit(1, "   ", "BLK"),
    _bit(54, "UXN", "   "),
    _bit(50, "GP", "  "),
    # The indices are the kernel's own MT_* (asm/memory.h): ptdump does not look at MAIR_EL1.
    *_memory_types(
        7 << 2,
        2,
        (
            (3, "DEVICE/nGnRnE"),
            (4, "DEVICE/nGnRE"),
            (2, "MEM/NORMAL-NC"),
            (0, "MEM/NORMAL"),
            (1, "MEM/NORMAL-TAGGED"),
        ),
    ),
)

# Of Linux's own entries (L_PTE_*), not of the hardware's.
ARM_SHORT_PAGE: Words = (
    _bit(8, "USR", "   "),
    _bit(7, "ro", "RW"),
    _bit(9, "NX", "x "),
    _bit(10, "SHD", "   "),
    *_memory_types(
        0xF << 2,
        2,
        (
            (0x0, "SO/UNCACHED"),
            (0x1, "MEM/BUFFERABLE/WC"),
            (0x2, "MEM/CACHED/WT"),
            (0x3, "MEM/CACHED/WBRA"),
            (0x6, "MEM/MINICACHE"),
            (0x7, "MEM/CACHED/WBWA"),
            (0x4, "DEV/SHARED"),
            (0xC, "DEV/NONSHARED"),
            (0x9, "DEV/WC"),
            (0xB, "DEV/CACHED"),
        ),
    ),
)

# APX is bit 15, AP[1:0] are bits 11:10 (ARMv6 and later).
_AP = 1 << 15 | 3 << 10
ARM_SHORT_SECTION: Words = (
    Word(_AP, 1 << 15 | 1 << 10, "    ro"),
    Word(_AP, 1 << 10, "    RW"),
    Word(_AP, 2 << 10, "USR ro"),
    Word(_AP, 3 << 10, "USR RW"),
    _bit(4, "NX", "x "),
    _bit(16, "SHD", "   "),
)

ARM_LPAE_PAGE: Words = (
    _bit(6, "USR", "   "),
    _bit(58, "ro", "RW"),
    _bit(54, "NX", "x "),
    Word(3 << 8, 3 << 8, "SHD", "   "),
    # Two names of one index are both printed, as the kernel does.
    *_memory_types(
        7 << 2,
        2,
        (
            (0, "SO/UNCACHED"),
            (1, "MEM/BUFFERABLE/WC"),
            (2, "MEM/CACHED/WT"),
            (3, "MEM/CACHED/WBRA"),
            (7, "MEM/CACHED/WBWA"),
            (4, "DEV/SHARED"),
            (1, "DEV/WC"),
            (3, "DEV/CACHED"),
        ),
    ),
)

ARM_LPAE_SECTION: Words = (
    _bit(6, "USR"),
    Word(1 << 58 | 1 << 7, 1 << 58 | 1 << 7, "ro", "RW"),
    _bit(54, "NX", "x "),
    Word(3 << 8, 3 << 8, "SHD", "   "),
)

# The domain field of a first-level short descriptor (asm/domain.h, get_domain_name in dump.c).
ARM_DOMAINS = ("KERNEL ", "USER   ", "IO     ", "VECTORS")
ARM_DOMAIN_UNKNOWN = "unknown"
