"""How fast ttbr reads tables, as ratios within one run.

Each figure is a ratio to something that does the same work in the same process a moment earlier or
later: the floor (reading the same table bytes once; as many dependent random reads as the walks
need) and a peer (a plain Python
loop that answers the same, one descriptor at a time). Seconds are printed only so
that a reader can see whether they are long enough to trust.

    python bench/run.py [--leaves 131072 1048576] [--addresses 1000000] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttbr.arch.regime import RegimePair, TranslationRegime
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.address_space import AddressSpace

REGISTERS = {
    "TCR_EL1": 0x34B5503510,  # 4K granule, 48-bit halves
    "MAIR_EL1": 0x40044FFFF,
    "SCTLR_EL1": 0x34F4D91D,
    "TTBR1_EL1": 0,
}
BASE = 0x40000000
ENTRIES = 512
ADDRESS = 0x0000FFFFFFFFF000


def tables_for(leaves: int) -> tuple[NDArray[np.uint64], int]:
    """Table words for ``leaves`` pages mapped from the bottom of the upper half; number of pages.

    The tables lie one after the other from `BASE`: root, then level by level.
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
        address = BASE + (first[level + 1] + np.arange(below, dtype=np.uint64)) * 4096
        flat[:below] = address.astype(np.uint64) | np.uint64(0x1800000000000003)
    flat = words[first[3] :].reshape(-1)
    flat[:leaves] = (np.arange(leaves, dtype=np.uint64) << np.uint64(12)) | np.uint64(
        0x00E8000000000707
    )
    return words.reshape(-1), int(first[-1])


def best(work: Callable[[], Any], rounds: int = 5) -> float:
    """Shortest of several runs, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def plain_loop(words: list[int]) -> list[tuple[int, int, int]]:
    """The peer: (va, pa, attribute bits) of every leaf, one descriptor at a time."""
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

    visit(BASE, 0, 0xFFFF << 48)
    return found


def dependent_reads(words: NDArray[np.uint64], where: NDArray[np.int64]) -> NDArray[np.int64]:
    """Four random reads for each address, each of which decides where the next one goes."""
    at = where
    for _ in range(4):
        at = (where + (words[at] & np.uint64(1)).astype(np.int64)) % len(words)
    return at


def measure(leaves: int, addresses: int) -> dict[str, Any]:
    """All figures for one size."""
    words, pages = tables_for(leaves)
    memory = BankedMemory([Piece(BASE, words.nbytes, words.view(np.uint8))])
    regime: TranslationRegime | None = RegimePair.from_registers(REGISTERS).upper
    assert regime is not None
    space = AddressSpace(regime, BASE, memory)
    random = np.random.default_rng(1)
    vas = np.uint64(regime.base) + (random.integers(0, leaves << 12, addresses, dtype=np.uint64))
    where = random.integers(0, len(words), addresses)
    found = space.mappings()
    assert len(found) == leaves, (len(found), leaves)

    floor = best(lambda: int(words.sum()))
    dump = best(space.mappings)
    listed = words.tolist()
    peer = best(lambda: plain_loop(listed), rounds=2)
    random_floor = best(lambda: dependent_reads(words, where))
    bulk = best(lambda: space.translate_many(vas))
    pas = found.pa[random.integers(0, len(found), addresses // 10)]
    found.reverse(int(found.pa[0]))  # the index is made once
    reverse = best(lambda: found.reverse_many(pas))
    return {
        "leaves": leaves,
        "table_pages": pages,
        "dump_seconds": dump,
        "dump_per_floor": dump / floor,
        "plain_loop_per_dump": peer / dump,
        "translate_seconds": bulk,
        "translate_per_random_reads": bulk / random_floor,
        "addresses": addresses,
        "reverse_seconds": reverse,
        "reverse_addresses": len(pas),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leaves", type=int, nargs="+", default=[1 << 17, 1 << 20])
    parser.add_argument("--addresses", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(leaves, options.addresses) for leaves in options.leaves]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['leaves']:>9} leaves, {row['table_pages']:>5} tables: "
            f"dump {row['dump_seconds'] * 1e3:8.1f} ms = "
            f"{row['dump_per_floor']:6.1f} x reading the bytes once, "
            f"a plain loop takes {row['plain_loop_per_dump']:6.1f} x as long; "
            f"{row['addresses']} addresses {row['translate_seconds'] * 1e3:8.1f} ms = "
            f"{row['translate_per_random_reads']:5.1f} x the random reads; "
            f"{row['reverse_addresses']} reverse {row['reverse_seconds'] * 1e3:7.1f} ms"
        )


if __name__ == "__main__":
    main()
