"""A small Linux, before the maple tree and with it, read by its types and by its data alone."""

import numpy as np
import pytest
from arm64_machine import M, build
from btf_file import BtfFile
from linear_memory import VA, Linear
from linux_memory import btf, offsets, small_linux

from ttbr.kernel.btf import Btf
from ttbr.kernel.release import Release
from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.identify import with_registers
from ttbr.recover.layouts import Layouts
from ttbr.recover.linux import Linux
from ttbr.recover.task_state import state_letters
from ttbr.recover.tasks import read_tasks
from ttbr.recover.vmalloc import find_vmalloc
from ttbr.recover.vmas import read_vmas
from ttbr.recover.vmcoreinfo import VmcoreInfo

OLD = Release.parse("5.15.100")


def kernel_of(word, tree=False):
    small = small_linux(word, VA[word], (VA[word], VA[word]), tree)
    layouts = Layouts(Btf(btf(word, tree), word), VmcoreInfo(), lambda struct: {})
    return small, layouts


def listed(vmas, mm):
    rows = zip(vmas.start.tolist(), vmas.end.tolist(), vmas.permissions(), vmas.name, strict=True)
    return [row for row, owner in zip(rows, vmas.mm.tolist(), strict=True) if owner == mm]


@pytest.mark.parametrize("word", [4, 8])
def test_types_are_where_the_writer_has_them(word):
    types = Btf(btf(word), word)
    for (struct, member), (at, size) in offsets(word).items():
        if member:
            found = types.member(struct, member)
            assert found is not None and (found.offset, found.size) == (at, size), member


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("word", [4, 8])
def test_areas_in_a_list_or_a_tree(word, tree):
    small, layouts = kernel_of(word, tree)
    kernel = Linear(word, small.memory.data)
    mms = np.array(sorted(small.mms.values()), np.uint64)
    vmas = read_vmas(kernel, layouts, mms, 4096, OLD)
    assert vmas.unknown == ()
    for name, mm in small.mms.items():
        assert listed(vmas, mm) == small.areas[name]
    files = {name: (d, i) for name, d, i in zip(vmas.name, vmas.device, vmas.inode, strict=True)}
    assert files["/bin/init"] == (8 << 20 | 1, 101)
    assert files["[heap]"] == (0, 0)


@pytest.mark.parametrize("word", [4, 8])
def test_a_list_that_comes_back_ends(word):
    small, layouts = kernel_of(word)
    first = small.memory.member(small.mms["init"], "mm_struct", "mmap") - small.memory.start
    start = int.from_bytes(small.memory.data[first : first + word], "little")
    small.memory.set(start, "vm_area_struct", vm_next=start)
    kernel = Linear(word, small.memory.data)
    vmas = read_vmas(kernel, layouts, np.array([small.mms["init"]], np.uint64), 4096, OLD)
    assert listed(vmas, small.mms["init"]) == small.areas["init"][:1]


@pytest.mark.parametrize("word", [4, 8])
def test_tasks_and_threads(word):
    small, layouts = kernel_of(word)
    tasks = read_tasks(Linear(word, small.memory.data), layouts, small.init_task, 0xFFFF)
    assert tasks.comm == ("init", "kthreadd", "shell", "worker")
    assert tasks.pid.tolist() == [1, 2, 3, 4]
    assert tasks.tgid.tolist() == [1, 2, 3, 3]
    assert tasks.parent.tolist() == [0, 0, 1, 1]
    assert tasks.asid.tolist() == [7, -1, 8, 8]
    assert tasks.uid.tolist() == [0, 0, 1000, 1000]
    assert tasks.state == ("S", "S", "S", "S")
    assert tasks.unknown == ()


def test_in_an_image_of_a_whole_machine():
    machine = build(0x1000, 48, 48)
    at = machine.ram.banks[0].base + 16 * M
    virtual = at - (machine.ram.banks[0].base & -(1 << 30)) + machine.layout.linear_start
    root = machine.processes[0] + virtual - at
    small = small_linux(8, virtual, (root, root))
    machine.ram.write(at, bytes(small.memory.data))
    text = machine.layout.kimage_vaddr
    facts = ImageFacts(symbols={"_text": text, "init_task": small.init_task}, release="5.15.100")
    image = with_registers(Image(machine.ram, {}, facts))[0]
    linux = Linux(image, given_types=Btf(btf(8), 8))
    assert linux.tasks.comm == ("init", "kthreadd", "shell", "worker")
    assert linux.tasks.pgd.tolist() == [machine.processes[0], 0, *machine.processes * 2]
    assert listed(linux.vmas, small.mms["shell"]) == small.areas["shell"]


@pytest.mark.parametrize("word", [4, 8])
def test_lists_that_lead_to_the_first_addresses_end(word):
    """What a damaged pointer names would begin before address 0."""
    small, layouts = kernel_of(word)
    small.memory.set(small.tasks["kthreadd"], "task_struct", tasks=(4, 4))
    small.memory.set(small.tasks["worker"], "task_struct", thread_node=(4, 4))
    head = small.memory.put((16).to_bytes(word, "little"))
    kernel = Linear(word, small.memory.data)
    tasks = read_tasks(kernel, layouts, small.init_task, 0xFFFF)
    assert tasks.comm == ("init", "kthreadd")
    assert find_vmalloc(kernel, layouts, head, None, word, 4096) is None


@pytest.mark.parametrize("at", [200, 1 << 20])
def test_a_member_far_behind_in_types_of_an_image(at):
    """A vm_struct as long as no kernel has it: it is read, or what it says is not used."""
    small, _ = kernel_of(8)
    vm = small.memory.put(bytes(512))
    area = small.memory.put(bytes(64))
    start = VA[8] + 0x100000
    for place, value in ((vm + 8, start), (area, start), (area + 40, 16), (area + 56, vm)):
        raw = value.to_bytes(8, "little")
        small.memory.data[place - VA[8] : place - VA[8] + 8] = raw
    head = small.memory.put((area + 40).to_bytes(8, "little"))
    file = BtfFile()
    file.struct("vm_struct", at + 4, [("nr_pages", file.integer("int", 4), 8 * at)])
    layouts = Layouts(Btf(file.bytes(), 8), VmcoreInfo(), lambda struct: {})
    found = find_vmalloc(Linear(8, small.memory.data), layouts, head, None, 8, 4096)
    assert (found is None) == (at > 256)


def test_letters_of_states():
    """fs/proc/array.c: task_state_array; a task that idles, one that is frozen, one that ended."""
    state = np.array([0, 1, 2, 0x402, 4, 8, 0, 0, 0x40, 0x8001, 1], np.uint64)
    ended = np.array([0, 0, 0, 0, 0, 0, 0x10, 0x20, 0, 0, 0], np.uint64)
    known = np.arange(len(state)) < len(state) - 1
    assert "".join(state_letters(state, ended, known)) == "RSDITtXZPD?"
