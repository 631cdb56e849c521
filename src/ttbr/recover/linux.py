"""The Linux in an image: what its kernel says of itself, found when it is first asked for.

Everything is read from memory through the kernel's own tables; what a user has (a System.map, the
types of a vmlinux) can be given and goes before what is found.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from itertools import islice

import numpy as np

from ttbr.errors import InputError
from ttbr.kernel.btf import Btf
from ttbr.kernel.config import Config
from ttbr.kernel.release import Release
from ttbr.kernel.symbols import Symbols
from ttbr.kernel.types import Types
from ttbr.mmu.image import Image
from ttbr.recover.exported_symbols import ExportedSymbols
from ttbr.recover.identify import identify, noted
from ttbr.recover.kallsyms import kernel_kallsyms
from ttbr.recover.kernel_image import find_btf, find_config, image_bytes
from ttbr.recover.kernel_symbols import KernelSymbols
from ttbr.recover.layouts import Layouts, Recovered
from ttbr.recover.linux_reading import LinuxReader
from ttbr.recover.modules import Modules, find_modules
from ttbr.recover.processes import Processes, unlisted
from ttbr.recover.recovered_layouts import RecoveredLayouts
from ttbr.recover.release import known_release
from ttbr.recover.table_pages import Progress
from ttbr.recover.task_layout import names_of_idle
from ttbr.recover.tasks import Tasks, read_tasks
from ttbr.recover.virtual_memory import VirtualMemory
from ttbr.recover.vmas import GATE, Vmas, read_vmas
from ttbr.recover.vmcoreinfo import VmcoreInfo, find_all, parse
from ttbr.recover.zones import find_nodes, find_zone_layout

_IMAGE = 96 << 20  # bytes of a kernel's image that are looked at where its end is not known
_LARGEST_IMAGE = 256 << 20
_MODULES = 16 << 20  # below the kernel's half of 32-bit ARM (asm/memory.h: TASK_SIZE)
_TEXT = ("_text", "_stext", "stext")
_MOST_NOTES = 16  # places with a vmcoreinfo that are looked at
_NOTE_SYMBOLS = ("vmcoreinfo_data",)


class Linux:
    """The kernel in ``image``, whose kernel tables can be walked.

    ``given_types``: types of a vmlinux or BTF file; ``system_map``: link-time symbols.
    """

    def __init__(
        self,
        image: Image,
        *,
        given_types: Types | None = None,
        system_map: Symbols | None = None,
    ) -> None:
        self.image = image
        self._given_types = given_types
        self._system_map = system_map
        self._exports: dict[str, int | None] = {}

    @property
    def word(self) -> int:
        """Bytes of a pointer and of an unsigned long."""
        return 8 if self.image.arch == "arm64" else 4

    @cached_property
    def memory(self) -> VirtualMemory:
        """The kernel's own address space."""
        return VirtualMemory(self.image.address_space("kernel"), self.word)

    @cached_property
    def page_size(self) -> int:
        """Bytes of a page of the kernel's tables."""
        return 1 << self.memory.space.regime.levels[-1].shift

    @cached_property
    def kallsyms(self) -> KernelSymbols | None:
        """The table that the kernel carries, without modules; None if it has none."""
        return kernel_kallsyms(self.image.memory, self.memory)

    @cached_property
    def symbols(self) -> KernelSymbols:
        """The kernel's symbols, then those of its modules; empty where nothing tells any."""
        own = self._own_symbols
        modules = self.modules
        if modules is None:
            return own
        parts = [(row, table) for row, table in enumerate(modules.symbols) if table.names]
        return KernelSymbols(
            np.concatenate([own.address, *(table.address for _, table in parts)]),
            own.types + "".join(table.types for _, table in parts),
            [*own.names, *(name for _, table in parts for name in table.names)],
            np.concatenate(
                [own.module, *(np.full(len(t.names), row, np.int16) for row, t in parts)]
            ),
            modules.names,
            own.source,
        )

    @cached_property
    def _own_symbols(self) -> KernelSymbols:
        """The kernel's symbols: from a System.map that was given, or kallsyms, or the image."""
        found = self.kallsyms
        if self._system_map is not None:
            return _moved(self._system_map, found, self.image.facts.symbols)
        if found is not None:
            return found
        known = sorted(self.image.facts.symbols.items(), key=lambda item: item[1])
        return KernelSymbols(
            np.array([address for _, address in known], np.uint64),
            "?" * len(known),
            [name for name, _ in known],
            np.full(len(known), -1, np.int16),
            (),
            "what came with the image" if known else "",
        )

    def symbol(self, name: str) -> int | None:
        """The run-time address of a symbol of the kernel proper, or None."""
        found = self._own_symbols.get(name)
        if found is None:
            found = self.vmcoreinfo.symbols.get(name)
        if found is None:
            found = self.image.facts.symbols.get(name)
        return self._exported(name) if found is None else found

    def _exported(self, name: str) -> int | None:
        """The address of a variable that is exported, on a kernel that lists code alone."""
        if self.text is None or not self._lists_code_alone:
            return None
        if name not in self._exports:
            table = ExportedSymbols(self.image_data[1], self.text, self.word)
            self._exports[name] = table.get(name)
        return self._exports[name]

    @cached_property
    def _lists_code_alone(self) -> bool:
        return self.kallsyms is not None and not set(self.kallsyms.types) & set("dbB")

    def room(self, address: int) -> int:
        """Bytes from an address of the kernel's image to the next symbol, or to its end."""
        own = self._own_symbols.address
        behind = own[own > np.uint64(address)]
        end = int(behind.min()) if len(behind) else 0
        return max(0, (end or (self.image_range or (0, 0))[1]) - address)

    @cached_property
    def text(self) -> int | None:
        """The run-time address at which the kernel's image begins."""
        return next((at for at in map(self._own_symbols.get, _TEXT) if at is not None), None)

    @cached_property
    def image_range(self) -> tuple[int, int] | None:
        """The kernel's image: first virtual address and first after it; None if unknown."""
        if self.text is None:
            return None
        end = self._own_symbols.get("_end")
        if end is None or not self.text < end <= self.text + _LARGEST_IMAGE:
            end = self.text + _IMAGE
        return self.text, end

    @cached_property
    def image_data(self) -> tuple[int, bytes]:
        """The kernel's image: physical address, and its bytes; none where it is not found.

        It is one piece of physical memory, of which parts may not be mapped any more.
        """
        start = None if self.image_range is None else self.memory.pa(self.image_range[0])
        if start is None or self.image_range is None:
            return 0, b""
        size = self.image_range[1] - self.image_range[0]
        return start, image_bytes(self.image.memory, start, start + size)

    @cached_property
    def modules(self) -> Modules | None:
        """The loaded modules, newest first; None where the kernel's image is not found."""
        if self.text is None:
            return None
        return find_modules(self.memory, self.text, self._own_symbols.get("modules"))

    @cached_property
    def built_in_config(self) -> tuple[Config, str] | None:
        """The configuration in the image (CONFIG_IKCONFIG) and its text; None without one."""
        return find_config(self.image_data[1])

    @property
    def config(self) -> Config | None:
        """The kernel's configuration, or None."""
        return None if self.built_in_config is None else self.built_in_config[0]

    @cached_property
    def btf(self) -> Btf | None:
        """The kernel's own types (CONFIG_DEBUG_INFO_BTF), or None."""
        start, data = self.image_data
        return find_btf(data, self.word, start)

    @cached_property
    def types(self) -> Types | None:
        """Types as somebody wrote them down: those given, or the kernel's own; or None."""
        return self._given_types or self.btf

    @cached_property
    def vmcoreinfo(self) -> VmcoreInfo:
        """The kernel's note; empty where there is none."""
        if self.image.facts.vmcoreinfo:
            return VmcoreInfo(self.image.facts.vmcoreinfo)
        for name in _NOTE_SYMBOLS:
            at = self._own_symbols.get(name)
            where = None if at is None else self.memory.number(at)
            data = None if where is None else self.memory.try_read(where, self.page_size)
            info = parse(data or b"")
            if info.page_size is not None:
                return info
        text = self._own_symbols.every("_stext")
        notes = [info for _, info in islice(find_all(self.image.memory), _MOST_NOTES)]
        # Copies can be cut short, and another kernel's note can lie about.
        own = [info for info in notes if not text or info.symbols.get("_stext") in text]
        return max(own, key=lambda info: len(info.entries), default=VmcoreInfo())

    @cached_property
    def release(self) -> Release | None:
        """The release, with the sublevel that configuration or banner give; None if unknown."""
        found = known_release(self.image)
        config = self.config
        if found is None or found.sublevel or config is None or config.release is None:
            return found
        try:
            return replace(Release.parse(config.release), text=found.text)
        except InputError:
            return found

    @cached_property
    def _idle_names(self) -> list[int]:
        """Where in the kernel's image the name of the idle task is."""
        return [] if self.text is None else names_of_idle(self.image_data[1], self.text)

    @cached_property
    def _recovered(self) -> RecoveredLayouts:
        generation = self.symbol("asid_generation")
        return RecoveredLayouts(
            self.memory,
            self.image.user_regime,
            self.page_size,
            self._idle_names,
            self.symbol("init_task"),
            None if generation is None else self.memory.number(generation, 8),
        )

    @cached_property
    def layouts(self) -> Layouts:
        """Where the members of the kernel's structures lie."""
        return Layouts(self.types, self.vmcoreinfo, self._recovered_of)

    def _recovered_of(self, struct: str) -> Recovered:
        if struct == "zone":
            return self._zone_layout
        return self._recovered.of(struct)

    @cached_property
    def _zone_layout(self) -> Recovered:
        if not self.nodes:
            return {}
        info = self.vmcoreinfo
        return find_zone_layout(self.memory, info.offsets, self.nodes[0], info.sizes.get("zone", 0))

    @cached_property
    def nodes(self) -> list[int]:
        """The addresses of nodes (pglist_data), by number; empty where they are not found."""
        single = self.symbol("contig_page_data")
        if single is not None:
            return [single]
        offsets = {
            name: self.layouts.offset(*name.split("."))
            for name in ("pglist_data.node_zones", "pglist_data.node_id")
        }
        info = self.vmcoreinfo
        size, spanned = info.sizes.get("zone"), info.offsets.get("zone.spanned_pages")
        pgdat = None
        if self.types is not None:
            size = self.types.size("zone")
            spanned = self.layouts.offset("zone", "spanned_pages")
            pgdat = self.layouts.offset("zone", "zone_pgdat")
        table = self.symbol("node_data")
        image = self.image_data[1]
        return find_nodes(self.memory, image, table, offsets, pgdat, size or 0, spanned)

    @cached_property
    def init_task(self) -> int | None:
        """The address of the first task, which idles; None where it is not found."""
        known = self.symbol("init_task")
        if known is not None:
            return known
        if self.types is None:
            found = self._recovered.tasks
            return None if found is None else found.init_task
        offsets = self.layouts.offsets("task_struct", "comm", "real_parent")
        if offsets is None:
            return None
        tasks = [comm - offsets[0] for comm in self._idle_names]
        return next((t for t in tasks if self.memory.number(t + offsets[1]) == t), None)

    @cached_property
    def tasks(self) -> Tasks:
        """All tasks but the idle ones; `InputError` where none are found."""
        if self.init_task is None:
            raise InputError("no tasks were found: nothing in memory looks like init_task")
        mask = 0xFFFF if self.word == 8 else 0xFF  # asm/mmu.h: ASID
        return read_tasks(self.memory, self.layouts, self.init_task, mask)

    @cached_property
    def vmas(self) -> Vmas:
        """The areas of all processes, each mm's once."""
        mms = np.unique(self.tasks.mm)
        return read_vmas(
            self.memory,
            self.layouts,
            mms[mms != 0],
            self.page_size,
            self.release,
            self._has_gate,
        )

    @property
    def _has_gate(self) -> bool:
        """Whether processes may run code in the kernel's vectors (arm's CONFIG_KUSER_HELPERS)."""
        page = self.memory.space.translate(GATE) if self.word == 4 else None
        return page is not None and page.attributes is not None and page.attributes.el0_read

    def process(self, pid: int) -> int:
        """The row in ``tasks`` of a number; `InputError` if no task has it."""
        rows = self.tasks.rows_of(pid)
        if not len(rows):
            raise InputError(f"no task has the number {pid}")
        return int(rows[0])

    @cached_property
    def processes(self) -> Processes:
        """What the tables of processes map."""
        # Linux's own entries, and with them those of processes, end where the kernel's begin.
        space = self.memory.space.regime
        end = space.base
        if end == 0:
            end = (self.image.facts.page_offset or 1 << 32) - _MODULES
        return Processes(self.image, LinuxReader(self.image.user_regime, self.release), end)

    def unlisted_roots(self, progress: Progress | None = None) -> tuple[int, ...]:
        """Roots of processes that no task has, found by their tables; reads all of memory."""
        found = identify(self.image.memory, noted(self.image), user_roots=True, progress=progress)
        if found is None or found.user_roots is None:
            return ()
        return unlisted(found.user_roots.value, self.tasks.pgd)


def _moved(given: Symbols, found: KernelSymbols | None, noted: Mapping[str, int]) -> KernelSymbols:
    """Symbols of a System.map at their run-time addresses; `InputError` if that is not known."""
    offset = None
    for name in _TEXT:
        own = noted.get(name) if found is None else found.get(name)
        if own is not None and len(given.lookup_all(name)) == 1:
            offset = own - given[name]
            break
    if offset is None:
        raise InputError(
            "the image does not say where its kernel runs: the System.map cannot be placed"
        )
    rows = sorted((at, name) for name in given for at in given.lookup_all(name))
    address = np.array([at for at, _ in rows], np.uint64) + np.uint64(offset % (1 << 64))
    none = np.full(len(rows), -1, np.int16)
    return KernelSymbols(
        address, "?" * len(rows), [name for _, name in rows], none, (), "System.map"
    )
