"""What follows from the tables of an arm64 kernel: layout, image, KASLR, PHYS_OFFSET, idmap.

Source: arch/arm64/include/asm/memory.h, arch/arm64/mm/init.c (arm64_memblock_init),
arch/arm64/kernel/vmlinux.lds.S, as told by `ttbr.kernel.arm64_layout`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ttbr.arch.regime import RegimePair
from ttbr.arch.vmsav8_64 import GRANULES
from ttbr.kernel.arm64_geometry import IDMAP_VA_BITS
from ttbr.kernel.arm64_layout import Layout, layout
from ttbr.kernel.config import Config
from ttbr.kernel.image_header import ARM64_MAGIC, ARM64_MAGIC_AT
from ttbr.kernel.release import Release
from ttbr.memory.physical import OutsideMemory
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.walk import Budget
from ttbr.recover.assumed_registers import arm64_registers
from ttbr.recover.finding import Confidence, Finding, certain, guess, likely
from ttbr.recover.identified import Identified
from ttbr.recover.kernel_map import ADDRESSES, IMAGE_ALIGN, WITHOUT_52, Candidate, KernelMap
from ttbr.recover.vmcoreinfo import VmcoreInfo

K, M, G = 1 << 10, 1 << 20, 1 << 30
PAGE_OPTIONS = {0x1000: "ARM64_4K_PAGES", 0x4000: "ARM64_16K_PAGES", 0x10000: "ARM64_64K_PAGES"}
# vmlinux.lds.S: segments begin at multiples of 64K; [_text, _stext) is one with the header only.
SEGMENT = 64 * K
# One release of each generation of the virtual address layout, from the newest.
_AT_TOP, _MODULES_2G, _BEFORE = Release(6, 12, 0), Release(6, 6, 0), Release(6, 1, 0)
_FIXMAP_AT_TOP = ADDRESSES - 16 * M
_IDMAP_PAGES = 8  # before swapper_pg_dir in which idmap_pg_dir is looked for
_IMAGE_REACH = 64 * M  # that an image's data can be behind its code
_IDMAP_BUDGET = Budget(1 << 16)


def arm64_facts(
    maps: list[KernelMap], info: VmcoreInfo | None, release: Release | None
) -> Identified:
    """Findings about the first of ``maps``, all of which have an image.

    ``info``: what that kernel wrote down itself, if found; ``release``: its release, if known.
    """
    kernel = maps[0].candidate
    facts = Arm64Facts(maps[0], info, release)
    swapper = _swapper(maps, info)
    sure = swapper.confidence
    size = f"{kernel.granule >> 10}K"
    return Identified(
        arch=Finding("arm64", sure, f"tables of {size} map a kernel that they are in"),
        format=Finding(_format(kernel), sure, "the form of the descriptors in these tables"),
        page_size=Finding(kernel.granule, sure, "the size of these tables"),
        va_bits=Finding(kernel.va_bits, sure, "levels below the root, and its entries in use"),
        kernel_root=replace(swapper, value=kernel.root),
        swapper_pg_dir=swapper if facts.has_linear_map else _maybe_init(swapper),
        registers=arm64_registers(kernel.granule, kernel.va_bits, kernel.root),
        assumed=("MAIR_EL1", "TCR_EL1 but for sizes and granules"),
        va_bits_configured=facts.va_bits_configured,
        idmap_pg_dir=facts.idmap_pg_dir(),
        page_offset=facts.page_offset,
        phys_offset=facts.phys_offset,
        text_va=facts.text_va,
        text_pa=facts.text_pa,
        kaslr_offset=facts.kaslr_offset,
    )


def _format(kernel: Candidate) -> str:
    """The name of the descriptors' format, as `make_regime` knows it."""
    wide = f"-{GRANULES[kernel.granule].wide.value}" if kernel.va_bits == 52 else ""
    return f"arm64-{kernel.granule >> 10}k{wide}"


def _swapper(maps: list[KernelMap], info: VmcoreInfo | None) -> Finding[int]:
    """swapper_pg_dir, and how many others it could be."""
    best = maps[0]
    root = best.candidate.swapper
    text = "the tables below it map the kernel's image and itself in it"
    if info is not None:
        return certain(root, f"vmcoreinfo's swapper_pg_dir; {text}")
    if best.linear_distance is None:
        return likely(root, f"{text}; there is no linear map: the kernel is still booting")
    text += f", and {best.linear_bytes >> 20} MiB of RAM"
    rivals = sum(other.linear_distance is not None for other in maps) - 1
    if rivals:
        return likely(root, f"{text}; {rivals} more do so, of less RAM")
    return certain(root, text)


def _maybe_init(root: Finding[int]) -> Finding[int]:
    """The root of a kernel that still boots, as swapper_pg_dir: before 6.9 that comes later."""
    return guess(root.value, f"{root.evidence}, maybe with init_pg_dir")


@dataclass(frozen=True)
class Arm64Facts:
    """Findings about the kernel of a `KernelMap` that has an image.

    ``info``: what the kernel wrote down itself, if that was found; ``release``: its release, if
    known.
    """

    found: KernelMap
    info: VmcoreInfo | None
    release: Release | None

    @property
    def _candidate(self) -> Candidate:
        return self.found.candidate

    @property
    def _distance(self) -> int:
        assert self.found.image_distance is not None
        return self.found.image_distance

    @property
    def has_linear_map(self) -> bool:
        """Whether RAM is mapped, too: the kernel's final tables are in use."""
        return self.found.linear_distance is not None

    @cached_property
    def va_bits_configured(self) -> Finding[int]:
        """CONFIG_ARM64_VA_BITS: 52 can also mean 48 (47 with 16K pages) translated bits."""
        bits, granule = self._candidate.va_bits, self._candidate.granule
        if self.info is not None and self.info.va_bits is not None:
            return certain(self.info.va_bits, "vmcoreinfo's VA_BITS")
        if bits != WITHOUT_52[granule]:
            return certain(bits, f"only kernels built for {bits} bits translate as many")
        if self._candidate.root != self._candidate.swapper:
            return certain(52, "TTBR1 points into the middle of the root, which is made for 52")
        if self._memstart(52) in self._image_words:
            return certain(52, f"the image's data hold memstart_addr {self._memstart(52):#x}")
        if self._memstart(bits) in self._image_words:
            return certain(bits, f"the image's data hold memstart_addr {self._memstart(bits):#x}")
        return likely(bits, "a kernel for 52 bits would look the same, but is rare")

    def _memstart(self, configured: int) -> int | None:
        """memstart_addr for a number of configured bits; None without a linear map."""
        linear = self.found.linear_distance
        if linear is None:
            return None
        return (-(1 << configured) - linear) % ADDRESSES

    @cached_property
    def _image_words(self) -> frozenset[int]:
        """Those possible values of memstart_addr that are among the words of the image's data."""
        rows = self.found.mappings.where(
            self.found.mappings.va - self.found.mappings.pa == np.uint64(self._distance)
        ).regions()
        possible = {self._memstart(52), self._memstart(self._candidate.va_bits)} - {None}
        end = self.found.code[1] + _IMAGE_REACH
        seen: set[int] = set()
        for va, last, pa in zip(
            rows.va.tolist(), rows.last.tolist(), rows.pa.tolist(), strict=True
        ):
            if not self.found.code[0] <= va < end:
                continue
            try:
                data = self.found.memory.read(pa, min(last, end - 1) - va + 1)
            except OutsideMemory:
                continue
            words = np.frombuffer(data, "<u8")
            seen |= {value for value in possible if value is not None and (words == value).any()}
        return frozenset(seen)

    @property
    def page_offset(self) -> Finding[int]:
        """PAGE_OFFSET, by the configured bits."""
        bits = self.va_bits_configured
        return Finding(ADDRESSES - (1 << bits.value), bits.confidence, f"−2^{bits.value}")

    @property
    def phys_offset(self) -> Finding[int] | None:
        """memstart_addr: the physical address that the linear map has at PAGE_OFFSET."""
        bits = self.va_bits_configured
        value = self._memstart(bits.value)
        if value is None:
            return None
        evidence = f"the linear map of {self.found.linear_bytes >> 20} MiB begins there"
        if self.info is not None and self.info.phys_offset is not None:
            if self.info.phys_offset == value:
                return certain(value, f"vmcoreinfo's PHYS_OFFSET, and {evidence}")
            return likely(value, f"{evidence}; vmcoreinfo says {self.info.phys_offset:#x}")
        return Finding(value, bits.confidence, evidence)

    @cached_property
    def text_va(self) -> Finding[int]:
        """_text: where the image begins, with its header."""
        start, code = self.found.image[0], self.found.code[0]
        if self.info is not None and "_text" in self.info.symbols:
            return certain(self.info.symbols["_text"], "vmcoreinfo's _text")
        places = [start, start - SEGMENT, *range(start + SEGMENT, start + IMAGE_ALIGN, SEGMENT)]
        for va in places:
            if self._is_header(va):
                return certain(va, f"the header of an Image at {va - self._distance:#x}")
        if start < code:
            return likely(start, "the image's first page is data, so it is that of the header")
        if self._begins_with_block:
            return guess(start, "the image's first block; the header in it is lost")
        return likely(code - SEGMENT, "the image begins with _stext, 64 KiB behind its header")

    @property
    def _begins_with_block(self) -> bool:
        row = int(np.searchsorted(self.found.mappings.va, np.uint64(self.found.image[0])))
        return int(self.found.mappings.size[row]) > self._candidate.granule and (
            self.found.image[0] % IMAGE_ALIGN == 0
        )

    def _is_header(self, va: int) -> bool:
        pa = (va - self._distance) % ADDRESSES
        try:
            magic = self.found.memory.read(pa + ARM64_MAGIC_AT, len(ARM64_MAGIC))
        except OutsideMemory:
            return False
        return magic == ARM64_MAGIC

    @property
    def text_pa(self) -> Finding[int]:
        """The physical address of _text."""
        va = self.text_va
        return Finding((va.value - self._distance) % ADDRESSES, va.confidence, va.evidence)

    @cached_property
    def kaslr_offset(self) -> Finding[int] | None:
        """How far _text is above its link address, KIMAGE_VADDR."""
        if self.info is not None and self.info.kaslr_offset is not None:
            return certain(self.info.kaslr_offset, "vmcoreinfo's KERNELOFFSET")
        release, why = self._generation()
        offset = self.text_va.value - self.layout(release).kimage_vaddr
        if offset < 0:
            return None
        confidence = self.text_va.confidence
        if self.release is None and confidence is Confidence.CERTAIN and offset >= IMAGE_ALIGN:
            confidence = Confidence.LIKELY
        return Finding(offset, confidence, f"_text at {self.text_va.value:#x}; {why}")

    def layout(self, release: Release) -> Layout:
        """The virtual address layout of a release with these pages and address bits."""
        option = PAGE_OPTIONS[self._candidate.granule]
        return layout(Config({option: "y", "ARM64_VA_BITS": str(self._candidate.va_bits)}), release)

    def _generation(self) -> tuple[Release, str]:
        """A release with this kernel's layout, and how that is known."""
        if self.release is not None:
            kimage = self.layout(self.release).kimage_vaddr
            return self.release, f"{self.release} is linked at {kimage:#x}"
        if bool((self.found.mappings.last >= np.uint64(_FIXMAP_AT_TOP)).any()):
            kimage = self.layout(_AT_TOP).kimage_vaddr
            return _AT_TOP, f"the fixmap is at the top, so since 6.9: linked at {kimage:#x}"
        kimage = self.layout(_MODULES_2G).kimage_vaddr
        if 0 <= self.text_va.value - kimage < IMAGE_ALIGN:
            return _MODULES_2G, f"just where 6.5 and later are linked, {kimage:#x}"
        kimage = self.layout(_BEFORE).kimage_vaddr
        return _BEFORE, f"the fixmap is not at the top, so before 6.9: linked at {kimage:#x}"

    def idmap_pg_dir(self) -> Finding[int] | None:
        """The permanent identity map, which the linker puts just before swapper_pg_dir."""
        granule, swapper = self._candidate.granule, self._candidate.swapper
        for page in range(1, _IDMAP_PAGES + 1):
            root = swapper - page * granule
            for bits in sorted({IDMAP_VA_BITS, self._candidate.va_bits}):
                if self._maps_itself(root, bits):
                    return certain(
                        root,
                        f"maps code of the kernel at its physical address, {page} pages before "
                        "swapper_pg_dir",
                    )
        return None

    def _maps_itself(self, root: int, bits: int) -> bool:
        """Whether all that a root maps is at its own address, and some of it code in the image."""
        first, last = self.found.image_pa
        registers = arm64_registers(self._candidate.granule, bits, root)
        regime = RegimePair.from_registers(registers).lower
        assert regime is not None
        space = AddressSpace(regime, root, self.found.memory)
        mappings = space.mappings(budget=_IDMAP_BUDGET)
        executable = np.array([*(v.el1_execute for v in mappings.attribute_values), False])
        code = mappings.where(executable[mappings.attributes])
        return (
            len(code) > 0
            and mappings.truncated is None
            and bool((mappings.va == mappings.pa).all())
            and bool(((code.pa >= np.uint64(first)) & (code.last <= np.uint64(last))).all())
        )
