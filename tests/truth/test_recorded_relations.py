"""Relations of real machines: the rows of the commands, by SQL, Arrow and Parquet alike."""

import json

import numpy as np
import pyarrow.parquet
import pytest
import query_page
import recorded

from ttbr.errors import InputError
from ttbr.findings import Audited, audit
from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.linux import Linux
from ttbr.report.export import write
from ttbr.report.hostile import shown
from ttbr.report.kernel_memory import (
    free_block_rows,
    memblock_rows,
    meminfo_rows,
    vmalloc_rows,
    zone_rows,
)
from ttbr.report.relations import RELATIONS, Relations
from ttbr.report.sql import Query
from ttbr.report.symbols import symbols_json
from ttbr.report.tasks import tasks_json, vmas_json

# Of each kind one: short and long descriptors, BTF and none, modules, nodes, page sizes.
CASES = (
    *("arm32-stock-6.1", "arm32-virt-lpae"),
    *("arm64-16k-47", "arm64-4k-48-numa", "arm64-64k-42", "arm64-stock-6.1"),
)


@pytest.fixture(scope="module", params=CASES)
def machine(request, truth):
    return recorded.load(truth, request.param)


@pytest.fixture(scope="module")
def linux(machine):
    return Linux(with_registers(Image(machine.image.memory))[0])


@pytest.fixture(scope="module")
def relations(linux):
    return Relations(linux)


def rows_of(relations, sql):
    """The answer as JSON's readers have it."""
    cells = Query(sql).run(relations)
    return [
        {
            name: hex(value) if word and value is not None else value
            for name, value, word in zip(cells.names, row, cells.is_word, strict=True)
        }
        for part in cells.rows
        for row in part
    ]


def compared(say, case, name, found, wanted):
    assert len(found) == len(wanted)
    equal = sum(one == other for one, other in zip(found, wanted, strict=True))
    assert equal == len(wanted), next(p for p in zip(found, wanted, strict=True) if p[0] != p[1])
    say(f"{case}: {name} by SQL and by command: compared {len(wanted)}, equal {equal}")


def held(relations, name):
    """Whether the image has the relation."""
    try:
        relations[name]
    except InputError:
        return False
    return True


def test_tasks(relations, linux, machine, say):
    tasks = linux.tasks
    wanted = tasks_json(linux, tasks, list(range(len(tasks))))
    found = rows_of(relations, "FROM tasks")
    names = {row["pid"]: row["name"] for row in found}
    assert [shown(names[row["pid"]]) for row in wanted] == [row["name"] for row in wanted]
    keys = [key for key in found[0] if key in wanted[0] and key not in ("name", "tables")]
    assert {"pid", "tgid", "ppid", "mm", "root", "asid"} <= set(keys)
    compared(
        *(say, machine.case, "tasks"),
        [{key: row[key] for key in keys} for row in found],
        [{key: row[key] for key in keys} for row in wanted],
    )


def test_areas(relations, linux, machine, say):
    vmas = linux.vmas
    wanted = []
    for mm in dict.fromkeys(vmas.mm.tolist()):
        task = int(np.flatnonzero(linux.tasks.mm == np.uint64(mm))[0])
        space = linux.processes.of(int(linux.tasks.pgd[task]))
        rows = np.flatnonzero(vmas.mm == np.uint64(mm)).tolist()
        for area in vmas_json(vmas, rows, space):
            mapped = area.pop("mapped")
            area["last"] = hex(int(area.pop("end"), 16) - 1)
            area["mapped"] = sum(mapped.values())
            area["present"] = mapped.get("present", 0)
            wanted.append({"pid": int(linux.tasks.pid[task]), **area})
    found = rows_of(
        relations,
        """SELECT pid, start, permissions, flags, file_offset::BIGINT AS "offset", major, minor,
           inode, name, last, present + prot_none + old + invalidated + swapped + other AS mapped,
           present FROM vmas""",
    )
    for row in found:
        row["name"] = None if row["name"] is None else shown(row["name"])
    compared(say, machine.case, "areas", found, wanted)


LISTS = {
    "memblock": (
        "SELECT * FROM memblock",
        lambda m: None if m.memblock is None else memblock_rows(m.memblock),
    ),
    "zones": (
        """SELECT node, name, start_pa AS start, spanned, present, managed, free, min, low, high
           FROM zones""",
        lambda m: zone_rows(m.zones, m.linux.page_size),
    ),
    "free_blocks": (
        """SELECT node, zone, page_order AS "order", type, pa AS address, size FROM free_blocks""",
        lambda m: (
            m.free_blocks
            and free_block_rows(m.zones, m.free_blocks, m.migrate_types, m.linux.page_size)
        ),
    ),
    "vmalloc": (
        """SELECT start, last, size, kind, pages, pa AS physical, caller_name AS caller
           FROM vmalloc""",
        lambda m: m.vmalloc and vmalloc_rows(m.vmalloc, m.linux.symbols),
    ),
    "meminfo": ("SELECT * FROM meminfo", meminfo_rows),
}


@pytest.mark.parametrize("name", LISTS)
def test_the_kernels_account_of_memory(relations, machine, say, name):
    sql, rows = LISTS[name]
    listed = rows(relations._source.memory)
    wanted = [] if listed is None else listed.as_json()
    assert held(relations, name) == bool(wanted)
    found = rows_of(relations, sql) if wanted else []
    for row in (*found, *wanted):
        for key, value in row.items():
            row[key] = value or None if key in ("node", "physical", "caller") else value
            row[key] = None if value == "" and key in ("kib", "count") else row[key]
    compared(say, machine.case, name, found, wanted)


def test_symbols(relations, linux, machine, say):
    wanted = symbols_json(linux.symbols, list(range(len(linux.symbols))))["symbols"]
    found = rows_of(relations, "SELECT * FROM symbols")
    for row in found:
        row["name"] = shown(row["name"])
    compared(say, machine.case, "symbols", found, wanted)


def test_pages(relations, linux, machine, say):
    if not held(relations, "pages"):
        assert relations._source.memory.memory_map is None
        say(f"{machine.case}: struct pages are not found, nor is their relation")
        return
    table = relations["pages"]
    random = np.random.default_rng(1).integers(0, table.num_rows, 200)
    use, equal = relations._source.use, 0
    for row in table.take(random).to_pylist():
        page = use.page(row["pfn"])
        assert (row["page"], row["flags"]) == (int(page.address[0]), int(page.flags[0]))
        assert row["type"] == use.types_of(page)[0]
        assert row["flag_names"] == " ".join(use.flags_of(row["flags"]))
        equal += 1
    mapped = rows_of(
        relations,
        """SELECT count(*) AS frames, count(p.pfn) AS known FROM
           (SELECT DISTINCT pfn FROM process_pages) m LEFT JOIN pages p USING (pfn)""",
    )[0]
    say(f"{machine.case}: struct pages by SQL and by command: compared {equal}, equal {equal}")
    say(f"{machine.case}: frames of processes: {mapped['frames']}, with a page {mapped['known']}")


def test_who_maps_a_page(relations, machine, say):
    found = rows_of(relations, "SELECT pa, list(pid) AS pids FROM process_pages GROUP BY pa")
    use = relations._source.use
    random = np.random.default_rng(1).integers(0, len(found), 200)
    for row in (found[at] for at in random):
        users = use.users(int(row["pa"], 16))
        assert sorted(row["pids"]) == sorted(pid for pid, _, _ in users)
    say(f"{machine.case}: users of pages by SQL and by command: compared {len(random)}")


def test_findings(relations, linux, machine, say):
    found = audit(Audited(linux.image, linux))
    wanted = [
        {"code": each.code, "owner": one.owner, "va": hex(one.va), "place": hex(one.place)}
        for each in found
        for one in each.found.mapped
    ]
    rows = rows_of(relations, "SELECT code, owner, va, place FROM findings WHERE va IS NOT NULL")
    compared(say, machine.case, "ranges of findings", rows, wanted)


def test_files(relations, machine, say, tmp_path):
    rows = 0
    for name in RELATIONS:
        if not held(relations, name):
            continue
        path = tmp_path / f"{name}.parquet"
        write(relations[name], path, "parquet", False)
        assert pyarrow.parquet.read_table(path).equals(relations[name])
        if relations[name].num_rows < 10_000:
            write(relations[name], path, "json", True)
            assert json.loads(path.read_text()) == rows_of(relations, f"FROM {name}")
        path.unlink()
        rows += relations[name].num_rows
    say(f"{machine.case}: rows of all relations in Parquet: compared {rows}, equal {rows}")


def test_the_queries_of_the_page(relations, machine, say):
    counts = []
    asked = query_page.queries()
    assert len(asked) >= 12
    for question, sql in asked.items():
        needs = Query(sql).needs
        assert needs, question
        if all(held(relations, name) for name in needs):
            counts.append(len(rows_of(relations, sql)))
    say(f"{machine.case}: queries of docs/query.md: {len(asked)}, rows of each {counts}")
