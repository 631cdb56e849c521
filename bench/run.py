"""How fast ttbr reads tables, as ratios within one run.

Every figure is a ratio to something that does the same work in the same process, a moment earlier
or later: the floor (reading the same table bytes once; as many dependent random reads as the walks
need) and peers (a plain Python loop that answers the same, one descriptor at a time; drgn, which
walks page by page, if it is installed: pip install drgn). Seconds are printed only so that a
reader can see whether they are long enough to trust.

    python bench/run.py [--leaves 131072 1048576 67108864] [--addresses 1000000] [--json]
"""

import argparse
import importlib.util
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import RegimePair, TranslationRegime
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.notes import Note
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram
from ttbr.memory.save import save_core
from ttbr.mmu.address_space import AddressSpace

REGISTERS = {
    "TCR_EL1": 0x34B5503510,  # 4K granule, 48-bit halves
    "MAIR_EL1": 0x40044FFFF,
    "SCTLR_EL1": 0x34F4D91D,
    "TTBR1_EL1": 0,
}
BASE = 0x40000000
ENTRIES = 512
PAGE = 4096
ADDRESS = 0x0000FFFFFFFFF000
LINEAR = 0xFFFF000000000000
KIMAGE = 0xFFFF800080000000
PEER_PAGES = 1 << 16  # pages that the page-by-page peer is asked for

# What a kernel dump says of itself, as far as a walk of its tables needs it.
VMCOREINFO = f"""OSRELEASE=6.12.0
PAGESIZE=4096
SYMBOL(swapper_pg_dir)={KIMAGE:x}
SYMBOL(_stext)={KIMAGE + 0x10000:x}
NUMBER(VA_BITS)=48
NUMBER(kimage_voffset)={KIMAGE - BASE:#x}
NUMBER(PHYS_OFFSET)={BASE:#x}
NUMBER(TCR_EL1_T1SZ)=0x10
KERNELOFFSET=0
NUMBER(KERNELPACMASK)=0x0
"""


def tables_for(leaves: int) -> NDArray[np.uint64]:
    """Table words for ``leaves`` pages from `BASE` on, mapped from the bottom of the upper half.

    The tables themselves lie from `BASE` on: the root, then level by level.
    """
    counts = [leaves]
    while len(counts) < 5:
        counts.append(-(-counts[-1] // ENTRIES))
    per_level = counts[1:][::-1]  # tables of level 0, 1, 2, 3
    first = np.cumsum([0, *per_level])
    words = np.zeros((first[-1], ENTRIES), np.uint64)
    for level in range(3):
        below = per_level[level + 1]
        flat = words[first[level] : first[level + 1]].reshape(-1)
        address = BASE + (first[level + 1] + np.arange(below, dtype=np.uint64)) * PAGE
        flat[:below] = address.astype(np.uint64) | np.uint64(0x1800000000000003)
    flat = words[first[3] :].reshape(-1)
    flat[:leaves] = np.arange(leaves, dtype=np.uint64) * np.uint64(PAGE) + np.uint64(
        0x00E8000000000707 + BASE
    )
    return words.reshape(-1)


def best(work: Callable[[], Any], rounds: int = 5) -> float:
    """Shortest of several runs, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def plain_loop(words: list[int]) -> list[tuple[int, int, int]]:
    """A peer: (va, pa, attribute bits) of every leaf, one descriptor at a time."""
    found: list[tuple[int, int, int]] = []

    def visit(table: int, level: int, va: int) -> None:
        at = (table - BASE) >> 3
        shift = 39 - 9 * level
        for index, descriptor in enumerate(words[at : at + ENTRIES]):
            if descriptor & 3 != 3:
                continue
            here = va | index << shift
            if level == 3:
                found.append((here, descriptor & ADDRESS, descriptor & ~ADDRESS))
            else:
                visit(descriptor & ADDRESS, level + 1, here)

    visit(BASE, 0, LINEAR)
    return found


def dependent_reads(words: NDArray[np.uint64], where: NDArray[np.int64]) -> NDArray[np.int64]:
    """Four random reads for each address, each of which decides where the next one goes."""
    at = where
    for _ in range(4):
        at = (where + (words[at] & np.uint64(1)).astype(np.int64)) % len(words)
    return at


def drgn_seconds(words: NDArray[np.uint64], pages: int) -> float | None:
    """What drgn takes to read a byte of each of ``pages`` pages; None where it isn't installed."""
    if importlib.util.find_spec("drgn") is None:
        return None
    import drgn  # noqa: PLC0415 – a peer that need not be there

    ram = Ram([Bank(BASE, max(words.nbytes, pages * PAGE))])
    ram.write_words(BASE, words, 8)
    with tempfile.TemporaryDirectory() as folder:
        core = Path(folder) / "core"
        save_core(core, ram, [Note("VMCOREINFO", 0, VMCOREINFO.encode())], "arm64")
        program = drgn.Program()
        program.set_core_dump(str(core))

        def read() -> None:
            for page in range(pages):
                program.read(LINEAR + page * PAGE, 1)

        return best(read, rounds=2)


def peak() -> int:
    """The most memory that this process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(leaves: int, addresses: int) -> dict[str, Any]:
    """All figures for one size."""
    words = tables_for(leaves)
    memory = BankedMemory([Piece(BASE, words.nbytes, words.view(np.uint8))])
    regime: TranslationRegime | None = RegimePair.from_registers(REGISTERS).upper
    assert regime is not None
    space = AddressSpace(regime, BASE, memory)
    before = peak()
    found = space.mappings()
    ranges = len(found.regions())
    grown = peak() - before
    assert (len(found), ranges) == (leaves, 1), (len(found), ranges)

    random = np.random.default_rng(1)
    vas = np.uint64(LINEAR) + random.integers(0, leaves * PAGE, addresses, dtype=np.uint64)
    where = random.integers(0, len(words), addresses)
    row: dict[str, Any] = {
        "leaves": leaves,
        "table_bytes": words.nbytes,
        "dump_seconds": best(lambda: space.mappings().regions()),
        "floor_seconds": best(lambda: int(words.sum())),
        "peak_growth_per_table_byte": grown / words.nbytes,
        "addresses": addresses,
        "translate_seconds": best(lambda: space.translate_many(vas), rounds=3),
        "random_reads_seconds": best(lambda: dependent_reads(words, where), rounds=3),
    }
    row["dump_per_floor"] = row["dump_seconds"] / row["floor_seconds"]
    row["translate_per_random_reads"] = row["translate_seconds"] / row["random_reads_seconds"]
    row["addresses_per_second"] = addresses / row["translate_seconds"]
    if leaves <= 1 << 21:
        listed = words.tolist()
        row["plain_loop_per_dump"] = best(lambda: plain_loop(listed), 2) / row["dump_seconds"]
        pas = np.uint64(BASE) + random.integers(0, leaves * PAGE, addresses, dtype=np.uint64)
        found.reverse(BASE)  # makes the index
        row["reverse_per_second"] = addresses / best(lambda: found.reverse_many(pas), 2)
        pages = min(leaves, PEER_PAGES)
        drgn = drgn_seconds(words, pages)
        if drgn is not None:
            row["drgn_pages_per_second"] = pages / drgn
            row["drgn_per_dump"] = drgn / pages * leaves / row["dump_seconds"]
    return row


def line(row: dict[str, Any]) -> str:
    """One size as text."""
    parts = [
        f"{row['leaves']:>9} leaves ({row['table_bytes'] >> 10} KiB of tables): dump "
        f"{row['dump_seconds'] * 1e3:.1f} ms = {row['dump_per_floor']:.1f} x the floor, peak "
        f"memory + {row['peak_growth_per_table_byte']:.2f} x the tables",
        f"translate {row['addresses_per_second'] / 1e6:.1f} M addresses/s = "
        f"{row['translate_per_random_reads']:.1f} x the random reads",
    ]
    if "plain_loop_per_dump" in row:
        parts.append(f"reverse {row['reverse_per_second'] / 1e6:.1f} M/s")
        parts.append(f"a plain loop takes {row['plain_loop_per_dump']:.0f} x as long as dump")
    if "drgn_per_dump" in row:
        parts.append(f"drgn page by page {row['drgn_per_dump']:.0f} x as long")
    return "\n            ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leaves", type=int, nargs="+", default=[1 << 17, 1 << 20])
    parser.add_argument("--addresses", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(leaves, options.addresses) for leaves in options.leaves]
    print(json.dumps(rows, indent=1) if options.json else "\n".join(map(line, rows)))


if __name__ == "__main__":
    main()
