"""A recording's RAM alone, with no registers, symbols or hints, says what its kernel is."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import unpacked

from ttbr.memory.banked import BankedMemory, Piece
from ttbr.mmu.image import Image
from ttbr.recover.identify import completed, identify, with_registers
from ttbr.report.identified import identified_json

MARKS = (b"OSRELEASE=", b"Linux version ")


def without_words(machine):
    """The memory without what a kernel writes about itself: vmcoreinfo and banners."""
    pieces = []
    for base, file in unpacked.files(machine.truth, machine.case).items():
        blank = unpacked.mapped(file, changeable=True)
        for mark in MARKS:
            at = blank.find(mark)
            while at >= 0:
                blank[at : at + len(mark)] = bytes(len(mark))
                at = blank.find(mark, at)
        content = np.frombuffer(blank, np.uint8)
        pieces.append(Piece(base, len(content), content))
    return BankedMemory(pieces)


def expected_findings(machine):
    """By the recording's own account, in the form of ``ttbr info --json``."""
    kernel = machine.expected
    symbols = kernel["symbols"]
    users = {int(task["pgd_pa"], 16) for task in kernel["tasks"]} - {0}
    found = {
        "arch": kernel["arch"],
        "page_size": kernel["page_size"],
        "kernel_root": hex(machine.image.address_space("kernel").root),
        "swapper_pg_dir": symbols["swapper_pg_dir"]["pa"],
        "kaslr_offset": kernel["kaslr_offset"],
        "text_va": symbols["_text"]["va"],
        "text_pa": symbols["_text"]["pa"],
        "page_offset": kernel["PAGE_OFFSET"],
        "user_roots": [hex(pa) for pa in sorted(users)],
    }
    if kernel["arch"] == "arm":
        return found | {
            "format": "lpae" if kernel["lpae"] else "short",
            "va_bits": 32,
            "phys_offset": kernel["PHYS_OFFSET"],
        }
    wide = "-lpa2" if kernel["lpa2"] else ""
    return found | {
        "format": f"arm64-{kernel['page_size'] >> 10}k{wide}",
        "va_bits": kernel["va_bits_actual"],
        "va_bits_configured": kernel["va_bits"],
        "phys_offset": kernel["memstart_addr"],
        "idmap_pg_dir": symbols["idmap_pg_dir"]["pa"],
    }


def agrees(machine, found):
    wanted = expected_findings(machine)
    assert {name: found[name]["value"] for name in wanted} == wanted
    return len(wanted), sum(found[name]["confidence"] == "certain" for name in wanted)


def test_info_on_ram_alone(machine, say):
    start = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ttbr",
            "info",
            "--json",
            unpacked.spec(machine.truth, machine.case),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - start
    info = json.loads(done.stdout)
    right, certain = agrees(machine, info["identified"])
    assert info["identified"]["banner"]["value"] == machine.expected["kernel_version"]
    assert info["release"] == machine.expected["kernel_release"]
    size = info["memory_bytes"] >> 20
    say(
        f"{machine.case}: ttbr info on RAM alone, {right} of {right} findings right, {certain} "
        f"called certain; {seconds:.1f} s for {size} MiB"
    )


def test_without_vmcoreinfo_and_banner(machine, say):
    memory = without_words(machine)
    found = identify(memory, user_roots=True)
    assert found is not None
    assert found.banner is None
    assert found.release is None
    right, certain = agrees(machine, identified_json(found))
    say(
        f"{machine.case}: without vmcoreinfo and banner, {right} of {right} findings right, "
        f"{certain} called certain"
    )

    # What is inferred reads the tables as the recorded registers do.
    inferred = completed(Image(memory), found).address_space("kernel").mappings()
    recorded = machine.image.address_space("kernel").mappings()
    assert np.array_equal(inferred.va, recorded.va)
    assert np.array_equal(inferred.pa, recorded.pa)
    assert np.array_equal(inferred.size, recorded.size)
    say(f"{machine.case}: {len(inferred)} leaves mapped alike with inferred registers")


def stages(truth, first):
    """The recorded stages from ``first`` on: name, registers."""
    names = [entry["stage"] for entry in truth]
    return truth[names.index(first) :] if first in names else []


@pytest.mark.parametrize("first", ["head-done", "paging_init-end"])
def test_while_the_kernel_boots(truth, say, first):
    """The root of every stage at which the MMU is on; from the final tables on it is certain."""
    count = 0
    for case in truth.cases():
        try:
            recorded = truth.stages(case)
        except FileNotFoundError:
            continue
        for entry in stages(recorded, first)[:1]:
            ram = truth.stage(case, entry["stage"])
            image = Image(BankedMemory(Piece(base, len(d), d) for base, d in ram.items()))
            complete, found = with_registers(image)
            assert found is not None, case
            registers = {name: int(value, 16) for name, value in entry["registers"].items()}
            wanted = Image(image.memory, registers).address_space("kernel").root
            assert complete.address_space("kernel").root == wanted, case
            if first == "paging_init-end":
                assert found.phys_offset is not None
            count += 1
    assert count
    say(f"kernel root found in RAM alone at {first} of {count} recordings")
