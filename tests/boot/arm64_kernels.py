"""Made-up arm64 kernels of any configuration, and a board for them."""

from __future__ import annotations

from device_trees import blob, cells
from ttbr.boot.arm64 import STAGES
from ttbr.boot.board import Board
from ttbr.boot.loader import custom
from ttbr.boot.machine import Machine
from ttbr.kernel.arm64_layout import layout
from ttbr.kernel.config import Config
from ttbr.kernel.cpu import Cpu
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.release import Release
from ttbr.kernel.symbols import Symbols

M = 1 << 20
G = 1 << 30
SEGMENT = 64 << 10
PAGES = {12: "ARM64_4K_PAGES", 14: "ARM64_16K_PAGES", 16: "ARM64_64K_PAGES"}
# ID registers: 44 bits of physical address; 52 bits with LVA, LPA2 and everything else.
PLAIN = Cpu("plain", "test,plain", {"ID_AA64MMFR0_EL1": 0x1124})
WIDE = Cpu(
    "wide",
    "test,wide",
    {"ID_AA64MMFR0_EL1": 0x1020_1126, "ID_AA64MMFR1_EL1": 2, "ID_AA64MMFR2_EL1": 1 << 16},
)


def config(page_shift: int, va_bits: int, **options: str) -> Config:
    """The options that matter here; 52-bit kernels of small pages are LPA2 ones."""
    found = {
        PAGES[page_shift]: "y",
        "ARM64_VA_BITS": str(va_bits),
        "ARM64_PA_BITS": "52" if va_bits == 52 else "48",
        "RELOCATABLE": "y",
        "RANDOMIZE_BASE": "y",
        "UNMAP_KERNEL_AT_EL0": "y",
        "RODATA_FULL_DEFAULT_ENABLED": "y",
        "BLK_DEV_INITRD": "y",
        "HAVE_ALIGNED_STRUCT_PAGE": "y",
    }
    if va_bits == 52 and page_shift < 16:
        found["ARM64_LPA2"] = "y"
    return Config({**found, **options}, architecture="arm64")


def kernel(
    release: str, page_shift: int, va_bits: int, *, text: int = 3 * M, **options: str
) -> Kernel:
    """A kernel whose code takes `text` bytes."""
    made, version = config(page_shift, va_bits, **options), Release.parse(release)
    base = layout(made, version).kimage_vaddr
    page = 1 << page_shift
    symbols: dict[str, int] = {}
    at = base

    def put(*names: str, size: int = 0, align: int = 1) -> None:
        nonlocal at
        at = -(-at // align) * align
        symbols.update(dict.fromkeys(names, at))
        at += size

    put("_text", size=SEGMENT)
    put("_stext", size=text)
    put("_etext", "__start_rodata", size=M, align=SEGMENT)
    put("vdso_start", size=page, align=page)
    put("vdso_end")
    for name in ("kpti_ptes", "idmap_ptes"):
        put(name, size=3 * page, align=page)
    put("__idmap_text_start", size=0x880, align=4096)
    put("__idmap_text_end")
    for name in ("idmap_pg_dir", "tramp_pg_dir", "reserved_pg_dir", "swapper_pg_dir"):
        put(name, size=page, align=page)
    put("__init_begin", "__inittext_begin", size=5 * SEGMENT, align=SEGMENT)
    put("__inittext_end", "__initdata_begin", align=SEGMENT)
    put("init_idmap_pg_dir", size=24 * page, align=page)
    put("init_idmap_pg_end")
    put("__pi_ptes.1", size=8 * page, align=page)
    put("__init_end", "__initdata_end", "_data", size=M, align=SEGMENT)
    put("__idmap_kpti_flag", size=4)
    put("vdso_data_store", size=page, align=page)
    put("__bss_start", size=8)
    put("bm_pud", size=page, align=page)
    put("bm_pmd", size=page, align=page)
    put("bm_pte", size=4 * page, align=page)
    put("empty_zero_page", size=page, align=page)
    put("__bss_stop")
    put("init_pg_dir", size=24 * page, align=page)
    put("init_pg_end")
    put("_end", align=SEGMENT)
    return Kernel("arm64", version, made, Symbols(symbols.items()), "made-up", 0, at - base)


def tree(memory: list[tuple[int, int]], bootargs: str = "nokaslr", **chosen: bytes) -> bytes:
    """A device tree with memory and a command line."""
    reg = b"".join(cells(b >> 32, b & 0xFFFFFFFF, s >> 32, s & 0xFFFFFFFF) for b, s in memory)
    wide = {"#address-cells": cells(2), "#size-cells": cells(2)}
    args = {"bootargs": bootargs.encode() + b"\0", **chosen}
    nodes = [
        ("chosen", args, []),
        ("memory@0", {"device_type": b"memory\0", "reg": reg}, []),
    ]
    return blob(("", wide, nodes))


def run(
    made: Kernel,
    device_tree: bytes,
    *,
    kernel_at: int = 0x4020_0000,
    dtb_at: int = 0x4800_0000,
    cpu: Cpu = PLAIN,
    kaslr_offset: int = 0,
    stop: str = "paging_init",
) -> Machine:
    """The machine after a stage."""
    board = Board.from_dtb(device_tree)
    placement = custom(board, kernel_at, dtb_at)
    machine = Machine.hand_over(
        board, made, placement, tree=board.tree, cpu=cpu, kaslr_offset=kaslr_offset
    )
    for name, stage in STAGES:
        machine.enter(name)
        stage(machine)
        if name == stop:
            break
    return machine
