"""Translation in an image: the hardware's answer, and Linux's where the hardware has none."""

from dataclasses import dataclass
from functools import cached_property

from ttbr.arch.faults import Access, Fault
from ttbr.errors import InputError
from ttbr.kernel.release import Release
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.mmu.translation import Translation
from ttbr.recover.linux_reading import LinuxReader
from ttbr.recover.release import known_release
from ttbr.recover.software import LinuxEntry, linux_entry


@dataclass(frozen=True, slots=True)
class Answer:
    """``hardware``: the walk; ``linux``: what only Linux's own entry tells, or None."""

    hardware: Translation
    linux: LinuxEntry | None = None

    @property
    def pa(self) -> int | None:
        """The physical address, by the hardware or else by Linux; None if neither has one."""
        if self.linux is not None and self.linux.present:
            return self.linux.pa
        return self.hardware.pa


class Translator:
    """Translates in one image: through one ``root``, or through those that its registers choose."""

    def __init__(self, image: Image, root: str | None = None) -> None:
        self._image = image
        self._space = None if root is None else image.address_space(root)

    def translate(self, va: int, access: Access | None = None, *, pan: bool = False) -> Answer:
        """Translate ``va``, with ``access`` as the hardware allows it (``pan``: PSTATE.PAN)."""
        space = self._space or self._image.space_for(va)
        if isinstance(space, Fault):
            return Answer(Translation(va, (), level=space.level, fault=space))
        found = space.translate(va, access, pan=pan)
        reader = self._reader(space) if found.fault is not None else None
        if reader is None:
            return Answer(found)
        return Answer(found, linux_entry(space, found, reader))

    @cached_property
    def _release(self) -> Release | None:
        return known_release(self._image)

    def _reader(self, space: AddressSpace) -> LinuxReader | None:
        """Linux's reading of an entry; None where it depends on a release that is not known."""
        try:
            return LinuxReader(space.regime, self._release)
        except InputError:
            return None
