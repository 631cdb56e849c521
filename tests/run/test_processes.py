"""Processes: what a program sees, what its tables hold, and that all memory comes back."""

import pytest
from machines_up import BOARDS, booted

from ttbr.errors import InputError, TtbrError
from ttbr.kernel.vm_flags import Madvise, Map, Prot, Vm
from ttbr.run import run
from ttbr.run.mm.errors import SyscallError
from ttbr.run.mm.exec import Program, Segment
from ttbr.run.mm.process import Killed

READ, WRITE, EXEC = Prot.READ, Prot.WRITE, Prot.EXEC
M = 1 << 20


@pytest.fixture(params=[name for name in BOARDS if "smp" not in name])
def kernel(request):
    return run(booted(request.param))


@pytest.fixture
def process(kernel):
    return kernel.spawn()


def functions(kernel, since):
    return [event.function for event in kernel.log.since(since) if event.kind == "fault"]


def no_huge_pages(process, va, size):
    if process.mm.user.thp.pmd_order:
        process.madvise(va, size, Madvise.NOHUGEPAGE)


def entry(process, va):
    table = process.mm.tables.pte_table(va)
    return 0 if table is None else process.mm.tables.get_pte(table, va)


def test_memory_that_is_written_is_there_to_read(process):
    va = process.mmap(4 * M)
    process.store(va + 4000, b"over the edge of a page, where nothing was")
    assert process.load(va + 4000, 42) == b"over the edge of a page, where nothing was"
    assert process.load(va + 3 * M, 8) == bytes(8)
    assert not process.mm.user.kernel.cpus.violations


def test_the_page_of_zeros_until_it_is_written(kernel, process):
    page = kernel.page_size
    va = process.mmap(4 * page)
    before = process.mm.rss["anon"]
    process.load(va)
    zero = process.mm.user.zero_pfn * page
    assert process.mm.user.entries.address(entry(process, va)) == zero
    assert process.mm.rss["anon"] == before
    process.store(va, b"!")
    assert process.last_fault.function == "wp_page_copy"
    assert process.mm.user.entries.address(entry(process, va)) != zero
    assert process.mm.rss["anon"] == before + 1


def test_copy_on_write_and_the_last_owner(kernel, process):
    va = process.mmap(2 * kernel.page_size)
    process.store(va, b"parent")
    child = process.fork()
    pa = process.mm.user.entries.address(entry(process, va))
    assert process.mm.user.entries.address(entry(child, va)) == pa
    assert not process.mm.user.entries.write(entry(process, va))
    assert not process.mm.user.entries.young(entry(child, va))
    child.store(va, b"child!")
    assert child.last_fault.function == "wp_page_copy"
    assert process.load(va, 6) == b"parent"
    assert child.load(va, 6) == b"child!"
    process.store(va, b"PARENT")
    assert process.last_fault.function == "wp_page_reuse"
    assert process.mm.user.entries.address(entry(process, va)) == pa
    assert not kernel.cpus.violations


def test_all_memory_comes_back(kernel):
    kernel.spawn().exit()  # what stays for good is there now: the program, the signal page
    free = kernel.pages.free
    process = kernel.spawn()
    va = process.mmap(3 * M)
    process.touch(va, 3 * M)
    shared = process.mmap(M, READ | WRITE, Map.SHARED)
    process.store(shared, b"x")
    process.sbrk(M)
    process.touch(process.mm.start_brk, M)
    no_huge_pages(process, va, M)
    child = process.fork()
    child.touch(va, 2 * M)
    grandchild = child.fork()
    for each in (process, grandchild, child):
        each.exit()
    assert kernel.pages.free == free
    assert not kernel.processes
    assert not kernel.user.user.address_spaces
    with pytest.raises(TtbrError, match="has exited"):
        child.load(va)


def test_tables_go_with_the_last_area_that_needs_them(kernel, process):
    span = process.mm.user.pmd_size
    process.fetch(process.mm.user.layout.program)  # tables above are shared with the program
    counts = dict(process.mm.tables.counts)
    low = process.mmap(span, hint=8 * span, flags=Map.PRIVATE | Map.FIXED)
    high = process.mmap(span, hint=9 * span, flags=Map.PRIVATE | Map.FIXED)
    no_huge_pages(process, low, 2 * span)
    process.store(low, b"a")
    process.store(high, b"b")
    assert process.mm.tables.counts["pte"] == counts["pte"] + 2
    process.madvise(low, 2 * span, Madvise.DONTNEED)
    assert process.mm.tables.counts["pte"] == counts["pte"] + 2
    process.munmap(low, span)
    assert process.mm.tables.counts["pte"] == counts["pte"] + 1
    process.munmap(high, span)
    assert process.mm.tables.counts == counts


@pytest.mark.parametrize(
    ("access", "prot", "code"),
    [
        ("load", Prot.NONE, "SEGV_ACCERR"),
        ("store", READ, "SEGV_ACCERR"),
        ("fetch", READ | WRITE, "SEGV_ACCERR"),
    ],
)
def test_what_the_area_does_not_allow_kills(process, access, prot, code):
    va = process.mmap(M)
    process.store(va, b"x")
    process.mprotect(va, M, prot)
    with pytest.raises(Killed, match=code) as error:
        getattr(process, access)(va, *([b"y"] if access == "store" else []))
    assert error.value.report.function == "do_page_fault"
    assert not process.alive


@pytest.mark.parametrize("va", [0, 0x1000_0000])
def test_nothing_mapped(process, va):
    with pytest.raises(Killed, match="SEGV_MAPERR") as error:
        process.load(va)
    report = error.value.report
    assert report.handler in ("do_translation_fault", "do_page_fault")
    assert va in (report.registers.get("DFAR"), report.registers.get("FAR_EL1"))


def test_mprotect_and_back(kernel, process):
    page = kernel.page_size
    va = process.mmap(4 * page)
    process.store(va, b"kept")
    process.mprotect(va, page, READ)
    areas = [(area.start, area.end, area.flags & Vm.WRITE) for area in process.mm.vmas]
    assert (va, va + page, 0) in areas
    assert process.load(va, 4) == b"kept"
    process.mprotect(va, page, READ | WRITE)
    process.store(va, b"new!")
    assert process.mm.vmas.at(va).end >= va + 4 * page
    process.mprotect(va, 4 * page, Prot.NONE)
    assert not entry(process, va + page)
    assert process.mm.user.entries.present(entry(process, va))
    process.mprotect(va, 4 * page, READ)
    assert process.load(va, 4) == b"new!"
    assert not kernel.cpus.violations


def test_the_stack_grows_to_its_limit(kernel, process):
    stack = next(area for area in process.mm.vmas if area.growsdown)
    start, end = stack.start, stack.end
    process.store(start - 64, b"pushed")
    assert stack.start == start - kernel.page_size
    assert process.load(start - 64, 6) == b"pushed"
    lowest = end - 8 * M
    process.store(lowest, b"last")
    assert stack.start == lowest
    with pytest.raises(Killed, match="SEGV_MAPERR"):
        process.store(lowest - 1, b"!")


def test_the_stack_keeps_its_distance(kernel, process):
    stack = next(area for area in process.mm.vmas if area.growsdown)
    guard = process.mm.user.layout.guard
    near = stack.start - guard - 2 * kernel.page_size
    process.mmap(kernel.page_size, hint=near, flags=Map.PRIVATE | Map.FIXED)
    process.store(stack.start - 1, b"!")
    with pytest.raises(Killed, match="SEGV_MAPERR"):
        process.store(near + 2 * kernel.page_size - 1, b"!")


def test_heap(kernel, process):
    assert process.brk(process.mm.start_brk + 5000) == process.mm.start_brk + 5000
    process.store(process.mm.start_brk + 4999, b"h")
    old = process.sbrk(M)
    assert process.mm.vmas.at(old + M - 1) is process.mm.vmas.at(process.mm.start_brk)
    assert process.brk(process.mm.start_brk) == process.mm.start_brk
    with pytest.raises(Killed):
        process.load(old)


def test_shared_memory_is_shared(process):
    va = process.mmap(M, READ | WRITE, Map.SHARED)
    process.store(va, b"before")
    child = process.fork()
    assert entry(child, va) == 0, "a fault brings it back, so fork does not copy it"
    child.store(va, b"after!")
    assert process.load(va, 6) == b"after!"


def test_a_private_file_is_copied_when_written(kernel, process):
    page = kernel.page_size
    file = kernel.user.file("/tmp/f")
    file.write(0, b"in the file" + bytes(3 * page))
    private = process.mmap(4 * page, READ | WRITE, file=file)
    shared = process.mmap(4 * page, READ | WRITE, Map.SHARED, file=file)
    assert process.load(private, 11) == b"in the file"
    process.store(private, b"mine")
    assert process.load(shared, 11) == b"in the file"
    process.store(shared, b"ours")
    assert process.load(private, 4) == b"mine"
    with pytest.raises(Killed, match=r"SIGBUS \(BUS_ADRERR\)"):
        process.load(process.mmap(8 * page, READ, file=file) + 7 * page)


def test_faults_around_a_page_of_a_file(kernel, process):
    page = kernel.page_size
    file = kernel.user.file("/tmp/f", 64 * page)
    for index in (*range(20), 40):
        file.page(index)
    base = process.mm.mmap_base - 4 * process.mm.user.pmd_size
    va = process.mmap(64 * page, READ, Map.SHARED | Map.FIXED, file=file, hint=base)
    process.load(va + 5 * page)
    around = process.mm.user.fault_around
    mapped = [number for number in range(64) if entry(process, va + number * page)]
    assert mapped == list(range(around))
    process.load(va + 18 * page)
    mapped = [number for number in range(64) if entry(process, va + number * page)]
    assert mapped == list(range(20))
    process.load(va + 45 * page)
    assert entry(process, va + 40 * page)
    assert entry(process, va + 45 * page)


def test_a_tracked_file_is_told_of_the_first_write(kernel, process):
    file = kernel.user.file("/disk", 4 * kernel.page_size, tracks_dirty=True)
    va = process.mmap(kernel.page_size, READ | WRITE, Map.SHARED, file=file)
    process.load(va)
    assert not process.mm.user.entries.write(entry(process, va))
    process.store(va, b"x")
    assert process.last_fault.function == "wp_page_shared"
    assert process.mm.user.entries.write(entry(process, va))


def test_devices(kernel, process):
    pa = kernel.ram.banks[0].base - M
    va = process.mmap_device(pa, kernel.page_size)
    process.mm.user.entries.address(entry(process, va))
    assert process.mm.user.entries.address(entry(process, va)) == pa
    found = kernel.image().address_space(f"user:{process.mm.pgd:#x}").translate(va)
    assert found.pa == pa
    assert "evice" in found.attributes.memory or "trongly" in found.attributes.memory
    with pytest.raises(SyscallError, match="EPERM"):
        process.mmap_device(kernel.ram.banks[0].base, kernel.page_size)


def test_vdso_and_its_data(kernel, process):
    for area in [area for area in process.mm.vmas if area.special is not None]:
        process.load(area.start)
        assert entry(process, area.start)


@pytest.mark.parametrize(
    ("call", "errno"),
    [
        (lambda p: p.mmap(0), "EINVAL"),
        (lambda p: p.mmap(1 << 60), "ENOMEM"),
        (lambda p: p.mmap(M, flags=Map.SHARED | Map.PRIVATE), "EINVAL"),
        (lambda p: p.mmap(M, flags=Map.PRIVATE | Map.FIXED, hint=0x1234_5678), "EINVAL"),
        (lambda p: p.mmap(M, flags=Map.PRIVATE | Map.FIXED), "EPERM"),
        (lambda p: p.munmap(0x123, 1), "EINVAL"),
        (lambda p: p.mprotect(0x7000_0000, M, READ), "ENOMEM"),
        (lambda p: p.madvise(0x7000_0000, M, Madvise.DONTNEED), "ENOMEM"),
        (lambda p: p.sbrk(1 << 60), "ENOMEM"),
        (lambda p: p.touch(0x7000_0000, M), "EFAULT"),
    ],
)
def test_calls_that_are_refused(kernel, process, call, errno):
    free, areas = kernel.pages.free, len(process.mm.vmas)
    with pytest.raises(SyscallError, match=errno):
        call(process)
    assert (kernel.pages.free, len(process.mm.vmas)) == (free, areas)


def test_a_number_is_one_process(kernel, process):
    with pytest.raises(InputError, match="there is a process 1 already"):
        kernel.spawn(pid=1)
    assert kernel.spawn().pid == 2


def test_exec_leaves_nothing_of_the_old_space(kernel, process):
    va = process.mmap(M)
    process.store(va, b"old")
    free = kernel.pages.free
    process.exec(kernel.user.program("/init"))
    with pytest.raises(Killed, match="SEGV_MAPERR"):
        process.load(va)
    assert kernel.pages.free >= free


def test_the_image_says_the_same(kernel, process):
    """What AddressSpace.translate finds in a saved image is what the process sees."""
    va = process.mmap(M)
    process.store(va + 8, b"here")
    image = kernel.image()
    space = image.address_space(f"user:{process.mm.pgd:#x}")
    assert image.memory.read(space.translate(va + 8).pa, 4) == b"here"
    assert image.facts.stage == "running"


def test_a_seed_moves_things_and_says_so_again(kernel):
    one, other = kernel.spawn(seed=1), kernel.spawn(seed=2)
    again = kernel.spawn(seed=1)
    places = [[area.start for area in each.mm.vmas] for each in (one, other, again)]
    assert places[0] == places[2] != places[1]


def test_what_fork_leaves_out(kernel, process):
    va = process.mmap(4 * M)
    process.store(va, b"mine")
    process.store(va + M, b"mine")
    process.madvise(va, M, Madvise.DONTFORK)
    process.madvise(va + M, M, Madvise.WIPEONFORK)
    device = process.mmap_device(kernel.ram.banks[0].base - M, kernel.page_size)
    child = process.fork()
    assert child.load(va + M, 4) == bytes(4)
    assert entry(child, device) == process.mm.user.entries.mkold(
        process.mm.user.entries.mkclean(entry(process, device))
    )
    with pytest.raises(Killed, match="SEGV_MAPERR"):
        child.load(va)
    process.madvise(va, M, Madvise.DOFORK)
    process.madvise(va + M, M, Madvise.KEEPONFORK)
    assert process.fork().load(va + M, 4) == b"mine"
    with pytest.raises(SyscallError, match="EINVAL"):
        process.madvise(device, kernel.page_size, Madvise.DOFORK)
    with pytest.raises(SyscallError, match="EINVAL"):
        process.madvise(device, kernel.page_size, Madvise.DONTNEED)


def test_a_place_that_is_taken(kernel, process):
    page = kernel.page_size
    va = process.mmap(4 * page)
    assert process.mmap(page, hint=va) != va, "a hint is no order"
    with pytest.raises(SyscallError, match="EEXIST"):
        process.mmap(page, hint=va, flags=Map.PRIVATE | Map.FIXED_NOREPLACE)
    assert process.mmap(page, hint=va + page, flags=Map.PRIVATE | Map.FIXED) == va + page
    free = va - 64 * M
    assert process.mmap(page, hint=free + 1) == free + page


def test_upwards_when_there_is_no_room_below(process):
    """With the place below mmap_base taken, what is above it is left."""
    layout, base = process.mm.user.layout, process.mm.mmap_base
    page, low = layout.page_size, max(layout.page_size, layout.min_addr)
    while (gap := process.mm.vmas.gap_below(page, low, base)) is not None:
        below = process.mm.vmas.before(gap)
        start = max(low, below.end if below is not None else 0)
        process.mmap(gap + page - start, Prot.NONE, Map.PRIVATE | Map.FIXED, hint=start)
    va = process.mmap(M)
    assert va >= base
    process.store(va, b"above")


def test_programs_of_other_shapes(kernel):
    page, user = kernel.page_size, kernel.user.user
    base = user.layout.program
    file = kernel.user.file("/bin/odd", 4 * page)
    file.write(0, b"\x11" * (4 * page))
    text = Segment(base, 0, page, page, READ | EXEC)
    data = Segment(base + 2 * page + 8, page + 8, 100, 3 * page, READ | WRITE)
    process = kernel.spawn(Program(file, (text, data)))
    assert process.fetch(base) == b"\x11" * 4
    assert process.load(base + 2 * page + 100, 16) == b"\x11" * 8 + bytes(8)
    process.store(base + 5 * page, b"bss")
    assert process.mm.start_brk == base + 6 * page
    crooked = Segment(base + 1, 0, page, page, READ)
    with pytest.raises(InputError, match="cannot be mapped"):
        kernel.spawn(Program(file, (crooked,)))


def test_what_is_before_a_hole_is_changed(kernel, process):
    page = kernel.page_size
    va = process.mmap(4 * page)
    for number in range(4):
        process.store(va + number * page, b"x")
    process.munmap(va + 2 * page, page)
    with pytest.raises(SyscallError, match="ENOMEM"):
        process.mprotect(va, 4 * page, READ)
    allowed = [process.mm.vmas.at(va + number * page).flags & Vm.WRITE for number in (0, 1, 3)]
    assert allowed == [0, 0, Vm.WRITE]
    with pytest.raises(SyscallError, match="ENOMEM"):
        process.madvise(va, 4 * page, Madvise.DONTNEED)
    assert process.load(va + 3 * page) == b"\0", "advice reaches what is behind"
    data = [area for area in process.mm.vmas if area.special and not area.flags & Vm.MAYWRITE]
    for area in data:
        with pytest.raises(SyscallError, match="EACCES"):
            process.mprotect(area.start, area.end - area.start, READ | WRITE)
