"""What programs are entitled to see, kept apart from the code that is tested, page by page.

`Load` drives a kernel and this model together; `check` holds the tables in RAM against it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from page_invariants import check as check_pages
from user_machines import allow_huge_pages

from ttbr.kernel.vm_flags import ACCESS, Madvise, Map, Prot, Vm
from ttbr.run import OutOfMemory
from ttbr.run.gfp import GFP_KERNEL
from ttbr.run.kernel import RunningKernel
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.files import File
from ttbr.run.mm.hugetlb_faults import get_huge
from ttbr.run.mm.process import Killed, Process

WORD = 8
USER_DOMAIN = 1
PROTS = [Prot.NONE, Prot.READ, Prot.READ | Prot.WRITE, Prot.READ | Prot.EXEC]
READABLE = Prot.READ | Prot.WRITE | Prot.EXEC


@dataclass(frozen=True, slots=True)
class Cell:
    """A page of a mapping: what it may be used for, and what its first word is.

    ``store``: words by index that all who map it see, of a shared mapping or a file; ``word``: of
    a private page that was written, None for one that was not. ``huge``: it is part of a page from
    a pool, which may turn out to be empty. ``kept``: a child does not get it; ``wiped``: a child
    gets zeros.
    """

    prot: Prot
    private: bool
    store: dict[int, int] | None = None
    index: int = 0
    word: int | None = None
    huge: bool = False
    kept: bool = False
    wiped: bool = False

    @property
    def value(self) -> int:
        """The first word of the page."""
        if self.word is not None:
            return self.word
        return self.store.get(self.index, 0) if self.store is not None else 0


@dataclass
class Image:
    """The pages of a process by their number, without those that exec gave it."""

    process: Process
    cells: dict[int, Cell] = field(default_factory=dict)
    mappings: list[tuple[int, int]] = field(default_factory=list)
    """(first page, pages) of what was mapped, as far as some of it may still be there."""


class Load:
    """A kernel under load. Every method is an operation; all of them count."""

    def __init__(self, kernel: RunningKernel) -> None:
        self.kernel = kernel
        allow_huge_pages(kernel)
        self.page = kernel.page_size
        self.shift = self.page.bit_length() - 1
        self.user = kernel.user.user
        self.images: list[Image] = []
        self.stores: list[tuple[File, dict[int, int]]] = []
        self.operations = Counter()
        self.word = 0
        self.held = np.zeros(0, np.uint64)
        self.file(16)
        kernel.spawn().exit()

    # Operations

    def spawn(self) -> None:
        self.operations["spawn"] += 1
        try:
            self.images.append(Image(self.kernel.spawn()))
        except OutOfMemory:
            self.relax()
            self.images.append(Image(self.kernel.spawn()))

    def squeeze(self, left: int) -> None:
        """Leave so many pages free, or the few more that nobody may have."""
        self.operations["squeeze"] += 1
        pages = self.kernel.pages
        taken = [self.held]
        while pages.free > left:
            try:
                taken.append(pages.alloc_bulk(max(1, (pages.free - left) // 2), GFP_KERNEL))
            except OutOfMemory:
                left = max(left + 1, pages.free // 2 + 1)
        self.held = np.concatenate(taken)

    def relax(self) -> None:
        """Give back what `squeeze` has."""
        self.operations["relax"] += 1
        self.kernel.pages.free_bulk(self.held)
        self.held = np.zeros(0, np.uint64)

    def fork(self, which: int) -> None:
        parent = self._image(which)
        self.operations["fork"] += 1
        try:
            process = parent.process.fork()
        except OutOfMemory:
            return
        cells = {
            page: replace(cell, word=None) if cell.wiped else cell
            for page, cell in parent.cells.items()
            if not cell.kept
        }
        self.images.append(Image(process, cells, list(parent.mappings)))

    def exit(self, which: int) -> None:
        self.operations["exit"] += 1
        image = self._image(which)
        self.images.remove(image)
        image.process.exit()

    def exec(self, which: int) -> None:
        self.operations["exec"] += 1
        image = self._image(which)
        try:
            image.process.exec(self.kernel.user.program("/init"))
        except OutOfMemory:
            return
        image.cells.clear()
        image.mappings.clear()

    def file(self, pages: int) -> None:
        self.operations["file"] += 1
        name = f"/tmp/{len(self.stores)}"
        self.stores.append((self.kernel.user.file(name, pages * self.page), {}))

    def mmap(
        self,
        which: int,
        pages: int,
        prot: Prot,
        kind: str,
        *,
        at: int | None = None,
        number: int = 0,
    ) -> None:
        """``kind``: private, shared, file, shared file, huge or shared huge, with which `number`.

        ``at``: which mapping to put it over.
        """
        self.operations["mmap"] += 1
        image = self._image(which)
        flags = Map.SHARED if "shared" in kind else Map.PRIVATE
        file = store = None
        if "file" in kind:
            file, store = self.stores[number % len(self.stores)]
            pages = min(pages, file.page_count)
        elif flags is Map.SHARED:
            store = {}
        pools = list(self.user.pools) if "huge" in kind else []
        huge = pools[number % len(pools)].size if pools else 0
        if huge:
            pages = huge * (1 + number % 2) >> self.shift
        hint = 0
        if at is not None and image.mappings:
            hint = image.mappings[at % len(image.mappings)][0] + at % 7
            hint *= self.page
            flags |= Map.FIXED
        try:
            va = image.process.mmap(
                pages * self.page, prot, flags, hint=hint, file=file, huge_size=huge
            )
        except SyscallError as error:
            if error.errno == "ENOMEM" and huge and flags & Map.FIXED:
                # What was there is gone before it is known that the pool has too little
                for page in range(hint >> self.shift, (hint >> self.shift) + pages):
                    image.cells.pop(page, None)
            return
        first = va >> self.shift
        private = not flags & Map.SHARED
        for index in range(pages):
            image.cells[first + index] = Cell(prot, private, store, index, huge=bool(huge))
        image.mappings.append((first, pages))

    def munmap(self, which: int, number: int, skip: int, count: int) -> None:
        self.operations["munmap"] += 1
        image = self._image(which)
        first, pages = self._part(image, number, skip, count)
        try:
            image.process.munmap(first * self.page, pages * self.page)
        except SyscallError:
            assert self._cuts_huge(image, first, pages)
            return
        for page in range(first, first + pages):
            image.cells.pop(page, None)

    def mprotect(self, which: int, number: int, skip: int, count: int, prot: Prot) -> None:
        self.operations["mprotect"] += 1
        image = self._image(which)
        first, pages = self._part(image, number, skip, count)
        whole = all(page in image.cells for page in range(first, first + pages))
        try:
            image.process.mprotect(first * self.page, pages * self.page, prot)
        except SyscallError as error:
            if error.errno == "ENOMEM":
                assert not whole
            else:
                assert self._cuts_huge(image, first, pages)
            self._look_again(image, first, pages)
            return
        assert whole
        for page in range(first, first + pages):
            image.cells[page] = replace(image.cells[page], prot=prot)

    def _look_again(self, image: Image, first: int, pages: int) -> None:
        """What the areas say after a call that got to the middle of its range."""
        for page in range(first, first + pages):
            area, cell = image.process.mm.vmas.at(page * self.page), image.cells.get(page)
            assert (area is None) == (cell is None)
            if area is not None and cell is not None:
                image.cells[page] = replace(
                    cell,
                    prot=Prot(int(area.flags & ACCESS)),
                    kept=bool(area.flags & Vm.DONTCOPY),
                    wiped=bool(area.flags & Vm.WIPEONFORK),
                )

    def madvise(self, which: int, number: int, skip: int, count: int, advice: Madvise) -> None:
        self.operations["madvise"] += 1
        image = self._image(which)
        first, pages = self._part(image, number, skip, count)
        try:
            image.process.madvise(first * self.page, pages * self.page, advice)
        except SyscallError as error:
            assert error.errno == "EINVAL" or any(
                page not in image.cells for page in range(first, first + pages)
            )
            if advice is not Madvise.DONTNEED:
                self._look_again(image, first, pages)
                return
            if error.errno == "EINVAL":
                assert self._cuts_huge(image, first, pages)
                return
        for page in range(first, first + pages):
            cell = image.cells.get(page)
            if cell is None:
                continue
            if advice is Madvise.DONTNEED:
                if cell.private and not self._is_cut(image, page, first + pages):
                    image.cells[page] = replace(cell, word=None)
            elif advice in (Madvise.DONTFORK, Madvise.DOFORK):
                image.cells[page] = replace(cell, kept=advice is Madvise.DONTFORK)
            elif advice in (Madvise.WIPEONFORK, Madvise.KEEPONFORK):
                image.cells[page] = replace(cell, wiped=advice is Madvise.WIPEONFORK)

    def _is_cut(self, image: Image, page: int, end: int) -> bool:
        """Whether a page is of a huge one of a pool that reaches over the end of a range."""
        area = image.process.mm.vmas.at(page * self.page)
        assert area is not None
        size = area.pool.size if area.pool is not None else self.page
        return (page * self.page & -size) + size > end * self.page

    def store(self, which: int, number: int, skip: int) -> None:
        self.operations["store"] += 1
        image = self._image(which)
        page, _ = self._part(image, number, skip, 1)
        self.word += 1
        cell = image.cells.get(page)
        data = self.word.to_bytes(WORD, "little")
        allowed = cell is not None and cell.prot & Prot.WRITE
        write = partial(image.process.store, page * self.page, data)
        if not self._access(image, write, cell, allowed):
            return
        assert cell is not None
        if cell.private:
            image.cells[page] = replace(cell, word=self.word)
        else:
            assert cell.store is not None
            cell.store[cell.index] = self.word

    def load(self, which: int, number: int, skip: int) -> None:
        self.operations["load"] += 1
        image = self._image(which)
        page, _ = self._part(image, number, skip, 1)
        cell = image.cells.get(page)
        allowed = cell is not None and cell.prot & READABLE
        read = partial(image.process.load, page * self.page, WORD)
        got = self._access(image, read, cell, allowed)
        if got:
            assert cell is not None
            assert int.from_bytes(got, "little") == cell.value

    def touch(self, which: int, number: int, skip: int, count: int, *, write: bool) -> None:
        self.operations["touch"] += 1
        image = self._image(which)
        first, pages = self._part(image, number, skip, count)
        wanted = Prot.WRITE if write else Prot.READ | Prot.EXEC
        cells = [image.cells.get(page) for page in range(first, first + pages)]
        allowed = all(cell is not None and cell.prot & wanted for cell in cells)
        try:
            image.process.touch(first * self.page, pages * self.page, write=write)
        except SyscallError as error:
            huge = any(cell is not None and cell.huge for cell in cells)
            assert error.errno == "EFAULT" and (huge or not allowed)
        except OutOfMemory:
            return
        else:
            assert allowed

    # The account of it

    def _cuts_huge(self, image: Image, first: int, pages: int) -> bool:
        """Whether some of the pages are parts of huge ones."""
        cells = (image.cells.get(page) for page in range(first, first + pages))
        return any(cell is not None and cell.huge for cell in cells)

    def _access(self, image: Image, access, cell, allowed) -> bytes | bool:
        """What an access gave, if it should have worked; a process that should have died did."""
        try:
            got = access()
        except Killed as error:
            empty = cell is not None and cell.huge and "SIGBUS" in error.report.signal
            assert empty or not allowed
            self.images.remove(image)
            return False
        except OutOfMemory:
            return False
        assert allowed
        return True if got is None else got

    def _image(self, which: int) -> Image:
        if not self.images:
            self.spawn()
        return self.images[which % len(self.images)]

    def _part(self, image: Image, number: int, skip: int, count: int) -> tuple[int, int]:
        """Some pages of a mapping: (first page, pages); where there is none, one is made."""
        if not image.mappings:
            self.mmap(self.images.index(image), 8, Prot.READ | Prot.WRITE, "private")
        first, pages = image.mappings[number % len(image.mappings)]
        skip %= pages
        return first + skip, max(1, min(count, pages - skip))

    def check(self) -> None:
        """Everything that must hold, by the tables as they are in RAM."""
        image = as_user(self.kernel.image())
        owned = dict.fromkeys(self.held.tolist(), 0)
        users: Counter[int] = Counter()
        pooled: Counter[int] = Counter()
        places: dict[int, tuple[int, int]] = {}
        for each in self.images:
            self._check_areas(each)
            self._check_tables(each, owned)
            self._check_translations(each, image, places)
            self._count_users(each, users, pooled)
        self._own_shared(owned, users)
        self._check_pools(owned, pooled)
        for pfn, count in users.items():
            first, order = self.user.folios.head(pfn)
            owned.setdefault(first, order)
            assert count > 0
        self._check_references(users)
        check_pages(self.kernel.pages, owned)
        assert not self.kernel.cpus.violations

    def _check_areas(self, image: Image) -> None:
        """The areas cover the model's pages, with the same protection, and no others."""
        mm = image.process.mm
        mine = {first + step for first, pages in image.mappings for step in range(pages)}
        seen: dict[int, int] = {}
        for area in mm.vmas:
            assert area.start < area.end
            for page in range(area.start >> self.shift, area.end >> self.shift):
                if page in mine:
                    assert page not in seen
                    seen[page] = int(area.flags) & 7
        assert seen == {page: int(cell.prot) & 7 for page, cell in image.cells.items()}

    def _check_tables(self, image: Image, owned: dict[int, int]) -> None:
        """Each table is there once, and for an area; VmPTE counts them."""
        mm = image.process.mm
        tables, counts = mm.tables, Counter(dict.fromkeys(mm.tables.counts, 0))
        for level, table, start, size in walk(mm):
            assert table >> self.shift not in owned, "a table that two have"
            owned[table >> self.shift] = 0
            counts[tables.levels[level].name] += 1
            if not self.user.arm:
                inside = mm.vmas.overlapping(start, start + size)
                assert inside, f"a table for {start:#x} that no area needs"
        for table in tables.stored:
            owned[table >> self.shift] = 0
            counts["pte"] += 1
        assert counts == tables.counts
        if self.user.short:
            owned[mm.pgd >> self.shift] = 2
        else:
            owned[mm.pgd >> self.shift] = 0

    def _check_translations(self, image, snapshot, places) -> None:
        """What the hardware finds is the model's page, and allows no more than the model."""
        mm = image.process.mm
        space = snapshot.address_space(f"user:{mm.pgd:#x}")
        found = space.mappings(0, self.user.layout.task_size)
        for row in range(len(found.ranges)):
            va, pa, size = (int(column[row]) for column in (found.va, found.pa, found.size))
            attributes = found.attribute_values[int(found.attributes[row])]
            for offset in range(0, size, self.page):
                cell = image.cells.get(va + offset >> self.shift)
                if cell is None:
                    continue
                assert attributes.el0_read and cell.prot & READABLE
                assert not attributes.el0_write or cell.prot & Prot.WRITE
                assert not attributes.el0_execute or cell.prot & Prot.EXEC
                word = int.from_bytes(snapshot.memory.read(pa + offset, WORD), "little")
                assert word == cell.value, f"{va + offset:#x}: {word} is not {cell.value}"
                if not cell.private:
                    key = (id(cell.store), cell.index)
                    assert places.setdefault(pa + offset, key) == key
                elif attributes.el0_write:
                    key = (id(image), va + offset)
                    assert places.setdefault(pa + offset, key) == key, "shared, and writable"

    def _count_users(self, image: Image, users: Counter[int], pooled: Counter[int]) -> None:
        """How many entries, as Linux reads them, name each page; a huge page counts once."""
        mm = image.process.mm
        entries = self.user.entries
        for area in [area for area in mm.vmas if area.pool is not None]:
            for va in range(area.start, area.end, area.pool.size):
                entry = get_huge(mm, area, va)[1]
                if entry:
                    pooled[entries.address(entry) >> self.shift] += 1
        special = {pfn for each in self.user.special for pfn in each.pages}
        for span in mm.tables.spans(0, self.user.layout.task_size):
            named = [span.entry]
            if not span.entry:
                count = span.end - span.start >> self.shift
                named = mm.tables.get_ptes(span.table, span.start, count).tolist()
            for number, entry in enumerate(named):
                pfn = entries.address(entry) >> self.shift
                if not entry or pfn in special or pfn == self.user.zero_pfn:
                    continue
                area = mm.vmas.at(span.start + number * self.page)
                if area is None or area.pool is None:
                    users[pfn] += 1
        users.pop(self.user.huge_zero, None)

    def _own_shared(self, owned: dict[int, int], users: Counter[int]) -> None:
        """What is not of one process: files, huge pages in pools, the signal page."""
        files = {id(file): file for file, _ in self.stores}
        files |= {id(file): file for file in self.kernel.user.files.values()}
        for mm in self.user.address_spaces:
            files |= {id(area.file): area.file for area in mm.vmas if area.file is not None}
        for file in files.values():
            for pfn in file.pages.values():
                users[pfn] += 1
        if self.user.huge_zero is not None:
            owned[self.user.huge_zero] = self.user.thp.pmd_order
        if self.user.arm:
            owned[self.user.special[0].pages[0]] = 0
        caches = [*self.kernel.slabs.caches.values(), self.user.small_roots.cache]
        slabs = [slab for cache in caches if cache is not None for slab in cache.slabs.values()]
        owned.update({slab.pfn: slab.order for slab in slabs})

    def _check_pools(self, owned: dict[int, int], pooled: Counter[int]) -> None:
        """Each page of a pool is free, mapped so often, or kept for who shares it."""
        shared = {
            pfn
            for mm in self.user.address_spaces
            for area in mm.vmas
            if area.huge_cache is not None
            for pfn in area.huge_cache.pages.values()
        }
        for pfn, count in pooled.items():
            assert self.user.frames.mapcount(pfn) == count
        free = [pfn for pool in self.user.pools for pfn in pool.free]
        assert len(set(free)) == len(free)
        used = shared | set(pooled)
        assert not used & set(free)
        assert len(free) + len(used) == sum(pool.total for pool in self.user.pools)
        for pool in self.user.pools:
            left = {
                (id(area.reservation), va)
                for mm in self.user.address_spaces
                for area in mm.vmas
                if area.pool is pool and area.reservation is not None
                for va in area.reservation.left
            }
            assert pool.reserved == len(left) <= len(pool.free)
            if pool.order <= self.kernel.pages.max_order:
                size = pool.order
                owned.update(dict.fromkeys(pool.free, size))
                owned.update({pfn: size for pfn in used if self.user.frames.order(pfn) == size})

    def _check_references(self, users: Counter[int]) -> None:
        """References of each folio are the entries and files that name its pages."""
        folios: Counter[int] = Counter()
        for pfn, count in users.items():
            folios[self.user.folios.head(pfn)[0]] += count
        heads = np.fromiter(folios, np.uint64, len(folios))
        counts = np.fromiter(folios.values(), np.int64, len(folios))
        assert self.user.frames.refcounts(heads).tolist() == counts.tolist()

    def finish(self) -> None:
        """The last one goes, and all memory is back."""
        self.relax()
        while self.images:
            self.exit(0)
        for file, _ in self.stores:
            self.kernel.user.unlink(file.name)
        self.check()
        assert not self.user.address_spaces


def as_user(image):
    """The image with user memory open: 32-bit ARM's kernel shuts it by the domain."""
    registers = dict(image.registers)
    if "DACR" in registers:
        registers["DACR"] |= 1 << 2 * USER_DOMAIN
    return replace(image, registers=registers)


def walk(mm):
    """(level, table, first address, bytes) of each table below the root, by RAM."""
    tables = mm.tables
    todo = [(0, mm.pgd, 0)]
    end = mm.user.layout.task_size
    while todo:
        level, table, start = todo.pop()
        if level:
            yield level, table, start, tables.levels[level - 1].size
        if level == tables.last:
            continue
        step = tables.levels[level].size
        for index in range(tables.levels[level].entries):
            va = start + index * step
            if va >= end:
                break
            entry = tables.read(table, level, va)
            if entry and tables.entries.is_table(entry):
                todo.append((level + 1, tables.entries.address(entry), va))
