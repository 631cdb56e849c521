"""Pages of recorded machines in a browser: what they show is what the commands say."""

import re

import numpy as np
import pytest
import recorded
from shown_page import expected, show, walks, write

from ttbr.mmu.image import Image
from ttbr.recover.identify import with_registers
from ttbr.recover.linux import Linux
from ttbr.recover.translate import Translator
from ttbr.report.translation import translation_json
from ttbr.report.view import of_image

# Of each kind of tables one: long descriptors of 64 bits, of ARM, and short ones.
CASES = ("arm64-4k-48", "arm32-virt-lpae", "arm32-vexpress-a9")
LARGEST = 3 << 20
WALKS = 12


@pytest.fixture(scope="module", params=CASES)
def linux(request, truth):
    image = recorded.load(truth, request.param).image
    return Linux(with_registers(Image(image.memory, image.registers))[0])


@pytest.fixture(scope="module")
def file(linux, tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "machine.html"
    write(path, of_image("machine", linux.image, linux))
    assert path.stat().st_size < LARGEST
    return path


def places(space, draw):
    """Addresses of a space: of what it maps, and beside that."""
    found = space.mappings()
    va = draw.choice(found.va, WALKS - 2)
    beside = draw.choice(found.last, 2) + np.uint64(1)
    return [int(at) + int(draw.integers(4096)) for at in va] + beside.tolist()


def test_walks_of_the_kernel_and_of_processes(page, file, linux, say):
    show(page, file, view="walk")
    draw, compared = np.random.default_rng(5), 0
    roots = np.unique(linux.tasks.pgd[linux.tasks.pgd != 0]).tolist()
    shown = page.locator("#root option").evaluate_all("all => all.map(each => each.value)")
    for name in shown[:4]:
        vas = places(linux.image.address_space(name), draw)
        translator = Translator(linux.image, name)
        answers = [translation_json(translator.translate(va)) for va in vas]
        assert walks(page, name, vas) == [expected(answer) for answer in answers], name
        compared += len(vas)
    assert len(shown) == len(roots) + 1
    say(f"page: {compared} walks of a recorded machine, every step alike")


def test_what_only_linux_knows_is_told(page, file, linux):
    """A page that PROT_NONE keeps, or an old one: the hardware faults, Linux names the frame."""
    translated = [
        (root, int(va), answer)
        for root in np.unique(linux.tasks.pgd[linux.tasks.pgd != 0]).tolist()
        for view in (linux.processes.of(root).view,)
        for va in view.va[view.readings.kind == 1][:1]
        for answer in (Translator(linux.image, f"user:{root:#x}").translate(int(va)),)
    ]
    root, va, answer = translated[0]
    assert answer.hardware.fault is not None and answer.linux.kind == "PROT_NONE"
    name = "user" if root == linux.image.address_space("user").root else f"user:{root:#x}"
    show(page, file, view="walk", root=name, va=hex(va))
    said = page.locator(".linux").inner_text()
    assert "PROT_NONE" in said and f"{answer.linux.pa:#x}"[2:] in said


def test_processes_share_what_their_tables_say(page, file, linux, shoot):
    show(page, file, view="processes")
    shoot(f"processes-{linux.image.arch}")
    rows = page.locator(".data", has_text="Processes").first.locator("tbody tr")
    pids = rows.evaluate_all("all => all.map(row => row.cells[0].textContent)")
    listed = {
        str(linux.tasks.pid[np.flatnonzero(linux.tasks.pgd == root)[0]])
        for root in np.unique(linux.tasks.pgd[linux.tasks.pgd != 0]).tolist()
    }
    assert set(pids) == listed
    resident = rows.evaluate_all("all => all.map(row => row.cells[3].textContent)")
    for pid, text in zip(pids, resident, strict=True):
        root = int(linux.tasks.pgd[linux.process(int(pid))])
        amount, unit = re.fullmatch(r"([\d.]+) (\w+)", text).groups()
        bytes_ = float(amount) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}[unit]
        assert bytes_ == pytest.approx(linux.processes.of(root).resident, rel=1e-3)


@pytest.mark.parametrize("linux", ["arm32-vexpress-a9"], indirect=True)
def test_both_halves_of_a_table_page(page, file, linux):
    """ARM's short descriptors: the hardware's entry and Linux's own, side by side."""
    assert linux.image.user_regime.format.name == "short"
    root = int(linux.tasks.pgd[linux.process(1)])
    va = int(linux.processes.of(root).space.mappings().va[0])
    step = linux.processes.of(root).space.translate(va).steps[-1]
    show(page, file, view="walk", root="user", va=hex(va))
    cells = page.locator(".step[data-level='2'] .around tr.marked code").all_inner_texts()
    linux_word = int.from_bytes(linux.image.memory.read(step.address - 0x800, 4), "little")
    assert cells == [f"{step.descriptor:#010x}", f"{linux_word:#010x}"]
