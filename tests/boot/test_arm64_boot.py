"""Whole boots of made-up arm64 kernels: in any configuration everything maps where it must."""

from __future__ import annotations

from collections.abc import Callable

import arm64_kernels as made
import numpy as np
import pytest
from arm64_kernels import PLAIN, WIDE, G, M

from device_trees import blob, cells
from ttbr.boot.arm64.registers import with_t0sz
from ttbr.boot.machine import Machine
from ttbr.errors import InputError, TtbrError
from ttbr.kernel.arm64_layout import markers
from ttbr.kernel.cpu import CORES, Cpu
from ttbr.mmu.image import Image

RAM = [(0x4000_0000, 512 * M)]
NEW, OLD = "6.12.117", "6.1.192"
KERNELS = [
    *(
        (NEW, *cut)
        for cut in [(12, 39), (12, 48), (14, 36), (14, 47), (14, 48), (16, 42), (16, 48)]
    ),
    *(
        (OLD, *cut)
        for cut in [(12, 39), (12, 48), (14, 36), (14, 47), (14, 48), (16, 42), (16, 48)]
    ),
    *((NEW, *cut) for cut in [(12, 52), (14, 52), (16, 52)]),
    (OLD, 16, 52),
]


def pages(start: int, end: int, size: int) -> np.ndarray:
    return np.arange(start, end, size, dtype=np.uint64)


def mapped_to(machine: Machine, va: np.ndarray) -> np.ndarray:
    """Physical addresses by the machine's own registers and tables; 2^64 − 1 for a fault."""
    found = machine.image().address_space("kernel").translate_many(va)
    return np.where(found.fault == 0, found.pa, np.uint64((1 << 64) - 1))


def symbol(machine: Machine, name: str) -> tuple[int, int]:
    """(run-time virtual, physical) address of a symbol."""
    state = machine.arch_state
    return state.va(name), state.pa(name)


def check_image(machine: Machine, first: str) -> None:
    size = 4096
    (start, phys), (end, _) = symbol(machine, first), symbol(machine, "_end")
    va = pages(start, end, size)
    assert (mapped_to(machine, va) == va - np.uint64(start) + np.uint64(phys)).all()


def check_linear(machine: Machine) -> None:
    for base, end in machine.memblock.for_each_mem_range():
        pa = pages(base, end, 4096)
        state = machine.arch_state
        va = (pa - np.uint64(state.memstart)) | np.uint64(state.layout.page_offset)
        assert (mapped_to(machine, va) == pa).all()


@pytest.mark.parametrize("cpu", [PLAIN, WIDE], ids=lambda cpu: cpu.name)
@pytest.mark.parametrize("cut", KERNELS, ids=str)
def test_image_and_memory_map_to_themselves(cut, cpu) -> None:
    tree = made.tree([*RAM, (0x8_8000_0000, 64 * M)] if cut[2] > 36 else RAM)
    early = made.run(made.kernel(*cut), tree, cpu=cpu, stop="early_map")
    check_image(early, "_text")
    final = made.run(made.kernel(*cut), tree, cpu=cpu)
    check_image(final, "_text" if cut[0] == NEW else "_stext")
    check_linear(final)


def identity(machine: Machine, root: str, bits: int) -> Callable[[int], int | None]:
    """Translation through an identity map of so many bits."""
    state, image = machine.arch_state, machine.image()
    tcr = with_t0sz(machine.registers["TCR_EL1"], 64 - bits)
    registers = image.registers | {"TTBR0_EL1": state.pa(root), "TCR_EL1": tcr}
    space = Image(image.memory, registers, image.facts).address_space("user")
    return lambda pa: space.translate(pa).pa


@pytest.mark.parametrize("high", [False, True])
@pytest.mark.parametrize("cut", KERNELS, ids=str)
def test_identity_maps_are_identical(cut, high) -> None:
    release, _, va_bits = cut
    base = 0x4000_0000
    if high and va_bits > 36:
        base = 1 << 43  # more than the smaller kernels have for themselves
    tree = made.tree([(base, 512 * M)])
    places = {"kernel_at": base + 2 * M, "dtb_at": base + 128 * M}
    early = made.run(made.kernel(*cut), tree, stop="early_map", **places)
    state = early.arch_state
    bits = 64 - (early.registers["TCR_EL1"] & 63)
    assert bits == 48 if release == NEW else bits >= base.bit_length()
    look = identity(early, "init_idmap_pg_dir", bits)
    for name in ("_stext", "__idmap_text_start", "__inittext_begin", "init_pg_dir"):
        assert look(state.pa(name)) == state.pa(name)
    if release == NEW:
        assert look(early.dtb) == early.dtb
    final = made.run(made.kernel(*cut), tree, **places)
    look = identity(final, "idmap_pg_dir", bits)
    for name in ("__idmap_text_start", "__idmap_kpti_flag"):
        assert look(state.pa(name)) == state.pa(name)
    assert look(state.pa("_stext")) is None


@pytest.mark.parametrize("cut", KERNELS, ids=str)
def test_the_device_tree_can_be_read_in_the_fixmap(cut) -> None:
    machine = made.run(made.kernel(*cut), made.tree(RAM), dtb_at=0x4800_1FF8, stop="fixmap")
    note = next(e for e in reversed(machine.log) if e.function == "fixmap_remap_fdt")
    assert mapped_to(machine, np.array([note.start], np.uint64))[0] == 0x4800_1FF8
    state = machine.arch_state
    assert note.start < state.layout.fixaddr_top
    assert state.layout.fixaddr_start <= note.start


@pytest.mark.parametrize("cut", [k for k in KERNELS if k[2] < 52], ids=str)
def test_a_kernel_runs_where_kaslr_puts_it(cut) -> None:
    low = 0x1_0000
    offset = (5 << 30 if cut[2] > 36 else 1 << 29) + low
    machine = made.run(
        made.kernel(*cut),
        made.tree(RAM, bootargs="quiet"),
        kernel_at=0x4020_0000 + low,
        kaslr_offset=offset,
    )
    check_image(machine, "_text" if cut[0] == NEW else "_stext")
    check_linear(machine)
    leaf = machine.image().address_space("kernel").translate(symbol(machine, "_stext")[0])
    assert leaf.attributes.non_global


def test_the_seed_of_the_tree_decides_and_is_wiped() -> None:
    seed = (3 << 62 | 0x1234).to_bytes(8, "big")
    tree = made.tree(RAM, bootargs="quiet", **{"kaslr-seed": seed})
    machine = made.run(made.kernel(NEW, 12, 48), tree)
    layout = machine.arch_state.layout
    room = (layout.vmalloc_end - layout.kimage_vaddr) // 2
    expected = (room // 2 + (room * int.from_bytes(seed, "big") >> 64)) // (2 * M) * (2 * M)
    assert machine.kaslr_offset == expected
    assert seed not in machine.ram.read(machine.dtb, machine.tree.totalsize)
    # 44-bit CPU: (2^47 − 2^44) / 1G steps, of which the seed's low 16 bits pick one.
    steps = (1 << 47) - (1 << 44) >> 30
    moved = (RAM[0][0] - machine.arch_state.memstart) & (1 << 64) - 1
    assert moved == (steps * 0x1234 >> 16) * G
    check_linear(machine)


def test_offsets_that_cannot_be_are_refused() -> None:
    tree = made.tree(RAM, bootargs="quiet")
    with pytest.raises(InputError, match="equal modulo"):
        made.run(made.kernel(NEW, 12, 48), tree, kaslr_offset=0x1000_1000)
    with pytest.raises(InputError, match="nokaslr"):
        made.run(made.kernel(NEW, 12, 48), made.tree(RAM), kaslr_offset=G)
    fixed = made.kernel(NEW, 12, 48, RANDOMIZE_BASE="n")
    with pytest.raises(InputError, match="RANDOMIZE_BASE"):
        made.run(fixed, tree, kaslr_offset=G)


def test_kasan_is_refused() -> None:
    with pytest.raises(InputError, match="KASAN_GENERIC"):
        made.kernel(NEW, 12, 48, KASAN_GENERIC="y")


@pytest.mark.parametrize("release", [NEW, OLD])
def test_roots_and_who_holds_them(release) -> None:
    machine = made.run(made.kernel(release, 12, 48), made.tree(RAM))
    state = machine.arch_state
    assert machine.registers["TTBR0_EL1"] == state.pa("reserved_pg_dir")
    assert machine.registers["TTBR1_EL1"] == state.pa("swapper_pg_dir")
    kept = {"idmap_pg_dir", "swapper_pg_dir", "reserved_pg_dir", "tramp_pg_dir"}
    assert set(machine.roots) - {"init_pg_dir"} == kept
    assert ("init_pg_dir" in machine.roots) == (release == NEW)


def test_a_64k_kernel_of_52_bits_keeps_its_root_on_48() -> None:
    machine = made.run(made.kernel(NEW, 16, 52), made.tree(RAM))
    assert machine.registers["TTBR1_EL1"] == machine.roots["swapper_pg_dir"] + 960 * 8


@pytest.mark.parametrize(("page_shift", "bits"), [(12, 48), (14, 47), (16, 48)])
def test_large_addresses_can_be_hidden(page_shift: int, bits: int) -> None:
    tree = made.tree(RAM, "nokaslr arm64.nolva")
    machine = made.run(made.kernel(NEW, page_shift, 52), tree, cpu=WIDE)
    assert machine.arch_state.layout.va_bits_actual == bits
    check_image(machine, "_text")
    check_linear(machine)
    plain = made.run(made.kernel(NEW, page_shift, 52), made.tree(RAM), cpu=WIDE)
    assert plain.arch_state.layout.va_bits_actual == 52


def test_rodata_off_allows_blocks_and_ranges() -> None:
    memory = [(0x4000_0000, 3 * G)]
    machine = made.run(made.kernel(NEW, 12, 48), made.tree(memory, "nokaslr rodata=off"))
    space = machine.image().address_space("kernel")
    linear = machine.arch_state.phys_to_virt
    far = space.translate(linear(0x8000_0000))
    assert far.size == G
    assert space.translate(linear(0x4300_0000)).size == 32 * M
    assert space.translate(linear(symbol(machine, "_stext")[1])).size in (4096, 2 * M)
    text = space.translate(symbol(machine, "_stext")[0]).attributes
    assert text.el1_write
    assert text.el1_execute


def test_the_early_console_gets_its_slot() -> None:
    options = {"SERIAL_EARLYCON": "y", "SERIAL_AMBA_PL011_CONSOLE": "y"}
    tree = made.tree(RAM, "nokaslr earlycon=pl011,mmio32,0x9000123")
    machine = made.run(made.kernel(NEW, 12, 48, **options), tree, stop="fixmap")
    layout = machine.arch_state.layout
    slot = layout.fixaddr_top - layout.fixmap.earlycon * 4096
    found = machine.image().address_space("kernel").translate(slot)
    assert found.pa == 0x9000000
    assert found.attributes.memory == "Device-nGnRE"


def test_a_tree_that_linux_refuses_stops_the_boot() -> None:
    with pytest.raises(TtbrError, match="invalid device tree blob"):
        made.run(made.kernel(NEW, 12, 48), made.tree(RAM), dtb_at=0x4800_0004)


def test_mem_and_initrd() -> None:
    initrd = {
        "linux,initrd-start": (0x5000_0800).to_bytes(8, "big"),
        "linux,initrd-end": (0x5000_1801).to_bytes(8, "big"),
    }
    tree = made.tree(RAM, "nokaslr mem=64M", **initrd)
    machine = made.run(made.kernel(NEW, 12, 48), tree, dtb_at=0x4100_0000)
    assert [(r.base, r.end) for r in machine.memblock.memory.list] == [
        (0x4000_0000, 0x4400_0000),
        (0x5000_0000, 0x5000_2000),
    ]
    assert machine.memblock.is_region_reserved(0x5000_1000, 0x1000)
    check_linear(machine)


def test_kfence_takes_its_pool_first() -> None:
    options = {"KFENCE": "y", "KFENCE_SAMPLE_INTERVAL": "100", "KFENCE_NUM_OBJECTS": "255"}
    machine = made.run(made.kernel(NEW, 12, 48, **options), made.tree(RAM))
    pool = next(e for e in machine.log if e.stage == "paging_init" and e.kind == "memblock_reserve")
    assert (pool.start, pool.end) == (0x6000_0000 - 2 * M, 0x6000_0000 - 1)
    check_linear(machine)


def crash_boot(bootargs: str, **options: str) -> Machine:
    """An old kernel whose linear map may have blocks."""
    options = {"RODATA_FULL_DEFAULT_ENABLED": "n", "KEXEC_CORE": "y"} | options
    return made.run(made.kernel(OLD, 12, 48, **options), made.tree(RAM, bootargs))


def test_a_crash_kernels_memory_is_reserved_first_and_mapped_by_pages() -> None:
    machine = crash_boot("nokaslr crashkernel=33333333")
    size, top = -(-33333333 // 4096) * 4096, 0x6000_0000
    start = (top - size) // (2 * M) * (2 * M)
    (reserved,) = [e for e in machine.log if e.kind == "memblock_reserve" and e.start == start]
    assert (reserved.end, reserved.stage) == (start + size - 1, "memblock")
    check_linear(machine)
    space, state = machine.image().address_space("kernel"), machine.arch_state
    inside, below = (space.translate(state.phys_to_virt(pa)) for pa in (start, start - 64 * M))
    assert (inside.steps[-1].level, below.steps[-1].level) == (3, 2)
    assert inside.attributes.attr_index == 0  # PAGE_KERNEL, not the linear map's tagged kind
    assert below.attributes.attr_index == 1


def test_with_dma_zones_its_place_is_not_known_yet() -> None:
    machine = crash_boot("nokaslr crashkernel=32M", ZONE_DMA="y")
    assert machine.arch_state.crash_area is None
    space, state = machine.image().address_space("kernel"), machine.arch_state
    assert space.translate(state.phys_to_virt(0x5000_0000)).steps[-1].level == 3


@pytest.mark.parametrize(
    ("bootargs", "level"), [("other_crashkernel=32M", 2), ("crashkernel=2G", 2), ("quiet", 2)]
)
def test_who_asks_for_none_keeps_blocks(bootargs: str, level: int) -> None:
    machine = crash_boot(f"nokaslr {bootargs}")
    # The text alone has it reserved, but only the argument has it mapped by pages.
    assert (machine.arch_state.crash_area is not None) == ("other" in bootargs)
    space, state = machine.image().address_space("kernel"), machine.arch_state
    assert space.translate(state.phys_to_virt(0x5E00_0000)).steps[-1].level == level


def test_without_relocation_the_image_must_be_aligned() -> None:
    for release in (NEW, OLD):
        fixed = made.kernel(release, 12, 48, RELOCATABLE="n", RANDOMIZE_BASE="n")
        with pytest.raises(InputError, match="2 MiB aligned"):
            made.run(fixed, made.tree(RAM), kernel_at=0x4021_0000)
        made.run(fixed, made.tree(RAM), stop="early_map")


def test_a64fx_must_not_use_nfd1() -> None:
    core = CORES["fujitsu,a64fx"]
    for options, bit in (({"FUJITSU_ERRATUM_010001": "y"}, 0), ({}, 1)):
        kernel = made.kernel(NEW, 12, 48, **options)
        machine = made.run(kernel, made.tree(RAM), cpu=core, stop="head")
        assert machine.registers["TCR_EL1"] >> 54 & 1 == bit


def test_movable_node_is_known_where_memory_can_be_removed() -> None:
    for options, movable in (({"MEMORY_HOTREMOVE": "y"}, True), ({"MEMORY_HOTPLUG": "y"}, False)):
        kernel = made.kernel(NEW, 12, 48, **options)
        machine = made.run(kernel, made.tree(RAM, "movable_node"), stop="fixmap")
        assert machine.memblock.movable_node == movable


@pytest.mark.parametrize(
    ("bootargs", "level"),
    [
        ("nokaslr", 2),
        ("nokaslr kfence.sample_interval=0", 3),
        # Nothing is free for the pool; single pages for tables are there still.
        ("nokaslr mem=1M", 3),
    ],
)
def test_without_a_pool_kfence_wants_pages(bootargs: str, level: int) -> None:
    options = {"KFENCE": "y", "KFENCE_SAMPLE_INTERVAL": "100", "KFENCE_NUM_OBJECTS": "255"}
    kernel = made.kernel(NEW, 12, 48, RODATA_FULL_DEFAULT_ENABLED="n", **options)
    machine = made.run(kernel, made.tree(RAM, bootargs))
    state, space = machine.arch_state, machine.image().address_space("kernel")
    # The start of RAM, below the image.
    va = state.phys_to_virt(0x4000_0000)
    assert space.translate(va).steps[-1].level == level


def test_markers_ascend() -> None:
    for release, page_shift, va_bits in KERNELS:
        found = markers(made.kernel(release, page_shift, va_bits))
        assert [va for va, _ in found] == sorted(va for va, _ in found)
        assert found[0][1] == "Linear Mapping start"


@pytest.mark.parametrize(
    ("field", "runs"),
    [(0x00, (12, 16)), (0x10, (12, 14, 16)), (0xFF00_0000, ()), (0x20, (12, 14, 16))],
)
def test_a_cpu_without_pages_of_that_size(field: int, runs: tuple[int, ...]) -> None:
    registers = {"ID_AA64MMFR0_EL1": field << 16 & 0xF0_0000 | field & 0xFF00_0000 | 4}
    core = Cpu("known", "test,known", registers)
    assert [size for size in (12, 14, 16) if core.granule(size)] == list(runs)


def test_a_known_cpu_without_16k_pages_stops_the_kernel() -> None:
    node = ("cpu@0", {"device_type": b"cpu\0", "compatible": b"arm,cortex-a72\0"}, [])
    wide = {"#address-cells": cells(2), "#size-cells": cells(2)}
    memory = {"device_type": b"memory\0", "reg": cells(0, 0x4000_0000, 0, 512 * M)}
    tree = blob(("", wide, [("memory@0", memory, []), ("cpus", {}, [node])]))
    with pytest.raises(InputError, match="Cortex-A72 has no pages of 16K"):
        made.run(made.kernel(NEW, 14, 47), tree, cpu=CORES["arm,cortex-a72"])
    made.run(made.kernel(NEW, 16, 42), tree, cpu=CORES["arm,cortex-a72"], stop="head")
