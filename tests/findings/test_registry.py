"""The registry, the kernel's words as templates, and findings at their edges."""

import arm64_kernels
import pytest
from attempts import attempted, codes, of
from console_cases import Case, M
from test_rules import ARM64, RAM, SIZED, G, made_up

from device_trees import blob
from ttbr.boot.board import Board
from ttbr.boot.boot import boot_until_failure
from ttbr.boot.events import EventLog
from ttbr.boot.loader import custom
from ttbr.errors import InputError
from ttbr.findings import Bytes, Found, Rules, Severity, attempt
from ttbr.findings.words import said


def test_rules_are_for_any_subject() -> None:
    rules: Rules[int] = Rules()
    text = {"source": "here", "remedy": "count", "example": "3"}

    @rules.rule("odd", Severity.NOTE, "an odd number", **text)
    def odd(subject: int):
        """Odd."""
        if subject % 2:
            yield Found(f"{subject} is odd", "add one", numbers={"value": subject})

    @rules.rule("large", Severity.ERROR, "a large number", kernel=("{n} is large",), **text)
    def large(subject: int):
        """Large."""
        if subject > 100:
            yield Found(f"{subject} is large", "take something away")

    assert [finding.code for finding in rules.findings(101)] == ["large", "odd"]
    assert rules.findings(2) == []
    rule = rules.get("large")
    assert rule is not None and (rule.text, rule.kernel) == ("Large.", ("{n} is large",))
    assert rules.get("none") is None
    assert (len(rules), [rule.code for rule in rules]) == (2, ["odd", "large"])
    with pytest.raises(AssertionError):
        rules.rule("odd", Severity.NOTE, "again", **text)(odd)


def test_words_are_whole_messages() -> None:
    class Said:
        events = EventLog()

    for text in ("a: 0x10 of b (c)", "a: 0x10 of b (c) and more", "xa: 0x10 of b (c)"):
        Said.events.say(text)
    (line,) = said(Said, "a: {size} of {name} (c)")
    assert (line.number("size"), line["name"]) == (16, "b")
    assert list(said(Said, "a: {size} of {name} (d)")) == []


def test_sizes_show_their_unit() -> None:
    assert f"{Bytes(2 * M)}" == "2 MiB"
    assert f"{Bytes(0)}" == "0 B"


def test_64k_pages_want_512_mib_of_contiguous_memory() -> None:
    kernel = arm64_kernels.kernel(
        *("6.12.117", 16, 48),
        **{"CMA": "y", "DMA_CMA": "y", "CMA_AREAS": "8", "CMA_SIZE_MBYTES": "16"},
        **{"HUGETLB_PAGE": "y", "ARCH_FORCE_MAX_ORDER": "13", **SIZED},
    )
    (finding,) = of(made_up(kernel, memory=[(RAM, 512 * M)], stop=None), "cma-failed")
    assert finding.found.kernel == ("cma: Failed to reserve 512 MiB on node -1",)
    assert finding.found.numbers["page block"] == 512 * M
    plenty = made_up(kernel, memory=[(RAM, 4 * G)], stop=None)
    assert "cma-failed" not in codes(plenty)
    (rounded,) = of(plenty, "cma-rounded")
    assert rounded.found.numbers == {"asked": 16 * M, "taken": 512 * M}


def test_a_crash_kernel_larger_than_ram_is_ignored_in_silence() -> None:
    subject = attempted(Case("x", "", kernel="arm64-6.12", bootargs="crashkernel=2G"))
    (finding,) = of(subject, "crashkernel-failed")
    assert finding.found.kernel == ()
    assert "without a word" in finding.found.message
    fine = attempted(Case("x", "", kernel="arm64-6.12", bootargs="crashkernel=64M"))
    assert "crashkernel-failed" not in codes(fine)


def test_a_boot_that_stops_keeps_what_was_found_before() -> None:
    name, properties, children = Case("x", "", kernel="armmp", memory=((RAM, G + 0x800),)).tree
    low = ("reserved-memory", {**WIDE, "ranges": b""}, [NO_MAP])
    subject = attempt(
        blob((name, properties, [*children, low])),
        Board.from_dtb,
        lambda board: attempted(Case("y", "", kernel="armmp")).kernel,
        lambda board, chosen: custom(board, RAM + 0x208000, RAM + 96 * M),
        boot_until_failure,
    )
    assert {"boot-stops", "memory-rounded"} <= codes(subject)


WIDE = {"#address-cells": (2).to_bytes(4, "big"), "#size-cells": (2).to_bytes(4, "big")}
NO_MAP = (
    "low@40100000",
    {"reg": b"".join(n.to_bytes(8, "big") for n in (RAM + M, 64 << 10)), "no-map": b""},
    [],
)


def test_options_that_do_not_fit_are_errors_not_findings() -> None:
    def refuse(board, kernel):
        raise InputError("no such loader")

    with pytest.raises(InputError, match="no such loader"):
        attempt(blob(ARM64.tree), Board.from_dtb, lambda board: None, refuse, boot_until_failure)
    with pytest.raises(InputError, match="device tree"):
        attempt(b"", Board.from_dtb, lambda board: None, refuse, boot_until_failure)
