"""An image: a machine at rest. What a recording, a dump and a prediction have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ttbr.arch.faults import Access, Fault
from ttbr.arch.regime import MissingRegister, RegimePair, TranslationRegime
from ttbr.arch.registers import register_name
from ttbr.arch.tcr_el2_el3 import el2_pair, el3_regime
from ttbr.arch.vtcr import stage2_from_vtcr
from ttbr.errors import InputError
from ttbr.memory.physical import PhysicalMemory
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.notebook import image_html
from ttbr.mmu.translation import Translation

# TTBCR of an ARMv7 CPU (DDI 0406C, B4.1.153): EAE selects LPAE, EPD0 stops walks through TTBR0.
TTBCR_EAE = 1 << 31
TTBCR_EPD0 = 1 << 7
TTBCR_T0SZ = 7
TTBCR_T1SZ_SHIFT = 16
TTBCR_T1SZ = 7 << TTBCR_T1SZ_SHIFT

# Where in swapper_pg_dir Linux lets TTBR1 point by T1SZ: behind the first two of its four entries,
# or to the table of the last one (arch/arm/include/asm/pgtable-3level-hwdef.h: TTBR1_OFFSET).
LPAE_SPLITS = {1: 16, 2: 0x4000}
LPAE_ROOT_ENTRIES = 4
LPAE_ALIGNMENT = 0x1000
DESCRIPTOR_ADDRESS = 0xFF_FFFF_F000

ARM_ADDRESS_BITS = 32
ROOTS = ("kernel", "user", "el2", "el3", "stage2")
"""Names of root tables; each but ``kernel`` can have ``:PA`` of another table behind it."""
ADDRESSES = 1 << 64


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of the kernel in an image; None or empty where nothing is.

    ``arch``: ``arm64`` or ``arm``. ``release``: as the kernel spells it. ``stage``: the stage of
    the boot. ``page_offset``: where the linear map begins (virtual). ``markers``: (virtual address,
    name) of the kernel's own table dump. ``symbols``: run-time virtual addresses. ``roots``:
    physical addresses of root tables by symbol. ``vmcoreinfo``: the lines of the note in which the
    kernel describes itself, by key. ``source``: who says so.
    """

    arch: str | None = None
    release: str | None = None
    stage: str | None = None
    page_offset: int | None = None
    markers: tuple[tuple[int, str], ...] = ()
    symbols: Mapping[str, int] = field(default_factory=dict)
    roots: Mapping[str, int] = field(default_factory=dict)
    vmcoreinfo: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Image:
    """Physical memory, the registers of a CPU (by architectural name), and facts."""

    memory: PhysicalMemory
    registers: Mapping[str, int] = field(default_factory=dict)
    facts: ImageFacts = field(default_factory=ImageFacts)

    @cached_property
    def named_registers(self) -> Mapping[str, int]:
        """The registers by their architectural names, whatever they were given by."""
        return {register_name(name): value for name, value in self.registers.items()}

    @property
    def arch(self) -> str:
        """``arm64`` or ``arm``; from the registers where nobody says."""
        if self.facts.arch is not None:
            return self.facts.arch
        return "arm" if "TTBCR" in self.named_registers else "arm64"

    @cached_property
    def regimes(self) -> RegimePair:
        """The regimes of both TTBRs; raises `MissingRegister` naming what is not known."""
        return RegimePair.from_registers(self.registers)

    @cached_property
    def user_regime(self) -> TranslationRegime:
        """How TTBR0 translates while a process runs.

        Linux disables TTBR0 while the kernel runs where it keeps itself out of user memory: on
        ARM by TTBCR.EPD0 together with a T0SZ of 7 (CPU_TTBR0_PAN, asm/uaccess-asm.h). Here both
        are undone.
        """
        ttbcr = self.named_registers.get("TTBCR", 0)
        pair = self.regimes
        if ttbcr & TTBCR_EAE and ttbcr & TTBCR_EPD0:
            running = ttbcr & ~(TTBCR_EPD0 | TTBCR_T0SZ)
            pair = RegimePair.from_registers({**self.named_registers, "TTBCR": running})
        return self._usable(pair.lower, 0)

    @cached_property
    def kernel_regime(self) -> TranslationRegime:
        """How the kernel's own root table, which TTBR1 holds, is to be walked.

        On ARM TTBR1 may hold it while the CPU never looks there (TTBCR.N = 0; T0SZ = T1SZ = 0).
        The table is one for all 4 GiB then, as TTBR0's are. So it is where TTBR1 points into the
        middle of it (`_swapper`).
        """
        if self.regimes.upper is None and self.regimes.address_bits == ARM_ADDRESS_BITS:
            return self.user_regime
        if self._swapper is not None:
            whole = self.named_registers["TTBCR"] & ~TTBCR_T1SZ
            pair = RegimePair.from_registers({**self.named_registers, "TTBCR": whole})
            return self._usable(pair.lower, 0)
        return self._usable(self.regimes.upper, 1)

    @cached_property
    def _swapper(self) -> int | None:
        """``swapper_pg_dir`` of an LPAE kernel whose TTBR1 points into its middle, else None.

        Modules and kmap lie below what TTBR1 translates then; processes get those entries when
        they first need them. Memory has to confirm that the table is there.
        """
        ttbcr = self.named_registers.get("TTBCR", 0)
        offset = LPAE_SPLITS.get((ttbcr & TTBCR_T1SZ) >> TTBCR_T1SZ_SHIFT)
        upper = self.regimes.upper
        if upper is None or not ttbcr & TTBCR_EAE or ttbcr & TTBCR_T0SZ or offset is None:
            return None
        if "TTBR1" not in self.named_registers:
            return None
        points_to = upper.root_address(self.named_registers["TTBR1"])
        root = points_to - offset
        if root < 0 or root % LPAE_ALIGNMENT:
            return None
        words, there = self.memory.read_words(np.array([root], np.uint64), LPAE_ROOT_ENTRIES, 8)
        if not there[0]:
            return None
        # All of it is one table for T1SZ = 1; for 2 its last entry leads to where TTBR1 points
        last = int(words[0, -1])
        leads = last & 0b11 == 0b11 and last & DESCRIPTOR_ADDRESS == points_to
        return root if offset == LPAE_SPLITS[1] or leads else None

    @cached_property
    def el2_regime(self) -> TranslationRegime:
        """How EL2's own table is walked: that of TTBR0_EL2, or with VHE that of TTBR1_EL2."""
        pair = el2_pair(self.named_registers)
        return self._usable(pair[-1], len(pair) - 1)

    @cached_property
    def el3_regime(self) -> TranslationRegime:
        """How TTBR0_EL3's table is walked."""
        return el3_regime(self.named_registers)

    @cached_property
    def stage2_regime(self) -> TranslationRegime:
        """How VTTBR_EL2's table is walked; its virtual addresses are a guest's physical ones."""
        return stage2_from_vtcr(self.named_registers)

    def _regime(self, name: str) -> TranslationRegime | None:
        """The regime that a root's name or prefix stands for, or None if it is no such name."""
        match name:
            case "kernel" | "":
                return self.kernel_regime
            case "user":
                return self.user_regime
            case "el2":
                return self.el2_regime
            case "el3":
                return self.el3_regime
            case "stage2":
                return self.stage2_regime
            case _:
                return None

    def _usable(self, regime: TranslationRegime | None, number: int) -> TranslationRegime:
        """A regime with its walks enabled; `InputError` where the registers describe none."""
        if regime is None:
            raise InputError(f"the registers give TTBR{number} no granule: nothing to walk")
        return replace(regime, disabled=False)

    def address_space(self, root: str = "kernel") -> AddressSpace:
        """The space of a root: ``kernel`` (TTBR1), ``user`` (TTBR0), ``user:PA``, or ``PA``.

        On 32-bit ARM the kernel's is all of ``swapper_pg_dir``, which TTBR1 may show a part of.
        ``PA``, hexadecimal with 0x or decimal, is the physical address of a root table, walked as
        the kernel's, or as a process's after ``user:``. ``el2``, ``el3`` and ``stage2`` are what
        TTBR0_EL2 (with VHE TTBR1_EL2), TTBR0_EL3 and VTTBR_EL2 point to; with ``:PA`` the same for
        another table. A name in ``facts.roots`` stands for its address. `InputError` for anything
        else; `MissingRegister` if a register is needed that the image does not have.
        """
        if root in ROOTS:
            regime = self._regime(root)
            assert regime is not None, root
            register = regime.root_register
            if root == "kernel" and self._swapper is not None:
                return self._space(regime, self._swapper)
            if root == "kernel":
                # Where TTBR1 is not in use its table is walked as TTBR0's, see kernel_regime.
                register = register.replace("TTBR0", "TTBR1")
            return self._space(regime, regime.root_address(self._value(register)))
        kind, _, where = root.rpartition(":")
        regime = self._regime(kind) if kind != "kernel" else None
        if regime is None:
            raise InputError(
                f"root '{root}' is not {', '.join(ROOTS)}, PA, or user:PA, el2:PA and so on"
            )
        return self._space(regime, self._address(where, regime))

    def _value(self, name: str) -> int:
        """The value of a register; raises `MissingRegister` if it is not known."""
        if name not in self.named_registers:
            raise MissingRegister(name)
        return self.named_registers[name]

    def _address(self, text: str, regime: TranslationRegime) -> int:
        if text in self.facts.roots:
            return self.facts.roots[text]
        try:
            address = int(text, 0)
        except ValueError:
            known = ", ".join(sorted(self.facts.roots))
            raise InputError(
                f"root '{text}' is not an address" + (f" and none of {known}" if known else "")
            ) from None
        if not 0 <= address < ADDRESSES or address % regime.format.entry_size:
            raise InputError(f"root {text} is not the address of a translation table")
        return address

    def _space(self, regime: TranslationRegime, root: int) -> AddressSpace:
        return AddressSpace(regime, root, self.memory)

    def space_for(self, va: int) -> AddressSpace | Fault:
        """The space that the CPU would walk for ``va`` at the stop, or the fault that it takes."""
        chosen = self.regimes.select(va)
        if isinstance(chosen, Fault):
            return chosen
        return self._space(chosen, chosen.root_address(self._value(chosen.root_register)))

    def translate(self, va: int, access: Access | None = None, *, pan: bool = False) -> Translation:
        """Translate as the CPU would at the stop: the registers choose TTBR0 or TTBR1."""
        space = self.space_for(va)
        if isinstance(space, Fault):
            return Translation(va, (), level=space.level, fault=space)
        return space.translate(va, access, pan=pan)

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return image_html(self)
