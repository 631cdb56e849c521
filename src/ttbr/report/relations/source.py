"""What relations are made from: one image, each part of it read when it is first needed."""

from collections.abc import Iterable
from functools import cached_property

from ttbr.arch.regime import MissingRegister
from ttbr.errors import InputError
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.mappings import Mappings
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.recover.markers import find_markers
from ttbr.recover.page_use import PageUse
from ttbr.report.mappings import notes
from ttbr.report.regions import RegionNames


class Source:
    """An image's Linux; ``root``: the root table of the space in question, as `Image` names it."""

    def __init__(self, linux: Linux, root: str = "kernel") -> None:
        self.linux = linux
        self.root = root
        self.notes: list[str] = []
        """What relations that were made leave out or could not tell, in sentences."""

    def note_unknown(self, unknown: Iterable[str]) -> None:
        """Members of structures that are not known: their columns are null or zeros."""
        for member in unknown:
            self.notes.append(f"unknown, as neither types nor the data show it: {member}")

    @cached_property
    def space(self) -> AddressSpace:
        """The address space in question."""
        return self.linux.image.address_space(self.root)

    @cached_property
    def mappings(self) -> Mappings:
        """What the space maps."""
        found = self.space.mappings()
        self.notes += notes(found)
        return found

    @cached_property
    def region_names(self) -> RegionNames:
        """The regions of the kernel's layout; none where it is not known."""
        image = self.linux.image
        try:
            found = find_markers(image)
        except (InputError, MissingRegister):  # no kernel's tables: a hypervisor's, firmware's
            return RegionNames(image.facts.markers)
        if found.unknown:
            self.notes.append(f"regions without a known begin: {', '.join(found.unknown)}")
        return RegionNames(found.markers)

    @cached_property
    def memory(self) -> KernelMemory:
        """The kernel's own account of memory."""
        return KernelMemory(self.linux)

    @cached_property
    def use(self) -> PageUse:
        """Who uses which frame."""
        return PageUse(self.memory)
