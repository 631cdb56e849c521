"""What `check` says that a kernel prints, held against what Debian's kernels printed in QEMU."""

from pathlib import Path

import pytest
from attempts import attempted
from console_cases import CASES, HANGS, Case

from ttbr.findings import check

CONSOLES = Path(__file__).parent.parent / "fixtures" / "consoles"


def console(case: Case) -> list[str]:
    return (CONSOLES / f"{case.name}.txt").read_text().split("\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_real_kernel_said_the_same(case: Case) -> None:
    lines = console(case)
    expected = [finding for finding in check(attempted(case)) if finding.code == case.code]
    words = [line for finding in expected for line in finding.found.kernel]
    assert words, f"no words of {case.code}"
    assert [line for line in words if line not in lines] == []


def test_nothing_is_said_that_the_kernel_did_not_say() -> None:
    """All findings of all cases; the line about KASLR comes after the part that is kept."""
    missing = [
        (case.name, finding.code, line)
        for case in CASES
        for finding in check(attempted(case))
        if finding.code != "kaslr-off"
        for line in finding.found.kernel
        if line not in console(case)
    ]
    assert missing == []


@pytest.mark.parametrize("case", HANGS, ids=lambda case: case.name)
def test_where_the_model_stops_a_real_kernel_said_no_more(case: Case) -> None:
    subject = attempted(case)
    assert subject.boot is not None
    assert case.code in {finding.code for finding in check(subject)}
    last = [line for line in console(case) if line][-1]
    assert last == subject.boot.events.messages[-1].text


def test_how_many_were_confirmed(say) -> None:
    words = {
        line
        for case in CASES
        for finding in check(attempted(case))
        if finding.code == case.code
        for line in finding.found.kernel
    }
    kinds = {case.code for case in CASES}
    say(
        f"check: {len(CASES)} boots of Debian's kernels, {len(kinds)} findings, "
        f"{len(words)} different messages, equal {len(words)}"
    )
    assert len(kinds) >= 20
