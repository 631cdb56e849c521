"""Whole boots of 32-bit ARM on small made-up boards: machines, command lines, bad input."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from ttbr.boot import arm
from ttbr.boot.board import Board
from ttbr.boot.loader import custom
from ttbr.boot.machine import Machine
from ttbr.boot.memblock import BootPanic, Flags
from ttbr.errors import InputError
from ttbr.kernel.arm_layout import arm_layout, markers
from ttbr.kernel.arm_machines import GENERIC_DT, MACHINES, machine_desc
from ttbr.kernel.arm_prot import dacr_init
from ttbr.kernel.config import Config
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.release import Release
from ttbr.kernel.symbols import Symbols

M = 1 << 20
RAM = 0x8000_0000
DTB = RAM + 64 * M
MULTI_V7 = {
    "MMU": "y",
    "SMP": "y",
    "SMP_ON_UP": "y",
    "HIGHMEM": "y",
    "ARM_PATCH_PHYS_VIRT": "y",
    "KUSER_HELPERS": "y",
    "CPU_SW_DOMAIN_PAN": "y",
    "SWP_EMULATE": "y",
    "BLK_DEV_INITRD": "y",
    "PAGE_OFFSET": "0xC0000000",
}


class TreeBuilder:
    """A device tree blob of nested dicts: str/int/tuple values are properties, dicts nodes."""

    def __init__(self):
        self.strings, self.body = b"", b""

    def node(self, name, content):
        self.body += struct.pack(">I", 1) + self._padded(name.encode() + b"\0")
        for key, value in content.items():
            if not isinstance(value, dict):
                self._property(key, value)
        for key, value in content.items():
            if isinstance(value, dict):
                self.node(key, value)
        self.body += struct.pack(">I", 2)

    def _property(self, name, value):
        if isinstance(value, str):
            value = value.encode() + b"\0"
        elif isinstance(value, int):
            value = struct.pack(">I", value)
        elif isinstance(value, tuple):
            value = struct.pack(f">{len(value)}I", *value)
        self.body += struct.pack(">III", 3, len(value), len(self.strings)) + self._padded(value)
        self.strings += name.encode() + b"\0"

    @staticmethod
    def _padded(data):
        return data + bytes(-len(data) % 4)

    def blob(self):
        body = self.body + struct.pack(">I", 9)
        at = 40 + 16
        size = at + len(body) + len(self.strings)
        header = (0xD00DFEED, size, at, at + len(body), 40, 17, 16, 0, len(self.strings), len(body))
        return struct.pack(">10I", *header) + bytes(16) + body + self.strings


def tree(
    compatible="acme,board", memory=((RAM, 256 * M),), cpu="arm,cortex-a7", bootargs="", **more
):
    content = {
        "#address-cells": 1,
        "#size-cells": 1,
        "compatible": compatible,
        "cpus": {
            "#address-cells": 1,
            "#size-cells": 0,
            "cpu@0": {"device_type": "cpu", "compatible": cpu, "reg": 0},
        },
        "memory": {
            "device_type": "memory",
            "reg": tuple(value for entry in memory for value in entry),
        },
        "chosen": {"bootargs": bootargs} if bootargs else {},
    } | more
    builder = TreeBuilder()
    builder.node("", content)
    return builder.blob()


def kernel(release="6.1.176", end=0xC090_0000, **options):
    config = Config(MULTI_V7 | options)
    base = config.integer("PAGE_OFFSET", 0)
    offset = base - 0xC000_0000
    link = {
        "_text": 0xC000_8000,
        "stext": 0xC000_8000,
        "_stext": 0xC010_0000,
        "__turn_mmu_on": 0xC010_0000,
        "__turn_mmu_on_end": 0xC010_0020,
        "__init_end": 0xC070_0000,
        "bm_pte": 0xC060_4000,
        "_end": end,
    }
    symbols = Symbols((name, address + offset) for name, address in link.items())
    return Kernel("arm", Release.parse(release), config, symbols, "test", 0x8000, end - 0xC000_8000)


def run(blob, made=None, at=RAM + 0x8000, dtb=DTB, **kwargs):
    made = made or kernel()
    board = Board.from_dtb(blob, **kwargs)
    machine = Machine.hand_over(board, made, custom(board, at, dtb), tree=board.tree)
    for name, stage in arm.STAGES:
        machine.enter(name)
        stage(machine)
    return machine


def sections(machine, low, high):
    """First-level entries of [low, high), by virtual address."""
    raw = machine.ram.read(machine.roots["swapper_pg_dir"], 0x4000)
    words = np.frombuffer(raw, "<u4")
    return {i << 20: int(words[i]) for i in range(low >> 20, high >> 20) if words[i]}


def reservations(machine, function):
    return [
        (e.start, e.end + 1)
        for e in machine.log
        if e.kind == "memblock_reserve" and e.detail.endswith(function)
    ]


def test_plain_board_maps_lowmem_in_three_ranges():
    machine = run(tree())
    found = sections(machine, 0xC000_0000, 0xF000_0000)
    assert {value & 0xFFFFF for va, value in found.items() if va < 0xC070_0000} == {0x1140E}
    assert {value & 0xFFFFF for va, value in found.items() if va >= 0xC070_0000} == {0x1141E}
    assert len(found) == 256
    assert all(value >> 20 << 20 == va - 0xC000_0000 + RAM for va, value in found.items())
    assert sections(machine, 0, 0xBFE0_0000) == {}, "the identity section is gone"
    assert machine.registers["TTBR0"] == machine.registers["TTBR1"] == RAM + 0x4000 | 0x6A
    assert "vectors page" in machine.unknowns[-1]


def test_memory_below_phys_offset_is_lost():
    machine = run(tree(memory=((RAM, 256 * M),)), at=RAM + 2 * M + 0x8000)
    assert machine.memblock.start_of_dram() == RAM + 2 * M
    assert machine.phys_offset == RAM + 2 * M


def test_kernel_inside_the_first_bank_leaves_later_banks_unmapped():
    """The kernel's own loop breaks off there; with PHYS_OFFSET at the bank's start it does not."""
    banks = ((RAM, 128 * M), (RAM + 192 * M, 64 * M))
    machine = run(tree(memory=banks))
    found = sections(machine, 0xC000_0000, 0xF000_0000)
    assert 0xC800_0000 not in found
    assert found[0xCC00_0000] == RAM + 192 * M | 0x1141E


def test_bank_that_ends_inside_the_kernel_is_refused():
    with pytest.raises(BootPanic, match="ends inside the kernel's sections"):
        run(tree(memory=((RAM, 8 * M), (RAM + 9 * M, 119 * M))))


def test_unaligned_first_bank_becomes_a_stub_that_the_kernel_alone_is_mapped_over():
    machine = run(tree(bootargs=f"mem=255M@{RAM + M:#x}"))
    stub, rest = machine.memblock.memory.list
    assert (stub.base, stub.end, stub.flags) == (RAM + M, RAM + 2 * M, Flags.NOMAP)
    assert not rest.flags
    found = sections(machine, 0xC000_0000, 0xF000_0000)
    assert len(found) == 256
    assert found[0xC010_0000] == RAM + M | 0x1140E, "map_kernel maps from PHYS_OFFSET on"
    assert [text for text in machine.unknowns if "it is running in" in text]
    assert not [text for text in run(tree()).unknowns if "it is running in" in text]


def test_highmem_stays_highmem_in_the_movable_zone():
    plain = run(tree(memory=((RAM, 1024 * M),)))
    movable = run(tree(memory=((RAM, 1024 * M),), bootargs="kernelcore=100M"))
    (zone,) = [zone for zone in movable.nodes[0].zones if zone.name == "Movable"]
    assert zone.start_pfn == movable.arch_state.lowmem.limit >> 12, "all of highmem"
    assert movable.handed_over.highmem == plain.handed_over.highmem == zone.present
    largest = movable.handed_over.free.of(0, "Movable", 10).tolist()
    assert largest == sorted(largest, reverse=True), "single pages go to the head"


def test_a_page_block_that_begins_in_a_hole_is_not_movable():
    banks = ((RAM, 768 * M), (RAM + 768 * M + 512 * 1024, 255 * M))
    free = run(tree(memory=banks)).handed_over.free
    first = RAM + 768 * M + 512 * 1024 >> 12
    unmovable = free.pfn[free.migratetype == 0]
    assert unmovable.min() == first, "highmem begins in the middle of a page block"
    assert set(unmovable // 1024) == {first // 1024}


def test_memory_that_may_be_unplugged_is_given_away_too():
    plain = run(tree(memory=((RAM, 256 * M),)))
    board = Board.from_dtb(tree(memory=((RAM, 256 * M),)))
    machine = Machine.hand_over(board, kernel(), custom(board, RAM + 0x8000, DTB), tree=board.tree)
    for name, stage in arm.STAGES:
        machine.enter(name)
        if name == "mm_init":
            machine.memblock.mark_hotplug(RAM + 128 * M, 128 * M, "test")
            machine.memblock.movable_node = True
        stage(machine)
    assert not [region for region in machine.memblock.memory.list if region.flags]
    assert machine.handed_over.free.pages >= plain.handed_over.free.pages - 16


def test_ecc_is_said_beside_the_cache_policy():
    for bootargs, words in (("ecc=on", "ECC enabled, Data cache"), ("ecc=off", "Data cache")):
        said = [message.text for message in run(tree(bootargs=bootargs)).log.messages]
        assert f"Memory policy: {words} writealloc" in said


def test_last_part_of_2m_is_mapped_by_pages():
    machine = run(tree(memory=((RAM, 255 * M + 4096),)), kernel(HIGHMEM=""))
    last = machine.memblock.memory.list[-1]
    assert last.end == RAM + 255 * M + 4096
    assert not last.flags & Flags.NOMAP
    table = sections(machine, 0xC000_0000, 0xF000_0000)[0xCFE0_0000]
    assert table & 3 == 1, "the last 2 MiB are mapped by pages"
    assert machine.memblock.current_limit == RAM + 255 * M + 4096


def test_vmalloc_and_mem_parameters():
    machine = run(tree(memory=((RAM, 1024 * M),), bootargs="vmalloc=512M memblock=debug"))
    assert machine.arch_state.lowmem.limit == RAM + 496 * M
    assert machine.markers[2] == (0xDF80_0000, "vmalloc() Area")
    machine = run(tree(bootargs="memblock=debug mem=96M mem=32M@0x88000000"))
    kinds = [(e.kind, e.start, e.end + 1) for e in machine.log if e.logged][:3]
    assert kinds == [
        ("memblock_remove", RAM, RAM + 256 * M),
        ("memblock_add", RAM, RAM + 96 * M),
        ("memblock_add", 0x8800_0000, 0x8A00_0000),
    ]
    assert machine.memblock.phys_mem_size() == 128 * M


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        (RAM + 32 * M, RAM + 33 * M + 1, True),
        (RAM + 255 * M, RAM + 257 * M, False),  # sticks out of RAM
        (RAM + 8 * M, RAM + 10 * M, False),  # on the kernel
    ],
)
def test_initrd_is_reserved_by_pages_or_given_up(start, end, kept):
    chosen = {"linux,initrd-start": start, "linux,initrd-end": end}
    machine = run(tree(chosen=chosen))
    reserved = [e for e in machine.log if e.function == "reserve_initrd_mem"]
    assert [(e.start, e.end + 1) for e in reserved] == [(start, end + 4095)] * kept
    assert (machine.initrd is not None) == kept
    assert any("disabling initrd" in m.text for m in machine.log.messages) != kept


@pytest.mark.parametrize(
    ("options", "function"),
    [({}, "arm_memblock_init"), ({"FRAME_POINTER": "y"}, "arm_mm_memblock_reserve")],
)
def test_who_reserves_the_page_directory_depends_on_calls_becoming_jumps(options, function):
    made = kernel(**options)
    symbols = Symbols([*made.symbols.items(), ("arm_mm_memblock_reserve", 0xC050_0000)])
    machine = run(tree(), replace(made, symbols=symbols))
    (event,) = [e for e in machine.log if e.start == RAM + 0x4000 and e.kind != "map"]
    assert event.function == function


def test_missing_symbol_is_named():
    made = kernel()
    lacking = Symbols((n, a) for n, a in made.symbols.items() if n != "bm_pte")
    with pytest.raises(InputError, match="have no bm_pte"):
        run(tree(), replace(made, symbols=lacking))


def test_no_highmem_has_no_pkmap_table():
    with_pkmap = run(tree())
    without = run(tree(), kernel(HIGHMEM=""))
    count = [len(reservations(machine, "early_alloc")) for machine in (with_pkmap, without)]
    assert count == [5, 4]
    assert sections(without, 0xBFE0_0000, 0xC000_0000) == {}


def test_earlycon_page_moves_to_a_new_table():
    config = {"SERIAL_EARLYCON": "y", "SERIAL_AMBA_PL011_CONSOLE": "y"}
    machine = run(tree(bootargs="earlycon=pl011,0x1c090000"), kernel(**config))
    entry = sections(machine, 0xFFE0_0000, 0xFFF0_0000)[0xFFE0_0000]
    assert entry & 0x3FF == 0x41, "the vectors find the console's table, of the I/O domain"
    page = entry & ~0xFFF
    assert int.from_bytes(machine.ram.read(page + 0xFF * 4, 4), "little") == 0x1C09_0653
    assert reservations(machine, "early_alloc")[0] == (page, page + 4096)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"PAGE_OFFSET": "0xC0000000"}, (0x4000, 0xB502_3500)),
        ({"PAGE_OFFSET": "0x80000000"}, (16, 0xB501_3500)),
        ({"PAGE_OFFSET": "0x40000000"}, (0, 0xB500_3500)),
        ({"CPU_TTBR0_PAN": "y"}, (0, 0xB500_3500)),
    ],
)
def test_lpae_splits_the_space_only_where_ram_begins_below_it(options, values):
    machine = run(tree(), kernel(ARM_LPAE="y", **options))
    offset, ttbcr = values
    assert machine.registers["TTBR0"] == RAM + 0x3000
    assert machine.registers["TTBR1"] == RAM + 0x3000 + offset
    assert machine.registers["TTBCR"] == ttbcr


@pytest.mark.parametrize(
    ("cpu", "cpus", "options", "flags"),
    [
        ("arm,cortex-a7", 1, {}, 0x6A),
        ("arm,cortex-a9", 1, {}, 0x59),
        ("arm,cortex-a9", 2, {}, 0x6A),
        ("arm,cortex-a8", 1, {}, 0x59),
        ("arm,cortex-a9", 1, {"SMP_ON_UP": ""}, 0x6A),
        ("arm,cortex-a15", 2, {"SMP": ""}, 0x59),
    ],
)
def test_smp_is_decided_by_cpu_and_configuration(cpu, cpus, options, flags):
    machine = run(tree(cpu=cpu), kernel(**options), cpus=cpus)
    assert machine.registers["TTBR0"] & 0xFF == flags
    section = sections(machine, 0xC000_0000, 0xC010_0000)[0xC000_0000]
    assert bool(section & 1 << 16) == (flags == 0x6A)


def test_machine_is_chosen_by_the_best_compatible():
    config = Config(
        {"ARCH_OMAP3": "y", "SOC_AM33XX": "y", "ARCH_BCM2835": "y", "ARCH_MULTI_V7": "y"}
    )
    n900 = machine_desc(("nokia,omap3-n900", "ti,omap3430", "ti,omap3"), config)
    assert n900.name == "Nokia RX-51 board"
    assert machine_desc(("x,y", "ti,omap3630", "ti,omap3"), config).compatible[0] == "ti,omap3630"
    assert machine_desc(("ti,am33xx",), Config({"ARCH_OMAP3": "y"})) is GENERIC_DT
    pi4 = machine_desc(("raspberrypi,4-model-b", "brcm,bcm2711"), config)
    assert pi4.zone_size(config) == 0
    assert pi4.zone_size(Config({"ZONE_DMA": "y"})) == 1 << 30


@pytest.mark.parametrize(
    "row",
    [m for m in MACHINES if m.map_io != GENERIC_DT.map_io and not m.pv_fixup],
    ids=lambda m: m.compatible[0],
)
def test_static_maps_of_every_machine(row):
    """Each row boots: its mappings fit into vmalloc space, and the tables hold them."""
    options = dict.fromkeys(row.config, "y") | {"OMAP_INTERCONNECT_BARRIER": "y"}
    chip = {
        "soc": {
            "#address-cells": 1,
            "#size-cells": 1,
            "chipid@10000000": {
                "compatible": "samsung,exynos4210-chipid",
                "reg": (0x1000_0000, 0x100),
            },
            "clock@e0100000": {
                "compatible": "samsung,s5pv210-clock",
                "reg": (0xE010_0000, 0x10000),
            },
        }
    }
    machine = run(tree(row.compatible[0], cpu="arm,cortex-a9", **chip), kernel(**options))
    assert not [m.text for m in machine.log.messages if "BUG" in m.text]
    devices = [e for e in machine.log if e.kind == "map" and " as DEVICE" in e.detail]
    assert devices
    found = sections(machine, 0xF000_0000, 0xFF80_0000)
    assert all(event.start >> 20 << 20 in found for event in devices)


@pytest.mark.parametrize(("bare", "there"), [(False, 0x00A0_0000), (True, 0)])
def test_imx6_maps_the_peripherals_that_the_core_names(bare, there):
    board = replace(Board.from_dtb(tree("fsl,imx6q", cpu="arm,cortex-a9")), bare_core=bare)
    made = custom(board, RAM + 0x8000, DTB)
    machine = Machine.hand_over(board, kernel(SOC_IMX6Q="y"), made, tree=board.tree)
    for name, stage in arm.STAGES:
        machine.enter(name)
        stage(machine)
    (event,) = [e for e in machine.log if e.kind == "map" and e.start == 0xF400_0000]
    assert event.detail == f"to {there:#x} as DEVICE"


def test_odd_megabyte_of_a_static_map_reserves_its_other_half():
    machine = run(tree("ti,omap4"), kernel(ARCH_OMAP4="y"))
    reserved = {vm.address: vm.size for vm in machine.arch_state.mapper.static_vms}
    assert reserved[0xF810_0000] == M, "L3 uses one megabyte of two"
    assert reserved[0xFC00_0000] == 4 * M


def test_omap_steals_memory_and_maps_the_barrier_strongly_ordered():
    options = {"ARCH_OMAP4": "y", "OMAP_INTERCONNECT_BARRIER": "y"}
    machine = run(tree("ti,omap4"), kernel(**options))
    assert machine.memblock.end_of_dram() == RAM + 254 * M
    assert sections(machine, 0xFE60_0000, 0xFE70_0000) == {0xFE60_0000: RAM + 254 * M | 0x10412}


def test_omap_steals_a_section_for_secure_ram_which_is_2m_with_lpae():
    # as Debian's armmp-lpae kernel of 6.1 did under QEMU
    options = {"ARCH_OMAP3": "y", "OMAP_INTERCONNECT_BARRIER": "y", "ARM_LPAE": "y"}
    machine = run(tree("ti,omap3", cpu="arm,cortex-a15"), kernel(**options))
    assert machine.memblock.end_of_dram() == RAM + 253 * M


def test_machines_whose_device_maps_are_not_modelled_are_named():
    machine = run(tree("acme,board\0fsl,imx31", cpu="arm,arm1136"), kernel(SMP=""))
    assert any("static device mappings of fsl,imx31" in text for text in machine.unknowns)
    assert not any("static device mappings" in text for text in run(tree()).unknowns)


@pytest.mark.parametrize(("lpae", "size"), [("", M), ("y", 2 * M)])
def test_tegra_maps_sections_of_either_size(lpae, size):
    # with LPAE as Debian's armmp-lpae kernel of 6.1 did under QEMU
    made = kernel(ARCH_TEGRA="y", ARM_LPAE=lpae)
    machine = run(tree("nvidia,tegra124", cpu="arm,cortex-a15"), made)
    vms = {vm.address: vm.size for vm in machine.arch_state.mapper.static_vms}
    assert vms[0xFE20_0000] == vms[0xFE00_0000] == size


def test_exynos_counts_eight_entries_of_memory():
    entries = tuple((RAM + index * 32 * M, 32 * M) for index in range(9))
    board = tree("samsung,exynos5", memory=entries)
    machine = run(board, kernel(ARCH_EXYNOS="y"))
    assert machine.memblock.phys_mem_size() == 256 * M
    assert machine.tree.find("/memory").prop("reg").data == struct.pack(
        ">16I", *(value for entry in entries[:8] for value in entry)
    )
    assert run(board).memblock.phys_mem_size() == 288 * M, "other machines count all"


def test_an_arm1176_has_no_tex_remap_and_writes_plain_ttbrs():
    machine = run(tree(cpu="arm,arm1176jzf-s"), kernel(SMP=""))
    assert machine.registers["TTBR0"] == RAM + 0x4000 | 8
    assert machine.registers["SCTLR"] == 0x00C5_387D
    assert "PRRR" not in machine.registers
    found = sections(machine, 0xC000_0000, 0xD000_0000)
    assert found[0xC000_0000] == RAM | 0x0040E


def test_reserve_of_other_machines():
    machine = run(
        tree("realtek,rtd1195", memory=((0, 512 * M),)),
        kernel(ARCH_REALTEK="y"),
        at=0x8000,
        dtb=64 * M,
    )
    banks = [(r.base, r.end) for r in machine.memblock.memory.list if not r.flags]
    assert (0x1807_0000, 0x1810_0000) in banks
    machine = run(tree("marvell,armada-370-xp"), kernel(MACH_MVEBU_V7="y", SUSPEND="y"))
    assert machine.memblock.is_region_reserved(RAM, 1)
    machine = run(
        tree("xlnx,zynq-7000", memory=((0, 256 * M),)), kernel(ARCH_ZYNQ="y"), at=0x8000, dtb=64 * M
    )
    # Its last call is a jump, so that the log names the caller.
    (event,) = [e for e in machine.log if (e.start, e.end) == (0, 0x7_FFFF)]
    assert event.function == "arm_memblock_init"


def test_rcar_reserves_contiguous_memory_below_4g():
    options = {"ARCH_RCAR_GEN2": "y", "CMA": "y", "DMA_CMA": "y", "CMA_AREAS": "7"}
    machine = run(tree("renesas,r8a7791", memory=((RAM, 1024 * M),)), kernel(**options))
    assert (machine.cma.areas[0].base, machine.cma.areas[0].size) == (RAM + 768 * M, 256 * M)
    assert machine.cma.remap == [(RAM + 768 * M, 256 * M)]


def test_pci_window_costs_a_static_vm_after_the_vectors():
    machine = run(tree(), kernel(PCI="y"))
    (found,) = reservations(machine, "vm_reserve_area_early")
    assert found[1] - found[0] == 40
    machine = run(tree(), kernel("6.12.117", PCI="y"))
    (found,) = reservations(machine, "vm_reserve_area_early")
    assert found[1] - found[0] == 44


def test_debug_uart_is_mapped_early_and_late():
    options = {
        "DEBUG_LL": "y",
        "DEBUG_UART_PHYS": "0x1c090000",
        "DEBUG_UART_VIRT": "0xf8090000",
    }
    machine = run(tree(), kernel(**options))
    head = next(e for e in machine.log if "debug UART" in e.detail)
    assert (head.start, head.end + 1) == (0xF800_0000, 0xF810_0000)
    assert sections(machine, 0xF800_0000, 0xF820_0000).keys() == {0xF800_0000, 0xF810_0000}
    unknown = run(tree(), kernel(DEBUG_LL="y"))
    assert any("CONFIG_DEBUG_LL" in text for text in unknown.unknowns)


def test_markers_follow_the_configuration():
    assert markers(kernel(), 0xF000_0000) == [
        (0xBF00_0000, "Modules"),
        (0xC000_0000, "Kernel Mapping"),
        (0xF080_0000, "vmalloc() Area"),
        (0xFF80_0000, "FDT Area"),
        (0xFFC8_0000, "Fixmap Area"),
        (0xFFFF_0000, "Vectors"),
        (0xFFFF_2000, "Vectors End"),
    ]
    assert markers(kernel(THUMB2_KERNEL="y"), 0xF000_0000)[0] == (0xBF80_0000, "Modules")
    assert arm_layout(kernel(PAGE_OFFSET="0x80000000")).pkmap_base == 0x7FE0_0000


def test_access_control_register():
    assert dacr_init(Config({"CPU_SW_DOMAIN_PAN": "y"})) == 0x51
    assert dacr_init(Config({})) == 0x55
    assert dacr_init(Config({"CPU_USE_DOMAINS": "y"})) == 0x57


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: run(tree(), kernel(XIP_KERNEL="y")), "CONFIG_XIP_KERNEL is not covered"),
        (lambda: run(tree(), kernel(KASAN="y")), "CONFIG_KASAN is not covered"),
        (lambda: run(tree(), kernel(CPU_BIG_ENDIAN="y")), "big-endian"),
        (lambda: run(tree(), kernel(CPU_32v5="y")), "ARMv5 and older"),
        (lambda: run(tree(), kernel(MMU="")), "without CONFIG_MMU"),
        (lambda: run(tree(), at=RAM + M + 0x8000), "not 2 MiB aligned"),
        (lambda: run(tree(cpu="arm,cortex-a9"), kernel(ARM_LPAE="y")), "no long descriptors"),
        (lambda: run(tree(cpu="arm,cortex-a76")), "cannot run a 32-bit kernel"),
        (
            lambda: run(tree(), kernel(ARM_PATCH_PHYS_VIRT="", PHYS_OFFSET="0x60000000")),
            "built for RAM at 0x60000000",
        ),
        (
            lambda: run(tree("ti,keystone"), kernel(ARCH_KEYSTONE="y", ARM_LPAE="y")),
            "Keystone: with LPAE",
        ),
        (
            lambda: run(tree(chosen={"linux,uefi-system-table": 1})),
            "UEFI is not covered",
        ),
    ],
)
def test_what_is_not_covered_is_refused_in_one_line(make, text):
    with pytest.raises(InputError, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_sparse_memory_has_an_array_for_each_section() -> None:
    """Sections of 256 MiB; their arrays come one after the other, below the limit of lowmem."""
    made = kernel(SPARSEMEM="y", SPARSEMEM_STATIC="y")
    machine = run(tree(memory=[(RAM, 0x3000_0000)]), made)
    first = RAM >> 28
    assert list(machine.sections) == [first, first + 1, first + 2]
    assert machine.memmap_bytes == 3 * (0x1000_0000 >> 12) * 32
    (array,) = [e for e in machine.log if e.detail.startswith("memblock_alloc_exact_nid_raw")]
    assert array.end - array.start + 1 == machine.memmap_bytes
    assert array.end < machine.memblock.current_limit
    assert machine.nodes[0].mem_map is None and machine.nodes[0].present == 0x3000_0000 >> 12


def allocations(machine, request):
    return [(e.start, e.end - e.start + 1) for e in machine.log if e.detail.startswith(request)]


def test_sections_of_sparse_memory_have_their_own_struct_pages():
    banks = ((RAM, 256 * M), (0xA000_0000, 128 * M))
    machine = run(tree(memory=banks), kernel(SPARSEMEM="y", SPARSEMEM_STATIC="y"))
    sections = allocations(machine, "memblock_alloc_exact_nid_raw")
    # one buffer for two sections of 65536 pages, 32 bytes each; the hole has no section
    assert [size for _, size in sections] == [2 * 2 * M]
    assert sections[0][0] % (2 * M) == 0
    (node,) = machine.nodes
    assert node.mem_map is None and node.zones[0].usemap is None
    assert node.zones[0].present == 384 * M // 4096


def test_struct_pages_of_36_bytes_align_sections_as_the_kernel_does():
    banks = ((RAM, 512 * M),)
    machine = run(tree(memory=banks), kernel(SPARSEMEM="y", SPARSEMEM_STATIC="y", MEMCG="y"))
    size = 65536 * 36
    ((buffer, length),) = allocations(machine, "memblock_alloc_exact_nid_raw")[:1]
    assert length == 2 * size
    # memblock aligns by masks, which is no alignment for this size; the buffer's parts by division
    assert buffer == buffer & ~(size - 1)
    arrays = [event for event in machine.log if event.kind == "memblock_phys_free"]
    assert arrays, "what is skipped for the alignment is given back"
