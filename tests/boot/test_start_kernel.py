"""start_kernel() between setup_arch() and the page allocator: sizes, lines, what is refused."""

import pytest
from machines import G, K, M, board_tree, kernel, machine

from device_trees import cells
from ttbr.boot.command_lines import (
    print_unknown_bootoptions,
    setup_command_line,
    unknown_options,
)
from ttbr.boot.free_all import first_deferred_pfn
from ttbr.boot.hugetlb import hugetlb_parameters
from ttbr.boot.log_buf import setup_log_buf
from ttbr.boot.machine import Machine
from ttbr.boot.mem_debugging import report_meminit, stack_depot_early_init
from ttbr.boot.mem_init_print_info import image_sizes
from ttbr.boot.percpu import setup_per_cpu_areas
from ttbr.boot.possible_cpus import PossibleCpu, possible_cpus
from ttbr.boot.swiotlb import Swiotlb
from ttbr.boot.system_hash import HashTable, entries, vfs_caches_init_early
from ttbr.boot.zonelists import build_all_zonelists
from ttbr.boot.zones import Node, Zone
from ttbr.kernel.parameters import known, parameters
from ttbr.kernel.symbols import Symbols

PAGE = 4096


def made(
    arch: str = "arm64",
    bootargs: str = "",
    *,
    release: str = "6.12.117",
    cpus: int = 1,
    symbols: dict[str, int] | None = None,
    **options: object,
) -> Machine:
    """A machine with 1 GiB of RAM in memblock, one zone, and so many CPU nodes."""
    options = {"SMP": "y", "NR_CPUS": 8, "MODULES": "y", "HAVE_ALIGNED_STRUCT_PAGE": "y", **options}
    kern = kernel(arch, release, **options)
    extra = {"__per_cpu_start": 0x1000, "__per_cpu_end": 0x1000 + 36960, **(symbols or {})}
    object.__setattr__(kern, "symbols", Symbols([*kern.symbols.items(), *extra.items()]))
    nodes = [
        (
            f"cpu@{n}",
            {
                "device_type": b"cpu\0",
                "compatible": b"arm,cortex-a53\0",
                "enable-method": b"psci\0",
                "reg": cells(n),
            },
            [],
        )
        for n in range(cpus)
    ]
    tree = board_tree(memory=((G, G),))
    tree[2][2][2][:] = nodes
    done = machine(tree, kern)
    done.set_command_line(bootargs)
    done.memblock.add(G, G, "test")
    zone = Zone("Normal", G // PAGE, G // PAGE, G // PAGE)
    done.nodes.append(Node(0, G // PAGE, 2 * G // PAGE, [zone]))
    done.nr_kernel_pages = done.nr_all_pages = G // PAGE
    return done


def said(of: Machine) -> list[str]:
    return [message.text for message in of.log.messages]


def taken(of: Machine) -> list[tuple[str, int]]:
    return [(e.kind, e.end - e.start + 1) for e in of.log if e.kind.startswith("memblock_")][1:]


@pytest.mark.parametrize(
    ("arch", "chunk", "info"), [("arm64", 128 + 8, "u77824"), ("arm", 128 + 4, "u69632")]
)
def test_per_cpu_areas(arch: str, chunk: int, info: str) -> None:
    here = made(arch, cpus=4)
    cpus = possible_cpus(here)
    assert [cpu.number for cpu in cpus] == [0, 1, 2, 3]
    before = here.memblock.reserved.total_size()
    setup_per_cpu_areas(here, cpus, G)
    assert said(here)[0].endswith(info) and said(here)[0].startswith("percpu: Embedded")
    assert said(here)[-1] == "pcpu-alloc: [0] 0 [0] 1 [0] 2 [0] 3 "
    sizes = [size for kind, size in taken(here) if kind == "memblock_reserve"]
    assert sizes.count(chunk) == 2
    # What stays: the units, and no description of how they were allocated.
    unit = int(info[1:])
    kept = here.memblock.reserved.total_size() - before
    assert 4 * unit < kept < 4 * unit + 8 * K


def test_without_smp_there_is_one_unit_and_no_line() -> None:
    here = made(SMP="n")
    assert possible_cpus(here) == [PossibleCpu(0)]
    setup_per_cpu_areas(here, possible_cpus(here), G)
    assert said(here) == [
        "pcpu-alloc: s0 r0 d32768 u32768 alloc=1*32768",
        "pcpu-alloc: [0] 0 ",
    ]


def test_cpus_are_bounded_by_the_kernel_and_the_command_line() -> None:
    assert len(possible_cpus(made(cpus=4, NR_CPUS=2))) == 2
    assert len(possible_cpus(made(bootargs="nr_cpus=3", cpus=4))) == 3
    assert len(possible_cpus(made(bootargs="nr_cpus=0", cpus=4))) == 4


def test_the_command_line_is_copied_twice() -> None:
    here = made(bootargs="quiet")
    setup_command_line(here)
    assert taken(here) == [("memblock_reserve", 6)] * 2
    assert here.unknowns == made(bootargs="quiet").unknowns


def test_a_boot_configuration_is_an_unknown() -> None:
    here = made(bootargs="bootconfig", BOOT_CONFIG="y")
    here.initrd = (G + 64 * M, M)
    setup_command_line(here)
    assert "boot configuration" in here.unknowns[-1]


def test_what_the_kernel_does_not_know_goes_to_init() -> None:
    symbols = {p.symbol: 1 for p in parameters() if p.text in ("console=", "rdinit=", "quiet")}
    options = "splash console=ttyS0 quiet foo=1 HOME=/root nr.x=2 kexec"
    here = made(bootargs=options, symbols=symbols)
    assert unknown_options(here) == ["splash", "foo=1"]
    print_unknown_bootoptions(here)
    assert said(here) == [
        'Unknown kernel command line parameters "splash foo=1", will be passed to user space.'
    ]
    assert taken(here) == [("memblock_reserve", 14), ("memblock_phys_free", 14)]
    # What stands before rdinit= is forgotten, the environment is not.
    here = made(bootargs="splash foo=1 rdinit=/init bar", symbols=symbols)
    assert unknown_options(here) == ["bar", "foo=1"]


def test_a_profile_without_parameters_takes_every_kernels() -> None:
    assert known({}, "console", "ttyS0") and known({}, "rodata", "off")
    assert not known({}, "lab_uart", "0x9000000")
    symbols = {"__setup_str_rdinit_setup": 1}
    assert not known(symbols, "console", "ttyS0")
    assert known(symbols, "hung_task_panic", "1") and known(symbols, "BOOT_IMAGE", "/vmlinuz")


def test_the_log_grows_by_parameter_or_for_many_cpus() -> None:
    here = made(LOG_BUF_SHIFT=17)
    setup_log_buf(here, 1)
    assert not taken(here)
    here = made(bootargs="log_buf_len=200K", LOG_BUF_SHIFT=17)
    setup_log_buf(here, 1)
    assert [size for _, size in taken(here)] == [256 * K, 8192 * 24, 8192 * 88]
    assert here.log.messages[-1].unknown
    here = made(LOG_BUF_SHIFT=12, LOG_CPU_MAX_BUF_SHIFT=12)
    setup_log_buf(here, 4)
    assert taken(here)[0] == ("memblock_reserve", 16 * K)
    assert said(here)[0] == "printk: log_buf_len individual max cpu contribution: 4096 bytes"


def test_hash_tables_follow_memory() -> None:
    here = made()
    vfs_caches_init_early(here)
    assert said(here) == [
        "Dentry cache hash table entries: 131072 (order: 8, 1048576 bytes, linear)",
        "Inode-cache hash table entries: 65536 (order: 7, 524288 bytes, linear)",
    ]
    here = made(bootargs="dhash_entries=100")
    assert entries(here, HashTable("x", 8, 13, 100, 2)) == 128
    vfs_caches_init_early(here)
    assert said(here)[0].startswith("Dentry cache hash table entries: 128 (order: 0, 1024 bytes")
    here = made()
    here.nr_kernel_pages = here.nr_all_pages = 1 << 30  # 4 TiB: tables grow more slowly
    assert entries(here, HashTable("x", 8, 13)) < (1 << 42) >> 13


def test_a_hash_table_that_does_not_fit_is_halved() -> None:
    here = made()
    here.memblock.reserve(G, G - 96 * K, "test")
    vfs_caches_init_early(here)
    assert said(here)[0] == "Dentry cache hash table entries: 8192 (order: 4, 65536 bytes, linear)"


@pytest.mark.parametrize(
    ("options", "bootargs", "line"),
    [
        ({"INIT_STACK_ALL_ZERO": "y"}, "", "stack:all(zero), heap alloc:off, heap free:off"),
        ({"INIT_ON_ALLOC_DEFAULT_ON": "y"}, "", "stack:off, heap alloc:on, heap free:off"),
        ({"INIT_ON_ALLOC_DEFAULT_ON": "y"}, "init_on_alloc=0", "heap alloc:off, heap free:off"),
        ({}, "init_on_free=1", "heap alloc:off, heap free:on"),
    ],
)
def test_the_line_about_clearing(options: dict[str, str], bootargs: str, line: str) -> None:
    here = made(bootargs=bootargs, **options)
    report_meminit(here)
    assert said(here)[0].startswith("mem auto-init: ") and said(here)[0].endswith(line)


def test_stack_traces_want_a_table_only_if_asked() -> None:
    for bootargs, wanted in (
        ("", False),
        ("slub_debug=P", False),
        ("slub_debug=PU", True),
        ("slub_debug=-", False),
        ("slub_debug", True),
        ("slab_debug=F;U,dentry", True),
    ):
        here = made(bootargs=bootargs, STACKDEPOT="y", SLUB_DEBUG="y")
        stack_depot_early_init(here)
        assert bool(taken(here)) == wanted, bootargs


def test_bounce_buffers() -> None:
    here = made()
    pool = Swiotlb.of(here)
    pool.init(needed=False, limit=2 * G, cpus=1)
    assert not taken(here) and not said(here)
    pool.adjust_size(M)
    pool.init(needed=True, limit=2 * G - 1, cpus=1)
    assert [size for _, size in taken(here)] == [M, 3 * PAGE, 16]
    assert said(here)[:2] == [
        "software IO TLB: SWIOTLB bounce buffer size adjusted to 1MB",
        "software IO TLB: area num 1.",
    ]
    forced = made(bootargs="swiotlb=100,2,force")
    pool = Swiotlb.of(forced)
    assert (pool.slabs, pool.areas, pool.forced) == (256, 2, True)
    refused = made(bootargs="swiotlb=noforce")
    Swiotlb.of(refused).init(needed=True, limit=2 * G, cpus=1)
    assert not taken(refused)


def test_zonelists_and_grouping() -> None:
    here = made(CMA="y", MEMORY_ISOLATION="y", HUGETLB_PAGE="y")
    build_all_zonelists(here)
    assert said(here) == ["Built 1 zonelists, mobility grouping on.  Total pages: 262144"]
    small = made(HUGETLB_PAGE="y")
    small.nodes[0].zones[0].present = 100
    build_all_zonelists(small)
    assert "grouping off" in said(small)[0]
    numa = made(NUMA="y")
    numa.nodes.append(Node(1, 0, 0, [Zone("Normal", 2 * G // PAGE, 1, 1)]))
    build_all_zonelists(numa)
    assert said(numa)[:2] == [
        "Fallback order for Node 0: 0 1 ",
        "Fallback order for Node 1: 1 0 ",
    ]
    numa = made(NUMA="y")
    numa.nodes += [Node(n, 0, 0, [Zone("Normal", n * G // PAGE, 1, 1)]) for n in (2, 3)]
    numa.nodes[1].number, numa.nodes[2].number = 1, 2
    build_all_zonelists(numa)
    assert said(numa)[:3] == [
        "Fallback order for Node 0: 0 1 2 ",
        "Fallback order for Node 1: 1 2 0 ",
        "Fallback order for Node 2: 2 0 1 ",
    ]


def test_struct_pages_of_all_but_a_section_may_wait() -> None:
    here = made(DEFERRED_STRUCT_PAGE_INIT="y")
    assert first_deferred_pfn(here, here.nodes[0]) == (G + 128 * M) // PAGE
    assert first_deferred_pfn(made(), here.nodes[0]) > G
    whole = made(bootargs="early_page_ext", DEFERRED_STRUCT_PAGE_INIT="y", PAGE_EXTENSION="y")
    assert first_deferred_pfn(whole, whole.nodes[0]) > G


def test_parts_of_the_image_count_once() -> None:
    symbols = Symbols(
        [
            *(("_stext", 0), ("_etext", 100 * K), ("_sinittext", 40 * K), ("_einittext", 50 * K)),
            *(("__init_begin", 200 * K), ("__init_end", 220 * K)),
        ]
    )
    assert dict(image_sizes(symbols)) == {
        "kernel code": 90 * K,
        "rwdata": 0,
        "rodata": 0,
        "init": 30 * K,
        "bss": 0,
    }


@pytest.mark.parametrize(
    ("bootargs", "release", "pages", "words"),
    [
        (
            "hugepagesz=256M hugepages=1",
            "6.12.117",
            [],
            [
                "HugeTLB: unsupported hugepagesz=256M",
                "HugeTLB: hugepages=1 does not follow a valid hugepagesz, ignoring",
            ],
        ),
        ("hugepagesz=2M hugepages=9", "6.12.117", [], []),
        ("hugepagesz=32M hugepages=2", "6.1.176", [0x7E00_0000, 0x7C00_0000], []),
        ("hugepages=2 default_hugepagesz=32M", "6.12.117", [0x7E00_0000, 0x7C00_0000], []),
        (
            "hugepagesz=1G hugepages=2",
            "6.12.117",
            [0x4000_0000],
            [
                "HugeTLB: allocating 2 of page size 1.00 GiB failed.  Only allocated 1 hugepages.",
            ],
        ),
        ("hugepagesz=32M hugepages=0:1,0:x", "6.1.176", [], ["HugeTLB: Invalid hugepages"]),
    ],
)
def test_gigantic_pages_come_from_memblock(
    bootargs: str, release: str, pages: list[int], words: list[str]
) -> None:
    here = made(bootargs=bootargs, release=release, HUGETLB_PAGE="y", ARM64_4K_PAGES="y")
    hugetlb_parameters(here)
    taken = [e.start for e in here.log if e.kind == "memblock_reserve"]
    assert taken == pages
    for text, start in zip(said(here)[-len(words) :] if words else [], words, strict=True):
        assert text.startswith(start)
    later = [r for r in here.memblock.reserved.list if r.flags]
    assert bool(later) == (bool(pages) and release.startswith("6.12"))
    assert all(r.base % (1 << 20) == PAGE for r in later)
