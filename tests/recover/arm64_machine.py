"""Small arm64 machines: RAM with the tables that Linux would have, for every page and VA size."""

from dataclasses import dataclass

import numpy as np

from ttbr.arch.regime import RegimePair
from ttbr.kernel.arm64_layout import Layout, layout
from ttbr.kernel.config import Config
from ttbr.kernel.release import Release
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.recover.assumed_registers import arm64_registers

K, M, G = 1 << 10, 1 << 20, 1 << 30
OPTIONS = {0x1000: "ARM64_4K_PAGES", 0x4000: "ARM64_16K_PAGES", 0x10000: "ARM64_64K_PAGES"}

# Leaves of 6.1 and 6.12 (asm/pgtable-prot.h): data, code, linear map, device; without SH for LPA2.
DATA, CODE = 0x00E8_0000_0000_0703, 0x00C0_0000_0000_0783
LINEAR, DEVICE = 0x00E8_0000_0000_0707, 0x0068_0000_0000_0713
USER = 0x00E0_0000_0000_0F43
TABLE, LINEAR_TABLE, USER_TABLE = (limits << 48 | 3 for limits in (0x1000, 0x1800, 0x0800))
IMAGE_SIZE, TEXT_SIZE, SWAPPER_AT = 4 * M, 2 * M, 3 * M
NEWEST = Release(6, 12, 117)


@dataclass(frozen=True)
class Machine:
    """A machine at rest and what is true of it; ``root`` is what TTBR1 holds."""

    ram: Ram
    layout: Layout
    granule: int
    configured: int
    va_bits: int
    root: int
    swapper: int
    idmap: int
    text_pa: int
    slide: int
    memstart: int
    processes: tuple[int, ...]


class _Tables:
    """Writes one tree; new tables come from ``free`` downwards."""

    def __init__(self, ram: Ram, granule: int, va_bits: int, root: int, *, upper: bool) -> None:
        pair = RegimePair.from_registers(arm64_registers(granule, va_bits, 0))
        regime = pair.upper if upper else pair.lower
        assert regime is not None
        self.ram, self.granule, self.root, self.regime = ram, granule, root, regime

    def map(self, va: int, pa: int, size: int, leaf: int, free: list[int], table: int) -> None:
        lpa2 = 0x300 if self.regime.format.title.endswith("LPA2") else 0
        for offset in range(0, size, self.granule):
            at = self.root
            for level in self.regime.levels[:-1]:
                place = at + 8 * level.index(va + offset - self.regime.base)
                desc = int.from_bytes(self.ram.read(place, 8), "little")
                if not desc:
                    free[0] -= self.granule
                    desc = free[0] | table
                    self.ram.write(place, desc.to_bytes(8, "little"))
                at = desc & (1 << 48) - self.granule
            place = at + 8 * self.regime.levels[-1].index(va + offset - self.regime.base)
            self.ram.write(place, (pa + offset | leaf & ~lpa2).to_bytes(8, "little"))


def build(
    granule: int,
    configured: int,
    va_bits: int,
    *,
    base: int = G,
    slide: int = 0,
    text_at: int = 2 * M,
    shift: int = 0,
    release: Release = NEWEST,
) -> Machine:
    """A machine with 32 MiB of RAM at ``base`` and a process.

    ``slide``: KASLR offset of the image; ``text_at``: bytes from ``base`` to _text; ``shift``: what
    KASLR takes from memstart_addr.
    """
    size = 32 * M
    ram = Ram([Bank(base, size)])
    space = layout(
        Config({OPTIONS[granule]: "y", "ARM64_VA_BITS": str(configured)}), release, va_bits
    )
    text_pa = base + text_at
    text_va = space.kimage_vaddr + slide
    swapper, free = text_pa + SWAPPER_AT, [base + size]
    # A root of 64K pages has the configured size, whatever the CPU translates.
    indexed = configured if granule == 0x10000 else va_bits
    tables = _Tables(ram, granule, indexed, swapper, upper=True)
    root = swapper
    if granule == 0x10000 and configured != va_bits:
        root += 8 * (1024 - 64)
    memstart = (base & -G) - shift
    linear = space.linear_start - memstart
    tables.map(base + linear, base, size, LINEAR, free, LINEAR_TABLE)
    tables.map(text_va, text_pa, 64 * K, DATA, free, TABLE)
    tables.map(text_va + 64 * K, text_pa + 64 * K, TEXT_SIZE, CODE, free, TABLE)
    rest = 64 * K + TEXT_SIZE
    tables.map(text_va + rest, text_pa + rest, IMAGE_SIZE - rest, DATA, free, TABLE)
    tables.map(space.fixaddr_top - granule, 0x900_0000 & -granule, granule, DEVICE, free, 3)
    stored = (memstart - (space.linear_start - space.page_offset)) % (1 << 64)
    ram.write(text_pa + IMAGE_SIZE - 8, stored.to_bytes(8, "little"))

    idmap = swapper - 3 * granule
    # The identity map has more bits than the kernel where the image's address needs them
    idmap_bits = 48 if va_bits > 39 or text_pa >> va_bits else va_bits
    lower = _Tables(ram, granule, idmap_bits, idmap, upper=False)
    lower.map(text_pa + M, text_pa + M, granule, CODE, free, TABLE)
    process = base + 10 * M
    user = _Tables(ram, granule, va_bits, process, upper=False)
    user.map(0x40_0000, base + 12 * M, 4 * granule, USER, free, USER_TABLE)
    return Machine(
        ram=ram,
        layout=space,
        granule=granule,
        configured=configured,
        va_bits=va_bits,
        root=root,
        swapper=swapper,
        idmap=idmap,
        text_pa=text_pa,
        slide=slide,
        memstart=stored,
        processes=(process,),
    )


def with_junk(ram: Ram, start: int, size: int, seed: int) -> None:
    """Fill memory with bytes of no meaning."""
    junk = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    ram.write(start, junk.tobytes())
