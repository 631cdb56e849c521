"""An image's tables as its kernel would list them, with what the listing lacks."""

from ttbr.mmu.address_space import AddressSpace
from ttbr.mmu.image import Image
from ttbr.recover.markers import find_markers
from ttbr.recover.release import known_release
from ttbr.report.ptdump import ptdump


def kernel_page_tables(image: Image, space: AddressSpace) -> tuple[str, list[str]]:
    """The text, and sentences about what of it could not be known from the image."""
    release = known_release(image)
    notes = []
    if release is None:
        notes.append("the kernel's release is not known: the newest known form is used")
    found = find_markers(image)
    if found.unknown:
        notes.append(f"markers of unknown address are left out: {', '.join(found.unknown)}")
    dump = ptdump(space, found.markers, release)
    return dump.text, [*notes, *dump.missing]
