"""Translation in an image: the hardware's answer, and Linux's where the hardware has none."""

from dataclasses import dataclass
from functools import cached_property

from ttbr.arch.faults import Access, Fault
from ttbr.errors import InputError
from ttbr.kernel.linux_pte import LinuxEntries, linux_entries
from ttbr.kernel.release import Release
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.mmu.translation import Translation
from ttbr.recover.release import known_release
from ttbr.recover.software import LinuxPage, linux_page


@dataclass(frozen=True, slots=True)
class Answer:
    """``hardware``: the walk; ``linux``: the page that only Linux's own entry names, or None."""

    hardware: Translation
    linux: LinuxPage | None = None

    @property
    def pa(self) -> int | None:
        """The physical address, by the hardware or else by Linux; None if neither has one."""
        return self.linux.pa if self.linux is not None else self.hardware.pa


class Translator:
    """Translates in one image: through one ``root``, or through those that its registers choose."""

    def __init__(self, image: Image, root: str | None = None) -> None:
        self._image = image
        self._space = None if root is None else image.address_space(root)

    def translate(self, va: int, access: Access | None = None) -> Answer:
        """Translate ``va``, with ``access`` as the hardware would allow it."""
        space = self._space or self._image.space_for(va)
        if isinstance(space, Fault):
            return Answer(Translation(va, (), level=space.level, fault=space))
        found = space.translate(va, access)
        entries = self._entries(space) if found.fault is not None else None
        if entries is None:
            return Answer(found)
        return Answer(found, linux_page(space, found, entries))

    @cached_property
    def _release(self) -> Release | None:
        return known_release(self._image)

    def _entries(self, space: AddressSpace) -> LinuxEntries | None:
        """Linux's reading of an entry; None where it depends on a release that is not known."""
        try:
            return linux_entries(space.regime.format.name, self._release)
        except InputError:
            return None
