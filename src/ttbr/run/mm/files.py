"""Files that processes map, and their pages in memory (the page cache).

What is modelled is tmpfs, whose pages are nowhere else, and the page cache of a file on a disk as
far as tables see it: a shared mapping of one is told of the first write to each page.

Source: mm/filemap.c, mm/shmem.c, mm/memory.c (do_page_mkwrite).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.run.frames import Owner
from ttbr.run.gfp import GFP_HIGHUSER_MOVABLE, Gfp
from ttbr.run.mm.mm import FILE, SHMEM

if TYPE_CHECKING:
    from ttbr.run.mm.user_space import UserSpace


class File:
    """A file of ``size`` bytes.

    ``pages``: frame of each page that is in memory, by its index in the file. ``tracks_dirty``: the
    file system wants to know of writes (page_mkwrite), as those of disks do and tmpfs does not.
    ``linked``: it has a name, and keeps its pages when nobody maps it.
    """

    def __init__(
        self,
        user: UserSpace,
        name: str,
        size: int,
        *,
        tracks_dirty: bool = False,
        linked: bool = True,
    ) -> None:
        self.user = user
        self.name = name
        self.size = size
        self.pages: dict[int, int] = {}
        self.tracks_dirty = tracks_dirty
        self.linked = linked

    @property
    def counter(self) -> str:
        """``mm_counter_file``: which counter of resident pages its pages belong to."""
        return FILE if self.tracks_dirty else SHMEM

    @property
    def page_count(self) -> int:
        """Pages up to the end of the file."""
        return -(-self.size >> self.user.page_shift) if self.size else 0

    def page(self, index: int) -> int:
        """The frame of a page, zeros if it was not in memory; `OutOfMemory` without one."""
        found = self.pages.get(index)
        if found is None:
            gfp = GFP_HIGHUSER_MOVABLE | Gfp.ZERO
            found = self.pages[index] = self.user.folios.alloc(0, gfp, Owner.FILE)
        return found

    def write(self, offset: int, data: bytes) -> None:
        """Write into the page cache, as write() does; the file grows as it has to."""
        page = self.user.page_size
        done = 0
        while done < len(data):
            at = offset + done
            step = min(page - at % page, len(data) - done)
            place = self.page(at // page) * page + at % page
            self.user.kernel.ram.write(place, data[done : done + step])
            done += step
        self.size = max(self.size, offset + len(data))

    def populate(self) -> None:
        """Bring all pages into memory, as reading or unpacking the file does."""
        for index in range(self.page_count):
            self.page(index)

    def drop(self) -> None:
        """Give its pages back, but for those that are still mapped (unlink and last close)."""
        for pfn in self.pages.values():
            self.user.folios.put(pfn)
        self.pages.clear()
        self.linked = False
