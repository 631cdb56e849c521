"""What the explorer shows: an image, and its spaces by root, each read when it is first shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ttbr.arch.regime import MissingRegister
from ttbr.errors import InputError, TtbrError
from ttbr.format import address
from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.mmu.mappings import Mappings
from ttbr.recover.markers import find_markers
from ttbr.recover.translate import Answer, Translator
from ttbr.report.mappings import space_bits
from ttbr.report.regions import RegionNames
from ttbr.report.table_tree import TableTree
from ttbr.report.zoom import Window, Zoom

HELD = ("kernel", "user")


@dataclass(frozen=True)
class Space:
    """A space of the image by the name of its root."""

    name: str
    space: AddressSpace
    names: RegionNames

    @cached_property
    def mappings(self) -> Mappings:
        """All that it maps."""
        return self.space.mappings()

    @cached_property
    def zoom(self) -> Zoom:
        """The map of it."""
        return Zoom(self.mappings, self.names)

    @cached_property
    def tree(self) -> TableTree:
        """Its tables."""
        return TableTree(self.mappings)

    @property
    def whole(self) -> Window:
        """The window that shows all of it."""
        return Window.around(self.space.regime.first, self.space.regime.last)

    def text(self, va: int) -> str:
        """A virtual address with all its digits."""
        return address(va, space_bits(self.space))


class Explored:
    """An image that is explored; ``root``: the space that is shown first."""

    def __init__(self, name: str, image: Image, root: str) -> None:
        self.name, self.image = name, image
        self.roots: Sequence[str] = tuple(dict.fromkeys((root, *self._held())))
        self._spaces: dict[str, Space] = {}
        self._translator = Translator(image)

    def space(self, root: str) -> Space:
        """The space of a root; raises what `Image.address_space` does."""
        if root not in self._spaces:
            found = self.image.address_space(root)
            self._spaces[root] = Space(root, found, self._names)
        return self._spaces[root]

    def translate(self, va: int) -> Answer:
        """As the CPU would, and where it has no answer as Linux reads the entry."""
        return self._translator.translate(va)

    def place(self, text: str) -> int:
        """The virtual address that a number or a symbol stands for; `InputError` if none does."""
        text = text.strip()
        if text in self.image.facts.symbols:
            return self.image.facts.symbols[text]
        try:
            value = int(text, 0)
        except ValueError:
            value = -1
        if not 0 <= value < 1 << 64:
            raise InputError("neither an address (0x… or decimal) nor a symbol of the image")
        return value

    @cached_property
    def _names(self) -> RegionNames:
        try:
            return RegionNames(find_markers(self.image).markers)
        except (InputError, MissingRegister):
            return RegionNames(self.image.facts.markers)

    def _held(self) -> list[str]:
        """The roots that registers hold."""
        found = []
        for root in HELD:
            try:
                self.image.address_space(root)
            except TtbrError:
                continue
            found.append(root)
        return found
