"""Which kernel an image holds: its release, from the vmcoreinfo note or the banner in RAM."""

import re
from dataclasses import replace

from ttbr.kernel.release import Release
from ttbr.memory.physical import PhysicalMemory
from ttbr.mmu.image import Image
from ttbr.recover.search import pieces

LONGEST = 512  # bytes of a banner or a vmcoreinfo line that are looked at

_BANNER, _NOTE = b"Linux version ", b"OSRELEASE="
_RELEASE = rb"(\d{1,3}\.\d{1,3}(?:\.\d{1,5})?[!-'*-~]{0,64})"
_FORMS = {
    _BANNER: re.compile(_BANNER + _RELEASE + rb" \("),
    _NOTE: re.compile(_NOTE + _RELEASE + rb"\n"),
}
# A distribution that calls all of its releases 6.1.0-… says in the version which 6.1 it is.
_DISTRIBUTED = re.compile(rb" #\d* [^\n\0]*?(\d{1,3}\.\d{1,3}\.\d{1,5})-\d")


def find_release(memory: PhysicalMemory) -> Release | None:
    """The release of the kernel in memory, or None if nothing says what it is.

    The first banner (``Linux version …``) counts; without one, the first OSRELEASE line of
    vmcoreinfo. One pass over what was written, that ends with the banner, which mostly lies near
    the beginning of RAM. Where a distribution hides the sublevel (``6.1.0-50-arm64``), the version
    that the banner also has gives it; the text stays as it is spelled.
    """
    noted: Release | None = None
    for _, data in pieces(memory, LONGEST):
        banner = _first(data, _BANNER)
        if banner is not None:
            return banner
        noted = noted or _first(data, _NOTE)
    return noted


def known_release(image: Image) -> Release | None:
    """The release of an image's kernel: from its facts, its memory or its vmcoreinfo, or None."""
    named = image.facts.release
    found = Release.parse(named) if named else find_release(image.memory)
    noted = image.facts.vmcoreinfo.get("OSRELEASE", "")
    if found is None and _FORMS[_NOTE].match(f"OSRELEASE={noted}\n".encode()):
        return Release.parse(noted)
    return found


def _first(data: bytes, mark: bytes) -> Release | None:
    """The release behind the first ``mark`` that has one."""
    at = data.find(mark)
    while at >= 0:
        text = data[at : at + LONGEST]
        named = _FORMS[mark].match(text)
        if named is not None:
            version = Release.parse(named.group(1).decode("ascii"))
            distributed = _DISTRIBUTED.search(text)
            if distributed is not None and not version.sublevel:
                true = Release.parse(distributed.group(1).decode("ascii"))
                version = replace(true, text=version.text)
            return version
        at = data.find(mark, at + 1)
    return None


def release_of(banner: str) -> Release | None:
    """The release that a banner names; None if the text is no banner."""
    return _first(banner.encode(errors="replace"), _BANNER)
