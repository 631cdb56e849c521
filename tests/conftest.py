"""What all tests share: lines that belong into the summary, whatever pytest captures."""

import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

# How long one example takes says more about the machine than about the code.
settings.register_profile("ttbr", deadline=None)
settings.load_profile("ttbr")

LINE = "line for the summary"


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A line for the end of the run: counts that a reader of the log should see.

    It travels with the test's report, so that it arrives from a worker process, too.
    """

    def keep(line: str) -> None:
        request.node.user_properties.append((LINE, line))

    return keep


@pytest.fixture(scope="session")
def dtc() -> str:
    """The device-tree compiler; the summary counts the tests that its absence leaves out."""
    found = shutil.which("dtc")
    if found is None:
        pytest.skip("dtc is absent (Debian: device-tree-compiler)")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons: dict[str, int] = {}
    for report in skipped:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text] = reasons.get(text, 0) + 1
    said = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == LINE
    ]
    lines = [*sorted(said), *(f"not run: {n} × {r}" for r, n in reasons.items())]
    if lines:
        terminalreporter.section("what was compared")
        for line in lines:
            terminalreporter.write_line(line)
