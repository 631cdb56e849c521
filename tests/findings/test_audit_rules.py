"""Each rule of `audit` fires on a change of one descriptor, and not without it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.recover.arm64_machine import IMAGE_SIZE, K, M, build

from ttbr.boot import Board, Kernel, boot, qemu
from ttbr.errors import InputError
from ttbr.findings import AUDIT, Audited, Finding, audit
from ttbr.findings.audited import Ram
from ttbr.findings.baseline import Baseline
from ttbr.kernel.arm64_prot import mair
from ttbr.memory.physical import Bank
from ttbr.memory.ram import Ram as Memory
from ttbr.memory.spans import Spans
from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.assumed_registers import arm64_registers
from ttbr.report.audit import audit_json, print_audit
from ttbr.report.ci import annotations, sarif

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PAGE = 4 * K
USER = 0x40_0000
AP_EL0, AP_READ_ONLY, SH, CONTIGUOUS, PXN, UXN = 1 << 6, 1 << 7, 3 << 8, 1 << 52, 1 << 53, 1 << 54
ATTR, NORMAL_NC, DEVICE = 7 << 2, 2 << 2, 4 << 2
ADDRESS = (1 << 48) - PAGE
PXN_TABLE = 1 << 59
HA, HD = 1 << 39, 1 << 40
NT, TYPE, BLOCK = 1 << 16, 3, 1


@dataclass
class Machine:
    """An arm64 machine with 4K pages that has nothing wrong, and where its descriptors are."""

    image: Image
    root: int
    process: int
    text: int
    text_pa: int
    free_pa: int
    linear: int
    device: int

    def place(self, va: int, root: str = "kernel", level: int = 3) -> int:
        """Where the descriptor of an address is."""
        steps = self.image.address_space(root).translate(va).steps
        (step,) = [step for step in steps if step.level == level]
        return step.address

    def word(self, place: int) -> int:
        return int.from_bytes(self.image.memory.read(place, 8), "little")

    def write(self, place: int, word: int) -> None:
        self.image.memory.write(place, word.to_bytes(8, "little"))

    def kernel(self, va: int) -> int:
        return self.place(va)

    def user(self, page: int = 0) -> int:
        return self.place(USER + page * PAGE, f"user:{self.process:#x}")

    @contextmanager
    def without_pxn(self, page: int, also: int = 0) -> Iterator[None]:
        """A page of the process without PXN in its descriptor and the tables above it."""
        root = f"user:{self.process:#x}"
        with ExitStack() as stack:
            for level in range(3):
                place = self.place(USER + page * PAGE, root, level)
                stack.enter_context(self.changed(place, PXN_TABLE))
            stack.enter_context(self.changed(self.user(page), PXN | also))
            yield

    @contextmanager
    def changed(self, place: int, clear: int = 0, put: int = 0) -> Iterator[None]:
        before = self.word(place)
        self.write(place, before & ~clear | put)
        try:
            yield
        finally:
            self.write(place, before)

    def audited(self, **facts: object) -> Audited:
        image = replace(self.image, facts=replace(self.image.facts, **facts))
        return Audited(image, roots=("kernel", f"user:{self.process:#x}"))

    def codes(self, **facts: object) -> set[str]:
        return {finding.code for finding in audit(self.audited(**facts))}


@pytest.fixture(scope="module")
def machine() -> Machine:
    made = build(0x1000, 48, 48)
    text = made.layout.kimage_vaddr
    symbols = {"_text": text, "_stext": text, "_end": text + IMAGE_SIZE}
    facts = ImageFacts(arch="arm64", symbols=symbols, source="a test")
    registers = arm64_registers(0x1000, 48, made.root)
    assert registers["MAIR_EL1"] == mair()
    base = made.ram.banks[0].base
    linear = made.layout.linear_start - made.memstart
    linear = (linear + (made.layout.page_offset - made.layout.linear_start)) % (1 << 64)
    found = Machine(
        *(Image(made.ram, registers, facts), made.root, made.processes[0], text, made.text_pa),
        *(base + 16 * M, 0, made.layout.fixaddr_top - PAGE),
    )
    (at,) = (
        int(va)
        for va in found.image.address_space("kernel").mappings().reverse(found.free_pa).tolist()
    )
    found.linear = at - found.free_pa
    # As mark_linear_text_alias_ro() leaves it
    for offset in range(0, IMAGE_SIZE, PAGE):
        if not found.image.address_space("kernel").translate(text + offset).attributes.el1_write:
            place = found.kernel(found.linear + found.text_pa + offset)
            found.write(place, found.word(place) | AP_READ_ONLY)
    return found


def test_nothing_is_wrong(machine: Machine) -> None:
    subject = machine.audited()
    assert audit(subject) == []
    assert len(subject.spaces) == 2
    assert subject.ram is not None and subject.ram.all.bytes == 32 * M


CODE_AT = 1 * M  # from _text
Change = Callable[[Machine], tuple[int, int, int]]
"""Where the descriptor is, which bits to clear and which to set."""
CHANGES: dict[str, Change] = {
    "kernel-image-writable-executable": lambda m: (m.kernel(m.text + CODE_AT), AP_READ_ONLY, 0),
    "module-writable-executable": lambda m: (
        *(m.kernel(m.device), ADDRESS | PXN | ATTR, m.free_pa),
    ),
    "user-writable-executable": lambda m: (m.user(), UXN, 0),
    "kernel-reachable-from-el0": lambda m: (m.kernel(m.linear + m.free_pa), 0, AP_EL0),
    "kernel-executes-user-writable": lambda m: (m.user(), ADDRESS, m.text_pa + CODE_AT),
    "read-only-image-writable-alias": lambda m: (
        *(m.kernel(m.linear + m.text_pa + CODE_AT), AP_READ_ONLY, 0),
    ),
    "code-writable-alias": lambda m: (m.kernel(m.device), ADDRESS | PXN | ATTR, code_page(m)),
    "tables-user-writable": lambda m: (m.user(), ADDRESS, m.process),
    "conflicting-memory-types": lambda m: (
        *(m.kernel(m.linear + (m.word(m.user()) & ADDRESS)), ATTR, NORMAL_NC),
    ),
    "device-mapped-normal": lambda m: (m.kernel(m.device), ATTR, 0),
    "device-executable": lambda m: (m.kernel(m.device), PXN, 0),
    "ram-mapped-device": lambda m: (m.kernel(m.linear + m.free_pa), ATTR, DEVICE),
    "contiguous-disagree": lambda m: (m.kernel(m.linear + m.free_pa), 0, CONTIGUOUS),
    "reserved-descriptor": lambda m: (m.kernel(m.linear + m.free_pa), TYPE, BLOCK),
    "reserved-attributes": lambda m: (m.kernel(m.linear + m.free_pa), SH, 1 << 8),
    "block-being-changed": lambda m: (
        m.place(m.linear + m.free_pa, level=2),
        (1 << 64) - 1,
        m.free_pa | NT | 0xE8_0000_0000_0704 | BLOCK,
    ),
}


def code_page(m: Machine) -> int:
    """A frame of RAM as read-only code."""
    return m.free_pa | AP_READ_ONLY


@pytest.mark.parametrize("code", CHANGES)
def test_fires(machine: Machine, code: str) -> None:
    place, clear, put = CHANGES[code](machine)
    with machine.changed(place, clear, put):
        subject = machine.audited()
        findings = [finding for finding in audit(subject) if finding.code == code]
        assert findings
        for finding in findings:
            assert finding.found.message and finding.found.fix
            for one in finding.found.mapped:
                space = machine.image.address_space(
                    "kernel" if one.owner == "kernel" else f"user:{one.root:#x}"
                )
                first, last = space.translate(one.va), space.translate(one.last)
                assert (first.pa, last.pa) == (one.pa, one.pa_last)
                assert first.steps[-1].address == one.place
                assert first.steps[-1].descriptor == one.descriptor
                assert first.attributes == last.attributes == one.attributes
    assert code not in machine.codes()


def test_processes_write_the_image(machine: Machine) -> None:
    data = machine.text_pa + IMAGE_SIZE - PAGE
    with machine.changed(machine.user(), ADDRESS, data):
        (finding,) = [f for f in audit(machine.audited()) if f.code == "kernel-reachable-from-el0"]
    (one,) = finding.found.mapped
    assert (one.va, one.last, one.pa) == (USER, USER + PAGE - 1, data)


def test_the_hardware_makes_clean_pages_writable(machine: Machine) -> None:
    registers = machine.image.registers
    managed = {**registers, "TCR_EL1": registers["TCR_EL1"] | HA | HD}
    image = replace(machine.image, registers=managed)
    codes = {finding.code for finding in audit(Audited(image, roots=("kernel",)))}
    # The alias is read-only, but has DBM
    assert codes == {"read-only-image-writable-alias"}


def test_no_map(machine: Machine) -> None:
    subject = machine.audited()
    hidden = Spans.sized(np.array([machine.free_pa], np.uint64), np.array([64 * K], np.uint64))
    assert subject.ram is not None
    subject.ram = Ram(subject.ram.all, hidden, "a test")
    (finding,) = audit(subject)
    assert finding.code == "no-map-in-linear-map"
    (one,) = finding.found.mapped
    assert (one.pa, one.pa_last) == (machine.free_pa, machine.free_pa + 64 * K - 1)
    assert (one.va, one.descriptors) == (machine.linear + machine.free_pa, 16)


def test_kpti(machine: Machine) -> None:
    def codes(offset: str, features: int | None) -> set[str]:
        known = {} if features is None else {"ID_AA64MMFR2_EL1": features}
        image = replace(
            machine.image,
            registers={**machine.image.registers, **known},
            facts=replace(machine.image.facts, vmcoreinfo={"KERNELOFFSET": offset}),
        )
        return {f.code for f in audit(Audited(image, roots=("kernel",)))}

    assert codes("200000", 0) == {"kpti-absent"}
    assert codes("0", 0) == codes("200000", 1 << 60) == codes("200000", None) == set()
    assert codes("no number", 0) == set()


def test_only_what_is_asked_for(machine: Machine) -> None:
    place, clear, put = CHANGES["module-writable-executable"](machine)
    process = f"user:{machine.process:#x}"
    with machine.changed(place, clear, put):
        kernel = audit(Audited(machine.image, roots=("kernel",)))
        user = audit(Audited(machine.image, roots=(process,)))
    assert [finding.code for finding in kernel] == ["module-writable-executable"]
    assert user == []


def test_processes_without_tasks_are_found_by_their_tables(machine: Machine) -> None:
    subject = Audited(machine.image)
    assert [space.owner for space in subject.spaces] == ["kernel", f"root {machine.process:#x}"]


def test_arm32_prediction() -> None:
    """Boots up to paging_init, on paper: the page of vectors, and the text not yet read-only."""
    board = Board.from_dtb((EXAMPLES / "qemu-virt-arm32.dtb").read_bytes())
    kernel = Kernel.from_profile("debian-6.1-armmp")
    image = boot(board, kernel, qemu(board, kernel)).images["paging_init"]
    findings = {finding.code: finding for finding in audit(Audited(image, roots=("kernel",)))}
    assert "kuser-helpers" in findings
    (one,) = findings["kuser-helpers"].found.mapped
    assert (one.va, one.last) == (0xFFFF0000, 0xFFFF0FFF)
    assert "kernel-reachable-from-el0" not in findings
    assert "kernel-image-writable-executable" in findings


def test_pxn(machine: Machine) -> None:
    with machine.changed(machine.user(), PXN):
        assert machine.codes() == set()  # the tables above say it, too
    with machine.without_pxn(0):
        findings = audit(machine.audited())
    (finding,) = findings
    assert finding.code == "user-pxn-missing"
    assert finding.found.mapped[0].va == USER


HOSTILE = "\x1b[2Jevil](http://x) {0}\u202e\n::error::\udc80 (7)"


@pytest.fixture
def hostile(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> tuple[Audited, list[Finding]]:
    monkeypatch.setattr(Audited, "_tasks", lambda self: [(HOSTILE, machine.process)])
    with machine.without_pxn(0, UXN):
        # Only the page itself: the other three still say PXN
        subject = Audited(machine.image)
        return subject, audit(subject)


def test_names_of_processes_are_harmless(hostile: tuple[Audited, list[Finding]]) -> None:
    subject, findings = hostile
    assert {f.code for f in findings} == {"user-writable-executable", "user-pxn-missing"}
    console = Console(width=200, highlight=False, markup=False)
    with console.capture() as text:
        print_audit(console, subject, findings, "x", 0)
    log = json.dumps(sarif(findings, AUDIT, Path("x")), ensure_ascii=False)
    document = json.dumps(audit_json(subject, findings, "x", 0), ensure_ascii=False)
    lines = list(annotations(findings, Path("x")))
    for out in (text.get(), log, document, "\n".join(lines)):
        assert not set(out) & {"\x1b", "\u202e", "\udc80"}
        assert "evil" in out
        assert "\n::error::" not in out
    assert len(lines) == len(findings)
    for result in json.loads(log)["runs"][0]["results"]:
        message = result["message"]["text"]
        assert "\\]" in message and "[2J" in message.replace("\\[", "[")
        assert "{{0}}" in message


def test_baseline(machine: Machine, hostile: tuple[Audited, list[Finding]], tmp_path: Path) -> None:
    _, findings = hostile
    file = tmp_path / "known.json"
    Baseline.of(findings).write(file)
    known = Baseline.read(file)
    assert known.remaining(findings) == ([], 2)
    with machine.without_pxn(2, UXN):
        more = audit(Audited(machine.image))
    left, accepted = known.remaining(more)
    assert accepted == 0
    assert {f.code for f in left} == {f.code for f in findings}
    both = [
        replace(f, found=replace(f.found, mapped=f.found.mapped + g.found.mapped))
        for f, g in zip(findings, more, strict=True)
    ]
    left, accepted = known.remaining(both)
    assert accepted == 2
    assert [f.found.mapped for f in left] == [f.found.mapped for f in more]
    assert all("1 of the ranges are in the baseline" in f.found.message for f in left)


def test_baseline_of_findings_without_ranges(machine: Machine) -> None:
    place, clear, put = CHANGES["reserved-descriptor"](machine)
    with machine.changed(place, clear, put):
        findings = audit(machine.audited())
    known = Baseline.of(findings)
    assert known.remaining(findings) == ([], 1)
    assert Baseline.of([]).remaining(findings) == (findings, 0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"form": "ttbr-baseline-1"}', "[" * 100_000])
def test_bad_baselines(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(InputError, match="no baseline"):
        Baseline.read(file)


def test_every_rule_has_a_test() -> None:
    elsewhere = {"no-map-in-linear-map", "kpti-absent", "kuser-helpers", "user-pxn-missing"}
    assert {rule.code for rule in AUDIT} == set(CHANGES) | elsewhere


def noise(ram: Memory, root: int) -> None:
    words = np.random.default_rng(7).integers(0, 1 << 63, M // 8, np.uint64)
    low = words & np.uint64(0xFFF0_0000_0000_0FFF) | np.uint64(3)
    address = (words >> np.uint64(20)) % np.uint64(M) + np.uint64(root)
    address &= np.uint64(-PAGE % (1 << 64))
    ram.write(root, (low | address).tobytes())


def itself(ram: Memory, root: int) -> None:
    ram.write(root, (root | 0x403).to_bytes(8, "little") * 512)


def one_frame_many_times(ram: Memory, root: int) -> None:
    """Every address is mapped to the same block, which EL0 may write and EL1 execute."""
    for level in range(2):
        ram.write(root + level * PAGE, (root + level * PAGE + PAGE | 3).to_bytes(8, "little") * 512)
    blocks = np.full(512, root | 0x405, np.uint64)
    blocks[::2] |= np.uint64(AP_EL0)
    ram.write(root + 2 * PAGE, blocks.tobytes())


@pytest.mark.parametrize("fill", [noise, itself, one_frame_many_times])
def test_hostile_tables(fill: Callable[[Memory, int], None]) -> None:
    """Tables that no kernel writes: an answer that is bounded and says what it leaves out."""
    root = 1 << 30
    ram = Memory([Bank(root, 2 * M)])
    fill(ram, root)
    registers = {**arm64_registers(0x1000, 48, root), "TTBR0_EL1": root}
    subject = Audited(Image(ram, registers), roots=("kernel", f"user:{root + PAGE:#x}"))
    findings = audit(subject)
    assert findings
    assert subject.unknown
    for finding in findings:
        assert len(finding.found.mapped) <= 1 << 12
    assert len(json.dumps(audit_json(subject, findings, "x", 0))) < 16 << 20
