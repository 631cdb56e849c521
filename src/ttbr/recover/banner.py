"""The banner that a kernel greets with: ``Linux version …``, as it lies in memory."""

import re
from itertools import islice

from ttbr.memory.physical import OutsideMemory, PhysicalMemory
from ttbr.recover.finding import Finding, certain, likely
from ttbr.recover.search import find

MARK = b"Linux version "
LONGEST = 512  # bytes of a banner that are looked at
# init/version.c and version-timestamp.c: linux_banner; one line, that names release, builder,
# compiler and build. Since 6.2 an image has a second one without the number of the build.
_FORM = re.compile(rb"Linux version \d{1,3}\.\d{1,3}[!-~]{0,64} \([ -~]{1,420}\n\0")
_NUMBERED = re.compile(rb" #\d")
_MOST_PLACES = 4096  # that are looked at, in an image made of nothing else
_MOST_BYTES = 1 << 28  # of a kernel's image


def find_banner(memory: PhysicalMemory, image: tuple[int, int]) -> Finding[str] | None:
    """The banner, without its line end; None without any.

    ``image``: first and last physical address of the kernel, whose own banner counts; without one
    there, the first in memory does. Copies in logs and programs do not end in the same way.
    """
    first, last = image
    try:
        data = memory.read(first, min(last - first + 1, _MOST_BYTES))
    except OutsideMemory:
        data = b""
    own = list(_FORM.finditer(data))
    if own:
        best = next((match for match in own if _NUMBERED.search(match[0])), own[0])
        return certain(_text(best[0]), f"in the kernel's image, at {first + best.start():#x}")
    for address in islice(find(memory, MARK), _MOST_PLACES):
        end = next(bank.end for bank in memory.banks if bank.base <= address < bank.end)
        match = _FORM.match(memory.read(address, min(LONGEST, end - address)))
        if match is not None:
            return likely(_text(match[0]), f"at {address:#x}, outside the kernel's image")
    return None


def _text(banner: bytes) -> str:
    return banner[:-2].decode("ascii")
