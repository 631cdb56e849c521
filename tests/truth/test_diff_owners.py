"""What `diff` says of processes: planted changes by owner and region, and pages copied on write."""

from dataclasses import replace

import numpy as np
import pytest
import recorded
from patched import Patched

from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux
from ttbr.report.diff import diff_images
from ttbr.report.diff_roots import kernel_roots, one_root, process_roots

CASES = ("arm64-4k-48", "arm32-virt-lpae", "arm32-vexpress-a9")
PAGE = 4096


@pytest.fixture(scope="module", params=CASES)
def machine(request, truth):
    return recorded.load(truth, request.param)


@pytest.fixture(scope="module")
def linux(machine):
    return Linux(with_registers(Image(machine.image.memory))[0])


def all_roots(a, b):
    return [kernel_roots(a, b), *process_roots(a, b)]


def test_an_image_and_itself(linux):
    roots = all_roots(linux, linux)
    done = diff_images(linux.image, linux.image, [], roots)
    assert done.identical
    owners = {
        f"{name} ({pid})" for name, pid in zip(linux.tasks.comm, linux.tasks.pid, strict=True)
    }
    assert {root.root for root in done.roots} - owners == {"kernel"}
    assert len(done.roots) == 1 + len(set(linux.tasks.pgd.tolist()) - {0})


def test_pages_copied_on_write(linux, machine, say):
    """`cow-b` rewrote pages 0 to 15 of 48, `cow-a` 16 to 31: those and no others lie elsewhere."""
    samples = [line.split() for line in machine.text("samples.txt").splitlines()]
    rows = {
        name: sorted(
            (int(row[4]), int(row[3], 16), int(row[0])) for row in samples if row[1] == name
        )
        for name in ("cow-a", "cow-b")
    }
    pids = [rows[name][0][2] for name in rows]
    roots = [f"user:{int(linux.tasks.pgd[linux.process(pid)]):#x}" for pid in pids]
    root = one_root(linux, linux, *roots)
    (done,) = diff_images(linux.image, linux.image, [], [root]).roots
    found = done.differences
    moved = {"remapped", "mapped", "unmapped"}
    changed = [
        bool(((found.va <= np.uint64(va)) & (np.uint64(va) <= found.last)).any())
        and kind_at(linux, roots, va)
        for _, va, _ in rows["cow-b"]
    ]
    numbers = [index for index, _, _ in rows["cow-b"]]
    assert [n for n, c in zip(numbers, changed, strict=True) if c] == [n for n in numbers if n < 32]
    assert {group.owner for group in done.groups} == {root.name}
    assert any(group.change in moved and group.region == "anonymous" for group in done.groups)
    say(f"{machine.case}: copied pages of two processes: {sum(changed)} of {len(changed)} differ")


def kind_at(linux, roots, va):
    """Whether the two map an address to different frames, by one walk each."""
    first, second = (linux.image.address_space(root).translate(va).pa for root in roots)
    return first != second


def test_planted_changes(linux, machine, say):
    """One page of a process each: gone, elsewhere, with other rights; and one of the kernel's."""
    task = linux.process(1)
    name = f"user:{int(linux.tasks.pgd[task]):#x}"
    space = linux.image.address_space(name)
    vmas = linux.vmas
    mine = np.flatnonzero(vmas.mm == linux.tasks.mm[task])
    mapped = space.mappings(0, linux.processes.end)
    pages = mapped.va[mapped.level == mapped.level.max()]
    chosen = pages[:3].tolist()
    size = space.regime.format.entry_size
    layout_of = space.regime.format.layout
    changes, wanted = {}, []
    for va, change in zip(chosen, ("unmapped", "remapped", "re-permissioned"), strict=True):
        step = space.translate(va).steps[-1]
        layout = layout_of(step.descriptor, step.level)
        if change == "unmapped":
            word = 0
        elif change == "remapped":
            word = step.descriptor & ~layout.address_mask | layout.place(
                linux.image.memory.banks[0].base
            )
        else:
            write = space.translate(va).attributes.el0_write
            if "AP2" in layout.by_name:
                word = layout.encode({"AP2": int(write)}, step.descriptor)
            else:
                fields = {"AP": 3 if write else 1} | ({"DBM": 0} if "DBM" in layout.by_name else {})
                word = layout.encode(fields, step.descriptor)
        changes[step.address] = word.to_bytes(size, "little")
        (area,) = [r for r in mine if vmas.start[r] <= np.uint64(va) < vmas.end[r]]
        wanted.append((f"{linux.tasks.comm[task]} (1)", vmas.name[area] or "anonymous", change))
    areas = KernelMemory(linux).vmalloc
    kernel = linux.image.address_space("kernel")
    row = next(r for r in range(len(areas)) if kernel.translate(int(areas.start[r])).pa is not None)
    at = kernel.translate(int(areas.start[row])).steps[-1]
    changes[at.address] = bytes(size)
    near = linux.symbols.nearest(int(areas.caller[row]))
    memory = Patched(machine.image.memory, changes)
    other = Linux(replace(linux.image, memory=memory))
    for name in ("tasks", "vmas", "symbols"):
        other.__dict__[name] = getattr(linux, name)
    done = diff_images(linux.image, other.image, [], all_roots(linux, other))
    groups = [group for root in done.roots for group in root.groups]
    found = [(group.owner, group.region, group.change) for group in groups]
    assert sorted(set(wanted)) == sorted(each for each in found if each[0].endswith(" (1)"))
    (gone,) = [group for group in groups if group.owner.endswith(f" by {near[0]}")]
    assert (gone.change, gone.ranges) == ("unmapped", 1)
    assert {root.root for root in done.roots if len(root.differences)} >= {"kernel", wanted[0][0]}
    assert not done.identical
    say(f"{machine.case}: planted changes found by owner and region: {len(wanted) + 1}")


def test_processes_of_one_image_only(linux, machine):
    """A process that ended: only in A; one that another number names: by its table."""
    tasks = linux.tasks
    gone = int(np.flatnonzero(tasks.pgd == np.unique(tasks.pgd)[-1])[0])
    kept = tasks.pgd != tasks.pgd[gone]
    other = Linux(linux.image)
    columns = ("address", "pid", "tgid", "parent", "mm", "pgd", "asid")
    left = replace(
        tasks,
        **{name: getattr(tasks, name)[kept] for name in columns},
        comm=tuple(f"{name}!" for name, keep in zip(tasks.comm, kept, strict=True) if keep),
    )
    for name, value in {"tasks": left, "vmas": linux.vmas, "symbols": linux.symbols}.items():
        other.__dict__[name] = value
    done = diff_images(linux.image, other.image, [], process_roots(linux, other))
    alone = [root for root in done.roots if root.only]
    assert [(root.root, root.only) for root in alone] == [
        (f"{tasks.comm[gone]} ({tasks.pid[gone]})", "A")
    ]
    assert {group.change for root in alone for group in root.groups} == {"unmapped"}
    assert sum(g.bytes for g in alone[0].groups) == alone[0].mapped_a
    together = [root for root in done.roots if not root.only]
    assert together and not any(len(root.differences) for root in together)
    assert all(" and " in root.root and root.table_a == root.table_b for root in together)
    assert not done.identical
    assert done.as_json()["roots"][-1]["table"].keys() == {"a", "b"}
