"""`audit` over real kernels: what is true of them is listed in docs/audit.md and nothing else is
found; and each rule fires when real descriptors are changed.

A row of the table that is out of date fails; TTBR_WRITE_DOCS=1 writes it anew (with one worker:
-n0).
"""

import os
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from patched import Patched

from conftest import CHECKOUT
from ttbr.arch.format import Kind
from ttbr.findings import AUDIT, Audited, audit
from ttbr.format import size as shown_size
from ttbr.mmu.image import Image
from ttbr.recover.kernel_memory import KernelMemory
from ttbr.recover.linux import Linux

PAGE = CHECKOUT / "docs" / "audit.md"
MARK = "<!-- end of the recordings -->"


@pytest.fixture
def clean(machine, linux):
    return Audited(machine.image, linux)


def row(case, findings):
    cells = []
    for finding in findings:
        mapped = finding.found.mapped
        total = shown_size(sum(one.last - one.va + 1 for one in mapped))
        where = "kernel" if mapped[0].owner == "kernel" else "processes"
        cells.append(f"`{finding.code}` ({where}, {len(mapped)} ranges, {total})")
    return f"| {case} | {'; '.join(cells) or 'nothing'} |"


def test_what_is_found_is_documented(machine, clean, say):
    findings = audit(clean)
    wanted = row(machine.case, findings)
    text = PAGE.read_text()
    lines = text.splitlines()
    mine = [number for number, line in enumerate(lines) if line.startswith(f"| {machine.case} |")]
    if os.environ.get("TTBR_WRITE_DOCS"):
        if mine:
            lines[mine[0]] = wanted
        else:
            lines.insert(lines.index(MARK), wanted)
        PAGE.write_text("\n".join(lines) + "\n")
    else:
        assert mine and lines[mine[0]] == wanted, "TTBR_WRITE_DOCS=1 writes the row anew"
    reasons = text[text.index("### Why they are true") : text.index("## Findings")]
    for finding in findings:
        assert f"`{finding.code}`" in reasons
    say(f"{machine.case}: audit of {len(clean.spaces)} roots, findings {len(findings)}, documented")


def test_what_is_found_is_true(machine, clean):
    """Each finding on a clean recording, held against what the kernel itself says."""
    areas = machine.text("vmallocinfo.txt")
    devices = {int(at, 16) for at in re.findall(r"phys=0x([0-9a-f]+) ioremap", areas)}
    page = clean.linux.page_size
    known = set()
    for finding in audit(clean):
        for one in finding.found.mapped:
            inside = clean.image.memory.contains(np.array([one.pa], np.uint64))[0]
            linear = (one.va - one.pa) % (1 << 64) == clean.linear_distance
            match finding.code:
                case "conflicting-memory-types" if one.owner != "kernel":
                    # One process of the recording maps a page of a device by /dev/mem
                    assert not inside and one.pa in devices
                    assert (one.last - one.va + 1, one.attributes.el0_read) == (page, True)
                case "conflicting-memory-types" if not inside:
                    assert one.pa in devices
                case "conflicting-memory-types":
                    assert "dma-coherent" in areas
                    assert linear or one.attributes.inner == "NC"
                case "device-executable" | "device-mapped-normal":
                    # On-chip RAM of an i.MX, for code that runs while DRAM sleeps
                    assert machine.case == "arm32-imx6ul"
                    assert one.pa in devices and one.attributes.inner == "NC"
                case "code-writable-alias":
                    assert linear or one.pa in devices
                    assert clean.image.arch == "arm"
                case "user-pxn-missing":
                    assert "0xc09" in machine.text("cpuinfo.txt")  # Cortex-A9
                case "kuser-helpers":
                    assert "CONFIG_KUSER_HELPERS=y" in machine.text("config")
                case _:
                    raise AssertionError(finding.code)
            known.add(finding.code)
    assert known


class Change:
    """Descriptors of a recording, changed by their fields."""

    def __init__(self, clean, image, root):
        self.clean, self.image, self.root = clean, image, root
        self.changes: dict[int, bytes] = {}

    def steps(self, va, user):
        name = f"user:{self.root:#x}" if user else "kernel"
        space = self.image.address_space(name)
        return space.regime.format, space.translate(va).steps

    def put(self, fmt, step, word):
        self.changes[step.address] = word.to_bytes(fmt.entry_size, "little")

    def leaf(self, va, user=False, **fields):
        """The leaf of an address with fields changed; False if it has no such field."""
        fmt, steps = self.steps(va, user)
        step = steps[-1]
        layout = fmt.layout(step.descriptor, step.level)
        if not set(fields) <= set(layout.by_name):
            return False
        self.put(fmt, step, layout.encode(fields, step.descriptor))
        return True

    def at(self, va, pa, user=False, **fields):
        """The leaf leads to another frame."""
        fmt, steps = self.steps(va, user)
        step = steps[-1]
        layout = fmt.layout(step.descriptor, step.level)
        word = step.descriptor & ~layout.address_mask | layout.place(pa)
        self.put(fmt, step, layout.encode(fields, word))
        return True

    def executable(self, va, user, level):
        """What keeps ``level`` from executing it taken away, in the leaf and the tables."""
        fmt, steps = self.steps(va, user)
        names = {1: ("PXN", "PXNTable"), 0: ("UXN", "UXNTable")}[level]
        for step in steps:
            layout = fmt.layout(step.descriptor, step.level)
            gone = {n: 0 for n in (*names, "XN", "XNTable") if n in layout.by_name}
            self.put(fmt, step, layout.encode(gone, step.descriptor))
        return True

    def writable(self, va, writable, user=False):
        fmt, steps = self.steps(va, user)
        step = steps[-1]
        layout = fmt.layout(step.descriptor, step.level)
        if "AP2" in layout.by_name:
            word = layout.encode({"AP2": int(not writable)}, step.descriptor)
        else:
            before = layout.by_name["AP"].extract(step.descriptor)
            fields = {"AP": before & 1 | (0 if writable else 2)}
            fields |= {"DBM": 0} if "DBM" in layout.by_name and not writable else {}
            word = layout.encode(fields, step.descriptor)
        self.put(fmt, step, word)
        return True

    def typed(self, va, wanted):
        """Another memory type: the first index that stands for it."""
        fmt, steps = self.steps(va, False)
        step = steps[-1]
        regime = self.clean.image.kernel_regime
        layout = fmt.layout(step.descriptor, step.level)
        for index in range(8):
            fields = (
                {"AttrIndx": index}
                if "AttrIndx" in layout.by_name
                else {
                    "TEX": layout.by_name["TEX"].extract(step.descriptor) & 6 | index >> 2,
                    "C": index >> 1 & 1,
                    "B": index & 1,
                }
            )
            word = layout.encode(fields, step.descriptor)
            bits = int(fmt.attribute_bits(np.array([word], np.uint64), step.level)[0])
            said = regime.attributes(bits, step.level, step.limits)
            if said.memory.startswith(wanted[0]) and said.inner.startswith(wanted[1]):
                self.put(fmt, step, word)
                return True
        return False


class Places:
    """Pages of a recording whose descriptors are changed."""

    def __init__(self, clean):
        kernel, users = clean.kernel, clean.users
        space = np.unique(users.space)[0]
        users = users.chosen(users.space == space)
        self.root = clean.spaces[int(space)].space.root
        last = users.level == users.level.max()
        ram = clean.image.memory.contains
        self.user = int(users.va[last & ram(users.pa) & users.says(lambda a: a.el0_write)][0])
        self.user_code = int(users.va[last & users.says(lambda a: a.el0_execute)][0])
        image = clean.image_leaves
        code = image.chosen(image.says(lambda a: a.el1_execute))
        self.text, self.text_pa = int(code.va[0]), int(code.pa[0])
        kept = clean.image_frames.without(clean.read_only_image)
        self.data_pa = int(kept.first[0]) if len(kept) else None
        page = kernel.level == kernel.level.max()
        away = kernel.va - kernel.pa != np.uint64(clean.linear_distance)
        own = kernel.chosen(page & away & kernel.says(lambda a: a.el1_write))
        own = own.between(clean.kernel_image.inverted())
        inside = ram(own.pa) & own.says(lambda a: (a.memory[:6], a.inner[:2]) == ("Normal", "WB"))
        self.area = int(own.va[inside][0])
        linear = kernel.chosen(~away & kernel.says(lambda a: a.el1_write))
        linear = linear.between(clean.kernel_image.inverted())
        largest = int(np.argmax(linear.bytes))
        self.linear_pa = int(linear.pa[largest]) + (int(linear.bytes[largest]) >> 1 & -(1 << 16))
        outside = ~ram(own.pa) & own.says(lambda a: a.memory.startswith("Device"))
        self.device = int(own.va[outside][0])


def changes(m, p):
    """By code: whether the change can be made on this machine, after making it in ``m``."""
    yield "user-writable-executable", lambda: m.executable(p.user, True, 0)
    yield "kernel-executes-user-writable", lambda: m.at(p.user, p.text_pa, True)
    yield "read-only-image-writable-alias", lambda: m.at(p.user, p.text_pa, True)
    yield "kernel-reachable-from-el0", lambda: reachable(m, p)
    yield "tables-user-writable", lambda: m.at(p.user, root_end(m, p), True)
    yield "user-pxn-missing", lambda: has_pxn(m) and m.executable(p.user_code, True, 1)
    yield "kernel-image-writable-executable", lambda: m.writable(p.text, True)
    yield "module-writable-executable", lambda: m.executable(p.area, False, 1)
    yield "code-writable-alias", lambda: read_only_code(m, p)
    yield "conflicting-memory-types", lambda: m.typed(p.area, ("Normal", "NC"))
    yield "ram-mapped-device", lambda: m.typed(p.area, ("Device", "-"))
    yield "device-mapped-normal", lambda: m.typed(p.device, ("Normal", ""))
    yield "device-executable", lambda: m.executable(p.device, False, 1)
    yield "contiguous-disagree", lambda: m.leaf(p.area, contiguous=1) or large(m, p.area)
    yield "reserved-descriptor", lambda: reserved(m, p)
    yield "reserved-attributes", lambda: m.leaf(p.area, SH=1) or m.leaf(p.area, AP=0, AP2=1)
    yield "block-being-changed", lambda: block(m)
    yield "kpti-absent", lambda: global_linear(m)


def root_end(m, p):
    """The last page of the process's root, which has four with short descriptors."""
    return p.root + m.image.user_regime.root_size - 1 & -m.clean.linux.page_size


def reachable(m, p):
    """A process gets a page of the kernel's data; or the kernel's own table lets EL0 in."""
    if p.data_pa is None:  # where the image ends is not known
        return m.leaf(p.area, AP=3)
    return m.at(p.user, p.data_pa, True)


def has_pxn(m):
    """A CPU without PXN has the finding already."""
    return m.image.user_regime.controls.pxn


def read_only_code(m, p):
    m.executable(p.area, False, 1)
    fmt, steps = m.steps(p.area, False)
    step = steps[-1]
    word = int.from_bytes(m.changes[step.address], "little")
    layout = fmt.layout(word, step.level)
    fields = {"AP2": 1} if "AP2" in layout.by_name else {"AP": 2, "DBM": 0}
    fields = {name: value for name, value in fields.items() if name in layout.by_name}
    m.put(fmt, step, layout.encode(fields, word))
    return True


def large(m, va):
    """A small page becomes one entry of a large one, alone."""
    fmt, steps = m.steps(va, False)
    m.put(fmt, steps[-1], steps[-1].descriptor & ~3 & ~0xFFFF | 1)
    return True


def reserved(m, p):
    """A type that the level does not have, if the format has such."""
    fmt, steps = m.steps(p.area, False)
    step = steps[-1]
    for kind in range(4):
        word = step.descriptor & ~3 | kind
        if fmt.kinds(np.array([word], np.uint64), step.level)[0] == Kind.RESERVED:
            m.put(fmt, step, word)
            return True
    return False


def block(m):
    rows = m.clean.kernel
    blocks = rows.chosen(rows.which(lambda one: one.field("nT") is not None))
    return bool(len(blocks)) and m.leaf(int(blocks.va[0]), nT=1)


def global_linear(m):
    """KASLR without E0PD: an entry of the linear map becomes global."""
    rows = m.clean.kernel
    linear = rows.va - rows.pa == np.uint64(m.clean.linear_distance)
    own = rows.chosen(linear & rows.says(lambda a: a.non_global))
    features = m.clean.image.named_registers.get("ID_AA64MMFR2_EL1", 0)
    if m.clean.linux.vmcoreinfo.entries.get("KERNELOFFSET", "0") == "0" or features >> 60:
        return False
    return bool(len(own)) and m.leaf(int(own.va[0]), nG=0)


def total(findings):
    return Counter(
        {
            code: sum(f.found.numbers.get("descriptors", 0) for f in findings if f.code == code)
            for code in {f.code for f in findings}
        }
    )


def test_rules_fire_on_changed_descriptors(machine, linux, clean, say):
    places = Places(clean)
    roots = ("kernel", f"user:{places.root:#x}")
    # The page of an area lies in memory that the linear map has, as it might without HIGHMEM.
    m = Change(clean, machine.image, places.root)
    m.at(places.area, places.linear_pa)
    base = m.changes
    m.image = replace(machine.image, memory=Patched(machine.image.memory, base))
    before = total(audit(Audited(m.image, linux, roots)))
    fired, not_here = [], []
    for code, make in changes(m, places):
        m.changes = {}
        if not make():
            not_here.append(code)
            continue
        memory = Patched(machine.image.memory, {**base, **m.changes})
        subject = Audited(replace(machine.image, memory=memory), linux, roots)
        after = total(audit(subject))
        assert after[code] > before[code], code
        fired.append(code)
    say(
        f"{machine.case}: rules of audit on changed descriptors, fired {len(fired)} of {len(fired)}"
        + (f"; cannot be made here: {', '.join(not_here)}" if not_here else "")
    )
    assert len(fired) >= 14
    assert set(not_here) <= {"reserved-descriptor", "reserved-attributes", *SPECIAL}


def test_a_process_with_kernel_entries_of_its_own(machine, linux, clean):
    """On ARM each process has a copy of the kernel's entries: one is changed, of one process."""
    if machine.image.kernel_regime.format.name != "short":
        return
    places = Places(clean)
    m = Change(clean, machine.image, places.root)
    va = places.linear_pa + clean.linear_distance & 0xFFFF_FFFF
    m.leaf(va, True, AP=3, XN=0, PXN=0)
    image = replace(machine.image, memory=Patched(machine.image.memory, m.changes))
    findings = audit(Audited(image, linux, ("kernel", f"user:{places.root:#x}")))
    reached = [f for f in findings if f.code == "kernel-reachable-from-el0"]
    (one,) = [one for finding in reached for one in finding.found.mapped]
    assert one.owner != "kernel"
    assert one.va <= va <= one.last


SPECIAL = {"user-pxn-missing", "block-being-changed", "kpti-absent"}


def test_no_map_memory_in_the_linear_map(machine, linux):
    """A region of memblock.memory gets the flag: the linear map has it nevertheless."""
    found = KernelMemory(linux).memblock
    kernel, word = linux.memory, linux.word
    for wide in (8, 4):
        table = kernel.number(found.address + 2 * wide + 2 * word + wide)
        if table and kernel.number(table, wide) == int(found.base[0]):
            break
    else:
        raise AssertionError("the regions of memblock are not where they were")
    place = kernel.pa(table + 2 * wide)
    flags = int(found.flags[0]) | 4
    memory = Patched(machine.image.memory, {place: flags.to_bytes(4, "little")})
    image = replace(machine.image, memory=memory)
    given = Linux(Image(memory, machine.image.registers))
    codes = {finding.code for finding in audit(Audited(image, given, ("kernel",)))}
    hidden = found.flags[0] & np.uint64(4)
    assert ("no-map-in-linear-map" in codes) == (not hidden)
    assert "no-map-in-linear-map" not in {f.code for f in audit(Audited(machine.image, linux))}


def test_every_rule_has_a_change():
    made = {code for code, _ in changes(None, None)}
    assert {rule.code for rule in AUDIT} == made | {"no-map-in-linear-map", "kuser-helpers"}
