"""memblock, zones, free lists, vmalloc and counters, held against the kernel's own files."""

import re
from collections import Counter

import numpy as np
import pytest
from forward import predicted
from kernel_areas import again, alignments, leaves, recorded_areas, requested

from ttbr.boot.arm64.state import Arm64
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.memblock import LISTS
from ttbr.recover.vmalloc import FLAGS, find_vmalloc, find_vmap_nodes
from ttbr.report.proc.vmallocinfo import vmallocinfo
from ttbr.run import run
from ttbr.run.modules_area import module_alloc
from ttbr.run.vmap_area import Vm

# Lines that do not change while a guest does nothing but write its own files out.
STEADY = (
    *("MemTotal", "HighTotal", "LowTotal", "CmaTotal", "Mlocked", "Bounce", "WritebackTmp"),
    *("SwapTotal", "SwapFree", "SwapCached", "NFS_Unstable", "CommitLimit", "VmallocTotal"),
    *("VmallocChunk", "HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"),
    *("Hugepagesize", "Hugetlb"),
)
# Those that do: the recorder's own pages and dentries are among them.
DRIFT = 2048  # KiB
# What allocates kernel stacks, which are aligned to twice their size.
STACK_MAKERS = ("kernel_clone", "copy_process", "dup_task_struct", "start_kernel")


@pytest.fixture
def memory(linux):
    return KernelMemory(linux)


def test_memblock_equals_debugfs(machine, memory, figure):
    found = memory.memblock
    assert found is not None
    compared = 0
    for number, name in enumerate(LISTS):
        wanted = []
        for line in machine.text(f"memblock.{name}").splitlines():
            first, last = (int(part, 16) for part in line.split()[1].split(".."))
            wanted.append((first, last - first + 1))
        mine = found.list == number
        assert (
            list(zip(found.base[mine].tolist(), found.size[mine].tolist(), strict=True)) == wanted
        )
        compared += len(wanted)
    figure("memblock", compared, compared)


def zoneinfo(machine):
    """(node, zone) → the figures of /proc/zoneinfo."""
    parts = re.split(r"^Node (\d+), zone +(\S+)$", machine.text("zoneinfo.txt"), flags=re.M)
    for node, name, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        figures = {}
        for key, value in re.findall(r"^ +(?:pages )?([a-z_]+):? +(\d+)$", body, re.M):
            figures.setdefault(key, int(value))
        yield (int(node), name), figures


def test_zones_equal_zoneinfo(machine, memory, figure):
    zones = memory.zones
    assert zones.unknown == ()
    wanted = dict(zoneinfo(machine))
    keys = list(zip(zones.node.tolist(), zones.name, strict=True))
    assert keys == list(wanted)
    columns = {
        "spanned": zones.spanned,
        "present": zones.present,
        "managed": zones.managed,
        "min": zones.watermarks[:, 0],
        "low": zones.watermarks[:, 1],
        "high": zones.watermarks[:, 2],
    }
    compared = 0
    for row, key in enumerate(keys):
        for name, column in columns.items():
            assert int(column[row]) == wanted[key][name], (key, name)
            compared += 1
        if wanted[key]["managed"]:
            assert int(zones.start[row]) == wanted[key]["start_pfn"]
            compared += 1
    figure("zones", compared, compared)


def test_free_lists(machine, memory, figure):
    """The lists have what nr_free counts; and what buddyinfo counted a moment before."""
    found, zones = memory.free_blocks, memory.zones
    assert found is not None
    assert found.broken == 0
    walked = np.zeros_like(found.counted)
    np.add.at(walked, (found.zone, found.order), 1)
    populated = zones.present > 0
    assert (walked[populated] == found.counted[populated]).all()
    size = np.zeros(len(zones), np.int64)
    np.add.at(size, found.zone, 1 << found.order)
    # Pages on the lists of CPUs are not counted as free either
    assert (size == zones.free)[populated].all()
    wanted = {}
    for line in machine.text("buddyinfo.txt").splitlines():
        node, name, *counts = re.findall(r"Node (\d+), zone +(\S+) +(.*)", line)[0]
        wanted[int(node), name] = [int(count) for count in counts[0].split()]
    compared = equal = 0
    for row, key in enumerate(zip(zones.node.tolist(), zones.name, strict=True)):
        if key in wanted:
            compared += len(wanted[key])
            equal += sum(a == b for a, b in zip(walked[row].tolist(), wanted[key], strict=True))
            pages = sum(count << order for order, count in enumerate(wanted[key]))
            assert abs(pages - int(zones.free[row])) * memory.linux.page_size < DRIFT << 10
    lists = walked[populated].size
    figure("free lists", lists, lists, note=f"{len(found)} free blocks")
    figure("buddyinfo", compared, equal, note="the kernel took it a moment before")


def test_vmalloc_equals_vmallocinfo(machine, memory, figure):
    """Size, pages, physical address and kind of every area (addresses are hashed there)."""
    found = memory.vmalloc
    assert found is not None
    assert found.unknown == ()
    mine = Counter()
    for size, flags, pages, pa in zip(
        found.size.tolist(),
        found.flags.tolist(),
        found.pages.tolist(),
        found.pa.tolist(),
        strict=True,
    ):
        words = [f"pages={pages}"] * bool(pages) + [f"phys={pa:#x}"] * bool(pa)
        mine[size, *words, *(name for bit, name in FLAGS.items() if flags & bit)] += 1
    wanted = Counter()
    for line in machine.text("vmallocinfo.txt").splitlines():
        if "unpurged" in line or "vm_map_ram" in line:
            continue
        _, size, *words = line.split()
        kept = []
        for word in words:
            if word.startswith("phys="):
                kept.append(f"phys={int(word[5:], 16):#x}")
            elif word.startswith("pages=") or word in FLAGS.values():
                kept.append(word)
        wanted[int(size), *kept] += 1
    equal = sum((mine & wanted).values())
    assert mine == wanted
    figure("vmalloc", wanted.total(), equal)


def test_vmap_nodes_without_symbols(machine, memory, say):
    """Since 6.9 the lists are in nodes, which their form shows."""
    linux = memory.linux
    if linux.symbol("vmap_area_list") is not None:
        return
    at = find_vmap_nodes(linux.memory, linux.image_data[1], linux.text)
    pointer = linux.symbol("vmap_nodes")
    start = linux.symbol("single") if pointer is None else linux.memory.number(pointer)
    assert at is not None and 0 <= at - start < 0x2000
    page, wide = linux.page_size, linux.memory.space.regime.format.entry_size
    areas = find_vmalloc(linux.memory, linux.layouts, None, at, max(wide, linux.word), page)
    assert areas.start.tolist() == memory.vmalloc.start.tolist()
    say(f"{machine.case}: vmap nodes by their form, areas compared {len(areas)}, all equal")


def test_lines_of_meminfo(machine, memory, figure):
    """Every line that the kernel printed is told, or said to be unknown; and no other."""
    meminfo = memory.meminfo
    found = {**meminfo.kib, **meminfo.counts}
    lines = [line.split() for line in machine.text("meminfo.txt").splitlines()]
    wanted = {name.rstrip(":"): int(value) for name, value, *_ in lines}
    assert [*found, *meminfo.unknown] != [] and {*found, *meminfo.unknown} == {*wanted}
    units = {name.rstrip(":"): unit for name, _, *unit in lines}
    assert {name for name, unit in units.items() if not unit} >= {*meminfo.counts}
    equal = [name for name in found if found[name] == wanted[name]]
    moved = [f"{n} {wanted[n]}→{found[n]}" for n in found if n not in equal]
    for name in STEADY:
        assert name not in found or found[name] == wanted[name], name
    assert all(abs(found[name] - wanted[name]) < DRIFT for name in found)
    assert "MemTotal" in found
    assert found["MemTotal"] > found["MemAvailable"] > 0
    figure(
        *("meminfo", len(found), len(equal), len(meminfo.unknown)),
        f"unknown: {', '.join(meminfo.unknown) or 'none'}; moved: {', '.join(moved) or 'none'}",
    )


def without_places(line: str) -> tuple[str, ...]:
    """A line of /proc/vmallocinfo: size, pages, physical address and kinds."""
    _, size, _, *rest = line.split()
    return size, *(word for word in rest if not re.fullmatch(r"N\d+=\d+", word))


@pytest.fixture
def running(machine, truth):
    """The model of the recorded kernel, at the hand-over."""
    return run(predicted(truth, machine.case))


def test_the_model_maps_areas_alike(machine, memory, running, say):
    """The same request again: the same size and guard page, block by block the same entries."""
    areas = compared = equal = 0
    early = {area.addr: area for area in running.space.vmalloc.areas.areas}
    places = list(early)
    for area in recorded_areas(memory.vmalloc):
        if area.addr in early:
            made = early.pop(area.addr)
            assert (made.size, made.flags) == (area.size, area.flags)
            assert made.phys_addr == area.phys_addr
            areas += 1
        elif requested(area):
            size = area.size - machine.expected["page_size"]
            wanted = leaves(machine.image, area.addr, area.size)
            made = again(running, area, wanted[0])
            assert made.size == area.size
            places.append(made.addr)
            found = leaves(running.image(), made.addr, size)
            for one, other in zip(found, wanted, strict=True):
                compared += 1
                same = (one.offset, one.size, one.level, one.bits) == (
                    *(other.offset, other.size, other.level, other.bits),
                )
                equal += same and (not area.flags & Vm.IOREMAP or one.phys == other.phys)
            areas += 1
    assert not early
    assert equal == compared > 100
    # The same lines in /proc/vmallocinfo, but for addresses, who asked, and nodes.
    lines = Counter(map(without_places, machine.text("vmallocinfo.txt").splitlines()))
    printed = {int(line.partition("-")[0], 16): line for line in vmallocinfo(running)}
    assert not Counter(without_places(printed[start]) for start in places) - lines
    say(
        f"{machine.case}: {areas} vmalloc areas made again, entries compared {compared}, "
        f"equal {equal}"
    )


def test_areas_are_aligned_as_the_model_aligns_them(machine, linux, memory, running, say):
    """By their size for devices, to twice their size for kernel stacks."""
    callers = linux.symbols
    made_by = zip(memory.vmalloc.start.tolist(), memory.vmalloc.caller.tolist(), strict=True)
    stacks = {
        start for start, caller in made_by if (callers.nearest(caller) or ("",))[0] in STACK_MAKERS
    }
    above = Counter()
    for area in recorded_areas(memory.vmalloc):
        if requested(area):
            align = alignments(running, stacks, area)
            assert area.addr % align == 0
            above[align > machine.expected["page_size"]] += 1
    assert above[True]
    say(
        f"{machine.case}: alignment of areas, compared {above.total()}, equal {above.total()}, "
        f"{above[True]} of them to more than a page"
    )


def test_linear_addresses_and_vmap(machine, running, say):
    """What a module of the kernel got from kmalloc, alloc_pages and vmap."""
    page = machine.expected["page_size"]
    rows = [
        (r["kind"], int(r["va"], 16), int(r["pa"], 16)) for r in machine.expected["kernel_maps"]
    ]
    compared = 0
    for kind, va, pa in rows:
        if kind not in ("kmalloc", "kmalloc-64k", "pages", "task-struct", "kmap-low"):
            continue
        found = running.space.direct_map.page_address(pa // page)
        assert found is not None and found + pa % page == va, kind
        compared += 1
    mapped = [(va, pa) for kind, va, pa in rows if kind == "vmap-ro"]
    frames = np.array([pa // page for _, pa in mapped], np.uint64)
    made = running.space.vmalloc.vmap(frames, prot=running.space.prot.kernel_ro)
    start, size = mapped[0][0], len(mapped) * page
    assert leaves(running.image(), made, size) == leaves(machine.image, start, size)
    compared += len(mapped)
    say(f"{machine.case}: kernel addresses, compared {compared}, equal {compared}")


def test_modules_and_highmem_pages_go_where_they_went(machine, memory, running, say):
    """The first module's area, and the first page that the lab's module kmapped."""
    page, maps = machine.expected["page_size"], machine.expected["kernel_maps"]
    region = running.space.bounds.modules
    compared = 0
    if not region.random:
        first = next(
            area
            for area in recorded_areas(memory.vmalloc)
            if area.flags & Vm.FLUSH_RESET_PERMS and area.addr >= region.near[0]
        )
        assert module_alloc(running.space, first.size - page) == first.addr
        compared += 1
    for row in (row for row in maps if row["kind"] == "kmap-high"):
        va, pa = int(row["va"], 16), int(row["pa"], 16)
        made = running.space.pkmap.kmap(pa // page)
        assert made == va
        assert leaves(running.image(), made, page) == leaves(machine.image, va, page)
        compared += 1
    say(f"{machine.case}: places of modules and of kmap, compared {compared}, equal {compared}")


def test_the_kernel_image_is_mapped_as_it_is_when_up(machine, running, say):
    """Code, read-only data and the alias of both in the linear map; init memory is gone."""
    state, symbols = running.space.state, running.kernel.symbols
    if isinstance(state, Arm64):
        first = "_text" if running.kernel.release.has("arm64_text_head_mapped") else "_stext"
        image = state.va(first), state.va("_end")
        alias = (state.phys_to_virt(state.pa(name)) for name in (first, "__init_begin"))
        spans = [image, tuple(alias)]
    else:
        size = state.layout.section_size
        spans = [(state.layout.page_offset, -(-symbols["_end"] // size) * size)]
    compared = 0
    for start, end in spans:
        wanted = leaves(machine.image, start, end - start)
        assert leaves(running.image(), start, end - start) == wanted
        compared += len(wanted)
    say(f"{machine.case}: entries of the kernel image, compared {compared}, equal {compared}")
    assert compared


MODULE = {
    "module-text": ("set_memory_ro", "set_memory_x"),
    "module-rodata": ("set_memory_ro", "set_memory_nx"),
    "module-data": ("set_memory_nx",),
}
"""What loading a module does to each kind of its memory (kernel/module/strict_rwx.c)."""


def test_modules_are_protected_as_they_were(machine, memory, running, say):
    """Where they run, and through the linear map, where all pages of an area change together."""
    page = machine.expected["page_size"]
    space = running.space
    base = space.bounds.vmalloc_start if space.bounds.modules.random else None
    rows = [
        (row["kind"], int(row["va"], 16) // page * page) for row in machine.expected["kernel_maps"]
    ]
    compared = 0
    for area in recorded_areas(memory.vmalloc):
        mine = [(kind, va) for kind, va in rows if kind in MODULE and area.addr <= va < area.end]
        if not mine:
            continue
        made = module_alloc(space, area.size - page, base=base)
        for kind, va in mine:
            for change in MODULE[kind]:
                getattr(space.memory, change)(made + va - area.addr, 1)
        for kind, va in mine:
            at = made + va - area.addr
            pairs = [(at, va)]
            if running.arch == "arm64":
                pairs.append(
                    (_linear(running, running.image(), at), _linear(running, machine.image, va))
                )
            for here, there in pairs:
                found, wanted = (
                    leaves(image, where, page)[0]
                    for image, where in ((running.image(), here), (machine.image, there))
                )
                assert (found.level, found.bits) == (wanted.level, wanted.bits), kind
                compared += 1
    assert compared
    say(f"{machine.case}: entries of modules, compared {compared}, equal {compared}")


def _linear(running, image, va: int) -> int:
    """The linear address of what an image maps at a kernel address."""
    phys = image.address_space("kernel").translate(va).pa
    return running.space.direct_map.page_address(phys // running.page_size)
