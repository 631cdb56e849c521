"""Each rule finds what it is for, and nothing on a board that has not got it."""

from dataclasses import replace

import arm64_kernels
import pytest
from attempts import attempted, codes, kernel, of
from console_cases import (
    CASES,
    CMA,
    DEFAULT,
    DTB_AT,
    FREE,
    RAM,
    Case,
    G,
    K,
    M,
    pair,
    reg,
    region,
    word,
)

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import boot_until_failure
from ttbr.boot.loader import custom
from ttbr.findings import CHECK, Attempt, attempt
from ttbr.kernel.kernel import Kernel
from ttbr.kernel.symbols import Symbols

ARM64 = Case("clean", "")
ARM = Case("clean-arm", "", kernel="armmp", memory=((RAM, 512 * M),), ram=512 * M)
CLEAN = {"arm64": ARM64, "armmp": ARM}


def tree_with(case: Case, *nodes, made=None, **properties: bytes) -> Attempt:
    """The case's board with more nodes, and other properties of the root."""
    name, kept, children = case.tree
    booted = made or kernel(case)
    return attempt(
        blob((name, {**kept, **properties}, [*children, *nodes])),
        Board.from_dtb,
        lambda board: booted,
        lambda board, chosen: custom(board, case.text, case.dtb_at),
        boot_until_failure,
    )


def made_up(made: Kernel, memory=((RAM, G),), stop="paging_init") -> Attempt:
    """A made-up arm64 kernel on a CPU with 52-bit addresses."""
    return attempt(
        arm64_kernels.tree(list(memory)),
        Board.from_dtb,
        lambda board: made,
        lambda board, chosen: custom(board, ARM64.text, DTB_AT),
        lambda *given: boot_until_failure(*given, cpu=arm64_kernels.WIDE, stop=stop),
    )


def two_nodes(made: Kernel) -> Attempt:
    """A board whose second bank belongs to no NUMA node."""
    name, properties, children = ARM64.tree
    banks = [
        (
            f"memory@{base:x}",
            {"device_type": b"memory\0", "reg": reg((base, 512 * M)), **numa},
            [],
        )
        for base, numa in ((FREE, {}), (RAM, {"numa-node-id": word(0)}))
    ]
    kept = [child for child in children if child[0] != "memory"]
    return attempt(
        blob((name, properties, [*kept, *banks])),
        Board.from_dtb,
        lambda board: made,
        lambda board, chosen: custom(board, ARM64.text, DTB_AT),
        boot_until_failure,
    )


def lpae() -> Kernel:
    """Debian's kernel, as if built with LPAE: its page directory has a page more."""
    return with_symbol(kernel(ARM, ARM_LPAE="y"), "swapper_pg_dir", 0xC020_3000)


def with_symbol(made: Kernel, name: str, value: int) -> Kernel:
    others = [pair for pair in made.symbols.items() if pair[0] != name]
    return replace(made, symbols=Symbols([*others, (name, value)]))


def without_memory() -> Attempt:
    name, properties, children = ARM64.tree
    kept = [child for child in children if child[0] != "memory"]
    return attempt(
        blob((name, properties, kept)),
        Board.from_dtb,
        lambda board: kernel(ARM64),
        lambda board, made: custom(board, ARM64.text, DTB_AT),
        boot_until_failure,
    )


def arm_with(memory, **changes) -> Case:
    return replace(ARM, memory=memory, **changes)


DEVICE = ("device@60000000", {"reg": reg((FREE, 64 * K))}, [])
WINDOW = ("pcie@10000000", {"reg": reg((0x1000_0000, 256 * M))}, [])

WIDE = {"#address-cells": word(2), "#size-cells": word(2)}
SIZED = {"CMA_SIZE_SEL_MBYTES": "y"}

# What the messages of a real kernel do not show: code, and the attempt that has it.
SILENT = {
    "no-memory": without_memory,
    "memory-rounded": lambda: attempted(replace(ARM64, memory=((RAM, G - 0x800),))),
    "last-page-of-4g": lambda: attempted(arm_with(((RAM, 512 * M), (0xC000_0000, G)), ram=512 * M)),
    "memory-node-ignored": lambda: tree_with(
        ARM64, ("memory@90000000", {"reg": reg((0x9000_0000, M))}, [])
    ),
    "loader-overlap": lambda: attempted(replace(ARM64, dtb_at=ARM64.text + M)),
    "loader-outside-ram": lambda: attempted(replace(ARM64, dtb_at=0x9000_0000)),
    "kernel-too-big": lambda: attempted(arm_with(((RAM, 16 * M),), ram=16 * M, dtb_at=RAM + M)),
    "dtb-invalid": lambda: attempted(replace(ARM64, dtb_at=DTB_AT + 4)),
    "kernel-address": lambda: attempted(replace(ARM64, kernel_at=ARM64.text + 4096)),
    "mmu-at-entry": lambda: attempted(ARM64),
    "ram-without-highmem": lambda: attempted(
        arm_with(((RAM, G),), ram=G), kernel(ARM, HIGHMEM="n")
    ),
    "highmem": lambda: attempted(arm_with(((RAM, G),), ram=G)),
    "lowmem-hole": lambda: attempted(arm_with(((RAM, 512 * M), (0x8000_0000, 512 * M)))),
    "memory-head-lost": lambda: attempted(arm_with(((RAM + M, 511 * M),))),
    "kvm-51-bits": lambda: made_up(arm64_kernels.kernel("6.12.117", 12, 52, KVM="y")),
    "va-bits-too-small": lambda: made_up(
        arm64_kernels.kernel("6.12.117", 12, 39), memory=[(RAM, G), (600 * G, G)]
    ),
    "memory-beyond-kernel": lambda: attempted(
        replace(ARM64, memory=((RAM, G), (1 << 50, G)), bootargs="nokaslr")
    ),
    "linear-map-pages": lambda: attempted(ARM64),
    "table-memory": lambda: attempted(ARM64),
    "no-map-splits-blocks": lambda: attempted(
        replace(ARM, reserved=[region("odd", RAM + 256 * M + 64 * K, 64 * K, no_map=b"")])
    ),
    "reserved-in-use": lambda: attempted(
        replace(ARM64, reserved=[region("framebuffer", RAM + 4 * M, M)])
    ),
    "reserved-outside-ram": lambda: attempted(
        replace(ARM64, reserved=[region("sram", 0x1000_0000, 64 * K, no_map=b"")])
    ),
    "reserved-more-ranges": lambda: attempted(
        replace(ARM64, reserved=[("two@60000000", {"reg": reg((FREE, M), (FREE + 4 * M, M))}, [])])
    ),
    "reservation-order": lambda: attempted(
        replace(ARM64, reserved=[("pool", {"size": pair(M)}, [])]), reserve=[(FREE, 4096)]
    ),
    "reserved-node-empty": lambda: attempted(replace(ARM64, reserved=[("empty", {}, [])])),
    "cma-splits-lowmem": lambda: attempted(ARM),
    "cma-default-late": lambda: attempted(
        replace(ARM, reserved=[region("pool", RAM + 256 * M, 16 * M, **DEFAULT)]),
        kernel(ARM, release="6.12.117"),
    ),
    "cma-rounded": lambda: attempted(replace(ARM, bootargs="cma=9M")),
    "device-in-ram": lambda: tree_with(ARM64, DEVICE),
    "vmalloc-too-small-for-device": lambda: tree_with(arm_with(((RAM, G),), ram=G), WINDOW),
    "cpu-unsupported": lambda: attempted(replace(ARM, cpu="arm,arm1176jzf-s")),
    "sections-unaligned": lambda: attempted(ARM, with_symbol(kernel(ARM), "_sdata", 0xC158_0000)),
    "static-map-refused": lambda: attempted(
        ARM,
        kernel(ARM, DEBUG_LL="y", DEBUG_UART_PHYS="0x9000000", DEBUG_UART_VIRT="0xd0000000"),
    ),
    "cma-reserved-twice": lambda: attempted(arm_with(((RAM, G), (4 * G, G)), ram=G), lpae()),
    "cma-above-4g": lambda: made_up(
        arm64_kernels.kernel(
            "6.12.117", 12, 48, CMA="y", DMA_CMA="y", CMA_AREAS="8", CMA_SIZE_MBYTES="16", **SIZED
        ),
        memory=[(RAM, 8 * G)],
        stop=None,
    ),
    "node-without-memory": lambda: two_nodes(
        arm64_kernels.kernel("6.12.117", 12, 48, NUMA="y", OF_NUMA="y")
    ),
    "dma-zone-limit": lambda: tree_with(
        replace(ARM64, memory=((RAM, 2 * G),)),
        ("soc", {**WIDE, "ranges": b"", "dma-ranges": pair(0, 0, 2 * G)}, []),
    ),
    "cma-not-activated": lambda: tree_with(
        replace(ARM, reserved=[region("pool", RAM + 248 * M, 16 * M, **CMA)]),
        made=kernel(ARM, ARCH_REALVIEW="y"),
        compatible=b"arm,realview-pbx\0",
    ),
    "memblock-full": lambda: attempted(
        replace(ARM, reserved=[region(f"r{n}", RAM + 256 * M + n * M, 64 * K) for n in range(140)])
    ),
    "zone-empty": lambda: attempted(ARM),
    "boot-refused": lambda: attempted(replace(ARM64), kernel(ARM64, KASAN="y", KASAN_GENERIC="y")),
}

# Rules that find something on the clean boards, and attempts in which they don't.
ABSENT = {
    "kaslr-off": lambda: tree_with(replace(ARM64, chosen={"kaslr-seed": pair(1 << 60)})),
    "mmu-at-entry": lambda: attempted(ARM),
    "linear-map-pages": lambda: attempted(replace(ARM64, bootargs="rodata=on")),
    "table-memory": lambda: attempted(replace(ARM64, bootargs="rodata=on")),
    "zone-empty": lambda: attempted(ARM, kernel(ARM, ZONE_DMA="n", HIGHMEM="n")),
    "cma-splits-lowmem": lambda: attempted(arm_with(((RAM, G),), ram=G)),
}

CASE_OF = {case.code: case for case in CASES}


@pytest.mark.parametrize("code", sorted(rule.code for rule in CHECK))
def test_a_rule_finds_what_it_is_for(code: str) -> None:
    subject = SILENT[code]() if code in SILENT else attempted(CASE_OF[code])
    found = of(subject, code)
    assert found, codes(subject)
    for finding in found:
        assert finding.found.message
        assert finding.found.fix
        assert all(first <= last for first, last in finding.found.ranges.values())
        assert all(isinstance(number, int) for number in finding.found.numbers.values())


def test_a_microcontroller_has_no_mmu() -> None:
    nvic = ("interrupt-controller@e000e100", {"compatible": b"arm,armv7m-nvic\0"}, [])
    (finding,) = of(tree_with(ARM, nvic), "cpu-unsupported")
    assert "ARMv7-M, which has no MMU" in finding.found.message


@pytest.mark.parametrize("code", sorted(rule.code for rule in CHECK))
def test_a_rule_finds_nothing_on_a_board_without_it(code: str) -> None:
    subjects = [ABSENT[code]()] if code in ABSENT else [attempted(case) for case in CLEAN.values()]
    for subject in subjects:
        assert subject.failure is None
        assert code not in codes(subject)
