"""build_mem_type_table and the entries made from it, against values read off real kernels."""

import numpy as np
import pytest

from ttbr.boot.arm.mem_types import build_mem_type_table, io_mmuflags, mm_mmuflags
from ttbr.kernel.arm_prot import (
    LPAE,
    SHORT,
    Domains,
    fixmap_page_io,
    kernel_table,
    set_pte_lpae,
    set_pte_short,
    set_pte_v6,
)
from ttbr.kernel.config import Config

DOMAINS = Domains(kernel=0, user=1, io=2, vectors=3)

# type: (Linux PTE, hardware PTE, section, table); None where the type has none
SMP = {
    "MEMORY_RWX": (0x45F, 0x45E, 0x1140E, 0x01),
    "MEMORY_RW": (0x65F, 0x45F, 0x1141E, 0x01),
    "MEMORY_RO": (0x6DF, 0x65F, 0x1941E, 0x01),
    "ROM": (None, None, 0x940E, None),
    "MEMORY_RWX_NONCACHED": (0x447, 0x416, 0x10406, 0x01),
    "MEMORY_RW_SO": (0x243, 0x013, 0x10412, 0x01),
    "MEMORY_DMA_READY": (0x65F, 0x45F, None, 0x01),
    "MEMORY_RW_DTCM": (0x243, 0x013, 0x12, 0x01),
    "MEMORY_RWX_ITCM": (0x043, 0x012, None, 0x01),
    "DEVICE": (0x653, 0x453, 0x11452, 0x41),
    "DEVICE_NONSHARED": (0x273, 0x053, 0x1452, 0x41),
    "DEVICE_CACHED": (0x66F, 0x41F, 0x1045E, 0x41),
    "DEVICE_WC": (0x667, 0x417, 0x10456, 0x41),
    "UNCACHED": (0x243, 0x013, 0x52, 0x41),
    "HIGH_VECTORS": (0x5DF, 0x67E, None, 0x61),
    "LOW_VECTORS": (0x4DF, 0x65E, None, 0x61),
    "CACHECLEAN": (None, None, 0x841E, None),
    "MINICLEAN": (None, None, 0x941A, None),
}
UP = SMP | {
    "MEMORY_RWX": (0x04F, 0x01E, 0x40E, 0x01),
    "MEMORY_RW": (0x24F, 0x01F, 0x41E, 0x01),
    "MEMORY_RO": (0x2CF, 0x21F, 0x841E, 0x01),
    "ROM": (None, None, 0x840E, None),
    "MEMORY_RWX_NONCACHED": (0x047, 0x016, 0x406, 0x01),
    "MEMORY_DMA_READY": (0x24F, 0x01F, None, 0x01),
    "DEVICE_CACHED": (0x26F, 0x01F, 0x45E, 0x41),
    "DEVICE_WC": (0x267, 0x017, 0x456, 0x41),
    "HIGH_VECTORS": (0x1CF, 0x23E, None, 0x61),
    "LOW_VECTORS": (0x0CF, 0x21E, None, 0x61),
}
LPAE_SECTIONS = {
    "MEMORY_RWX": 0x71D,
    "MEMORY_RW": 0x0040_0000_0000_071D,
    "MEMORY_RO": 0x0440_0000_0000_079D,
    "ROM": 0x41D,
    "DEVICE": 0x0040_0000_0000_0701,
    "DEVICE_NONSHARED": 0x0040_0000_0000_0401,
    "DEVICE_WC": 0x0040_0000_0000_0705,
    "MEMORY_RW_SO": 0x0040_0000_0000_0701,
}
LPAE_PAGES = {
    "MEMORY_RWX": 0x0080_0000_0000_071F,
    "MEMORY_RW": 0x00C0_0000_0000_071F,
    "MEMORY_RO": 0x04C0_0000_0000_079F,
    "DEVICE": 0x00C0_0000_0000_0713,
    "MEMORY_DMA_READY": 0x00C0_0000_0000_071F,
    "HIGH_VECTORS": 0x0480_0000_0000_07DF,
    "LOW_VECTORS": 0x0480_0000_0000_079F,
}


def one(value):
    return np.array([value], np.uint64)


@pytest.mark.parametrize(("smp", "rows"), [(True, SMP), (False, UP)], ids=["smp", "up"])
def test_short_descriptor_rows(smp, rows):
    table = build_mem_type_table(SHORT, DOMAINS, smp=smp)
    assert table.keys() == rows.keys()
    for name, (pte, hardware, section, first_level) in rows.items():
        kind = table[name]
        assert kind.prot_pte == (pte or 0), name
        assert kind.prot_sect == (section or 0), name
        assert kind.prot_l1 == (first_level or 0), name
        if hardware is not None:
            assert int(set_pte_short(one(kind.prot_pte))[0]) == hardware, name


def test_lpae_rows():
    table = build_mem_type_table(LPAE, DOMAINS, smp=True)
    for name, section in LPAE_SECTIONS.items():
        assert table[name].prot_sect == section, name
    for name, page in LPAE_PAGES.items():
        assert int(set_pte_lpae(one(table[name].prot_pte))[0]) == page, name
        assert table[name].prot_l1 == 3, name
    up = build_mem_type_table(LPAE, DOMAINS, smp=False)
    assert up["MEMORY_RWX"].prot_sect == 0x40D


def test_domain_numbers_move_the_device_types():
    exchanged = build_mem_type_table(SHORT, Domains(kernel=2, user=1, io=0, vectors=3), smp=True)
    assert exchanged["MEMORY_RW"].prot_sect == 0x1145E
    assert exchanged["DEVICE"].prot_sect == 0x11412
    assert kernel_table(SHORT, Config({"IO_36": "y"})) == 0x51


def test_ecc_sets_the_protection_bit_of_memory_and_vectors():
    table = build_mem_type_table(SHORT, DOMAINS, smp=False, ecc=True)
    assert table["MEMORY_RW"].prot_sect == 0x61E
    assert table["HIGH_VECTORS"].prot_l1 == 0x261
    assert table["DEVICE"] == build_mem_type_table(SHORT, DOMAINS, smp=False)["DEVICE"]


def test_flags_of_the_first_tables():
    assert mm_mmuflags(SHORT, smp=True) == 0x11C0E
    assert mm_mmuflags(SHORT, smp=False) == 0x00C0E
    assert mm_mmuflags(LPAE, smp=True) == 0x71D
    assert io_mmuflags(SHORT) == 0xC12
    assert kernel_table(SHORT, Config({})) == 0x11
    assert kernel_table(LPAE, Config({})) == 3
    assert fixmap_page_io(SHORT) == 0x653


def test_hardware_entry_follows_young_dirty_user_and_none():
    base = SHORT.present | SHORT.young | SHORT.dirty
    entry = 0x1234_5000 | base | 0x1C  # write-allocate memory

    def hardware(pte):
        return int(set_pte_short(one(pte))[0])

    assert hardware(entry) == 0x1234_505E
    assert hardware(entry & ~SHORT.young) == 0, "an old page faults"
    assert hardware(entry & ~SHORT.present) == 0
    assert hardware(entry | 1 << 11) == 0, "PROT_NONE faults"
    assert hardware(entry & ~SHORT.dirty) == 0x1234_525E, "a clean page is read-only"
    assert hardware(entry | SHORT.rdonly) == 0x1234_525E
    assert hardware(entry | SHORT.user) == 0x1234_507E
    assert hardware(entry | SHORT.xn) == 0x1234_505F
    assert int(set_pte_short(one(entry), ext=1 << 11)[0]) == 0x1234_585E


def test_lpae_entry_follows_dirty_and_none():
    base = LPAE.present | LPAE.young | LPAE.dirty | 0x1_2345_6000

    def stored(pte):
        return int(set_pte_lpae(one(pte))[0])

    assert stored(base) == base
    assert stored(base & ~LPAE.dirty) == base & ~LPAE.dirty | 1 << 7
    assert stored(base | LPAE.rdonly | 1 << 7) == base | LPAE.rdonly | 1 << 7
    assert stored(base | 1 << 7) == base, "a writable dirty page loses AP[2]"
    assert stored(base | 1 << 57) == (base | 1 << 57) & ~1
    assert stored(0) == 0


# Without TEX remap and as one core: (pte, hardware, section). The vectors differ by what the kernel
# takes the CPU for. MEMORY_*, vectors and DMA_READY as an ARM1176 was seen to have them (6.1).
ARM1176 = {
    "DEVICE": (0x653, 0x417, 0x10456),
    "DEVICE_NONSHARED": (0x273, 0x093, 0x02452),
    "DEVICE_CACHED": (0x26F, 0x01F, 0x0045E),
    "DEVICE_WC": (0x267, 0x053, 0x01452),
    "MEMORY_RWX": (0x04F, 0x01E, 0x0040E),
    "MEMORY_RW": (0x24F, 0x01F, 0x0041E),
    "MEMORY_RO": (0x2CF, 0x21F, 0x0841E),
    "MEMORY_DMA_READY": (0x24F, 0x01F, 0),
    "MEMORY_RWX_NONCACHED": (0x047, 0x052, 0x01402),
    "MEMORY_RW_SO": (0x243, 0x013, 0x10412),
    "HIGH_VECTORS": (0x1CF, 0x22E, 0),
    "LOW_VECTORS": (0x0CF, 0x21E, 0),
}
ARM1136 = ARM1176 | {"HIGH_VECTORS": (0x1FF, 0x02E, 0), "LOW_VECTORS": (0x0FF, 0x01E, 0)}


@pytest.mark.parametrize(("architecture", "rows"), [(7, ARM1176), (6, ARM1136)])
def test_armv6_rows(architecture, rows):
    table = build_mem_type_table(
        SHORT, DOMAINS, smp=False, tex_remap=False, architecture=architecture
    )
    for name, (pte, hardware, section) in rows.items():
        assert table[name].prot_pte == pte, name
        assert table[name].prot_sect == section, name
        assert int(set_pte_v6(one(pte))[0]) == hardware, name


def test_tex_remap_is_nothing_to_what_counts_as_armv6():
    old = build_mem_type_table(SHORT, DOMAINS, smp=True, tex_remap=False, architecture=6)
    assert old == build_mem_type_table(SHORT, DOMAINS, smp=True, tex_remap=True, architecture=6)
    assert old["MEMORY_RWX"].prot_sect == 0x1140E
    assert old["DEVICE_WC"].prot_sect == 0x11452


def test_armv6_entry_follows_young_dirty_user_and_none():
    base = SHORT.present | SHORT.young | SHORT.dirty
    entry = 0x1234_5000 | base | 0x1C  # write-allocate memory

    def hardware(pte):
        return int(set_pte_v6(one(pte))[0])

    assert hardware(entry) == 0x1234_505E
    assert hardware(entry & ~SHORT.young) == 0
    assert hardware(entry | 1 << 11) == 0
    assert hardware(entry & ~SHORT.dirty) == 0x1234_525E
    assert hardware(entry | SHORT.user) == 0x1234_507E
    assert hardware(entry | SHORT.user | SHORT.rdonly) == 0x1234_526E, "the kernel reads only, too"
    assert hardware(entry | SHORT.xn) == 0x1234_505F
