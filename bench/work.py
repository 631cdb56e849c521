"""What is measured: groups of works that do the same to the same data, the floor first."""

import importlib.util
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from generated import BASE, LINEAR, PAGE, REGISTERS, Generated
from peers import Drgn, plain_loop
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.physical import Bank, PhysicalMemory
from ttbr.memory.ram import Ram
from ttbr.mmu.compare import compare
from ttbr.mmu.image import Image
from ttbr.mmu.kernels import compiled
from ttbr.recover.identify import identify
from ttbr.recover.linux import Linux
from ttbr.recover.registers import read_registers
from ttbr.recover.table_pages import find_table_pages
from ttbr.report.diff_groups import grouped
from ttbr.report.relations import Relations
from ttbr.report.sql import Query

FORMS = ("numpy", "numba") if compiled() else ("numpy",)
PEER_PAGES = 1 << 15  # pages that the page-by-page peer is asked for
LOOP_LEAVES = 1 << 20  # the most that the plain loop is asked for
CHOICE = "TTBR_KERNELS"


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to measure: it does ``amount`` units of its group each time it is called.

    ``clock``: processor time of this thread, unless others work for it.
    """

    name: str
    call: Callable[[], Any]
    amount: int
    rounds: int = 5
    clock: Callable[[], float] = time.thread_time


@dataclass(frozen=True, slots=True)
class Group:
    """Works that can be compared; the first is the floor. ``facts`` are said beside them."""

    title: str
    unit: str
    works: list[Work]
    facts: dict[str, str] = field(default_factory=dict)


def with_form(form: str, call: Callable[[], Any]) -> Callable[[], Any]:
    """The call with one form of the loops."""

    def run() -> Any:
        os.environ[CHOICE] = form
        try:
            return call()
        finally:
            del os.environ[CHOICE]

    return run


def peak(call: Callable[[], Any]) -> int:
    """The most bytes that a call holds at a time, its result included."""
    tracemalloc.start()
    result = call()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return most


def dump_group(image: Generated) -> Group:
    """The whole space as columns, and its regions."""
    space, table_bytes = image.space, image.words.nbytes
    rounds = 300 if image.leaves <= 1 << 20 else 7

    def dump() -> Any:
        mappings = space.mappings()
        return mappings, mappings.regions()

    works = [Work("floor: one pass over the table bytes", image.read_once, image.leaves, rounds)]
    works += [Work(f"dump, {form}", with_form(form, dump), image.leaves, rounds) for form in FORMS]
    found = dump()[0]
    assert len(found) == image.leaves
    result = sum(
        getattr(found.runs, name).nbytes for name in ("va", "pa", "leaves", "size", "table")
    )
    most = peak(with_form("numpy", dump))
    facts = {
        "tables": f"{len(found.tables)}, {table_bytes / 2**20:.1f} MiB",
        "peak memory beside the image": f"{most / table_bytes:.2f} x the table bytes, "
        f"{result / table_bytes:.2f} x of it the result",
    }
    if image.leaves <= LOOP_LEAVES:
        listed = image.words.tolist()
        works.append(Work("a plain Python loop", lambda: plain_loop(listed), image.leaves, 2))
        ram = Ram([Bank(BASE, max(table_bytes, PEER_PAGES * PAGE))])
        ram.write_words(BASE, image.words, 8)
        drgn = Drgn.of(ram, BASE)
        if drgn is not None and not image.scattered:
            pages = min(image.leaves, PEER_PAGES)
            vas = [LINEAR + page * PAGE for page in range(pages)]
            works.append(Work("drgn, page by page", drgn.reader(vas), pages, 2))
    return Group(f"dump: {image.name}", "entries", works, facts)


def translate_group(image: Generated, count: int) -> Group:
    """Random addresses of the whole space."""
    vas = image.random_addresses(count)
    rounds = 5 if count <= 1 << 22 else 1
    works = [
        Work("floor: the same dependent reads", lambda: image.read_dependently(vas), count, rounds)
    ]
    works += [
        Work(
            f"translate, {form}",
            with_form(form, lambda: image.space.translate_many(vas)),
            count,
            rounds,
        )
        for form in FORMS
    ]
    facts = {}
    if rounds > 1:
        most = peak(with_form("numpy", lambda: image.space.translate_many(vas)))
        facts["peak memory"] = f"{most / count:.0f} bytes an address, 20 of them the result"
    return Group(f"translate {count:,} random addresses: {image.name}", "addresses", works, facts)


def reverse_group(image: Generated, count: int) -> Group:
    """Random physical addresses: every virtual one of each."""
    pas = image.random_addresses(count) - np.uint64(LINEAR) + np.uint64(BASE)
    mappings = image.space.mappings()
    mappings.reverse(BASE)  # makes the index
    where = (pas - np.uint64(BASE)) // np.uint64(PAGE) % np.uint64(len(image.words))
    at = where.astype(np.int64)
    works = [Work("floor: a random read for each", lambda: image.words.take(at), count)]
    works += [
        Work(f"reverse, {form}", with_form(form, lambda: mappings.reverse_many(pas)), count)
        for form in FORMS
    ]
    return Group(f"reverse {count:,} random addresses: {image.name}", "addresses", works)


def scan_group(size: int) -> Group:
    """Looking through all of memory for tables: an image of noise with a kernel's tables in it."""
    image = Generated(1 << 18)
    noise = np.random.default_rng(1).integers(0, 1 << 64, size // 8, np.uint64)
    noise[: len(image.words)] = image.words
    memory = BankedMemory([Piece(BASE, noise.nbytes, noise.view(np.uint8))])
    works = [
        Work("floor: one pass over the image", lambda: int(noise.sum()), size, 3),
        Work("scan for tables", lambda: find_table_pages(memory), size, 3),
        Work("all of identification", lambda: identify(memory), size, 1),
    ]
    return Group(f"scan: an image of {size >> 20} MiB", "bytes", works)


def diff_group(leaves: int) -> Group:
    """Two spaces in which nearly every page lies elsewhere: as many differences as pages."""
    image = Generated(leaves, scattered=True)
    a, b = Generated(leaves).space.mappings(), image.space.mappings()
    found = compare(a, b)
    random = np.random.default_rng(1)
    half, other = (b.where(random.random(leaves) < 0.5) for _ in range(2))
    works = [
        Work("floor: one pass over the table bytes", image.read_once, leaves),
        Work("differences", lambda: compare(a, b), leaves),
        Work("differences, half of the pages in each", lambda: compare(half, other), leaves),
        Work(
            "by owner and region", lambda: list(grouped(found, *[["a"] * len(found)] * 2)), leaves
        ),
    ]
    return Group(f"diff: {leaves:,} leaves", "pages", works, {"differences": f"{len(found):,}"})


QUERIES = {
    "filter": "SELECT va, pa FROM mappings WHERE el1_write AND el1_execute",
    "group": "SELECT region, memory, size, count(*), sum(size) FROM mappings GROUP BY ALL",
    "sort": "SELECT va, pa FROM mappings ORDER BY pa DESC LIMIT 10",
    "join with itself": "SELECT count(*) FROM mappings a JOIN mappings b ON a.pa = b.pa",
}


def query_group(image: Generated) -> Group:
    """SQL on the mappings of an image, in elapsed time: DuckDB works with all processors."""
    registers = {**REGISTERS, "TTBR1_EL1": BASE}
    linux = Linux(Image(image.space.memory, registers))
    loaded = Relations(linux)
    rows = loaded["mappings"].num_rows

    def answer(sql: str) -> int:
        return sum(map(len, Query(sql).run(loaded).rows))

    def clocked(name: str, call: Callable[[], Any], rounds: int = 5) -> Work:
        return Work(name, call, rows, rounds, time.perf_counter)

    works = [
        clocked("floor: one pass over the table bytes", image.read_once),
        clocked("the relation: walk, columns, Arrow", lambda: Relations(linux)["mappings"]),
        *(clocked(name, partial(answer, sql)) for name, sql in QUERIES.items()),
    ]
    return Group(f"SQL: {image.name}", "rows", works)


def recording_groups(folder: Path) -> Iterator[Group]:
    """The kernels of recordings: their whole spaces, and the search for their tables."""
    spec = importlib.util.spec_from_file_location("truth", folder / "truth.py")
    assert spec is not None and spec.loader is not None
    truth = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(truth)
    for case in truth.cases():
        if not (folder / case / "registers.json").exists():
            continue  # recorded while it booted only
        banks = truth.ram(case)
        memory = BankedMemory([Piece(base, len(data), data) for base, data in banks.items()])
        registers = read_registers(str(folder / case / "registers.json"))
        yield _recording(case, memory, Image(memory, registers), banks)


def _recording(case: str, memory: PhysicalMemory, image: Image, banks: Any) -> Group:
    space = image.address_space("kernel")
    found = space.mappings()
    tables, size = found.tables, space.regime.format.entry_size
    held = [
        np.frombuffer(memory.read(int(at), int(count) * size), np.uint64)
        for at, count in zip(tables.address, tables.entries, strict=True)
    ]
    words = np.concatenate(held)
    works = [Work("floor: one pass over the table bytes", lambda: int(words.sum()), len(found), 40)]
    works += [
        Work(f"dump, {form}", with_form(form, lambda: space.mappings().regions()), len(found), 20)
        for form in FORMS
    ]
    if image.arch == "arm64" and found.regions(False):
        bits = space.regime.input_bits
        page = 1 << space.regime.levels[-1].shift
        pages = found.va[found.level == space.regime.format.last_level][:2000].tolist()
        ram = [
            va for va in pages if memory.contains(np.array([space.translate(va).pa], np.uint64))[0]
        ]
        drgn = Drgn.of(memory, space.root, page, bits)
        if drgn is not None and ram:
            works.append(Work("drgn, page by page", drgn.reader(ram), len(ram), 2))
    total = sum(len(data) for data in banks.values())
    facts = {
        "tables": f"{len(tables)}, {words.nbytes / 2**10:.0f} KiB",
        "runs": f"{len(found.runs)}, regions: {len(found.regions())}",
        "image": f"{total >> 20} MiB",
    }
    return Group(f"{case}: {len(found):,} leaves", "entries", works, facts)
