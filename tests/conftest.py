"""What all tests share: lines that belong into the summary, whatever pytest captures."""

import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

# How long one example takes says more about the machine than about the code.
settings.register_profile("ttbr", deadline=None)
settings.load_profile("ttbr")

_LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LINES] = []


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A line for the end of the run: counts that a reader of the log should see."""
    return request.config.stash[_LINES].append


@pytest.fixture(scope="session")
def dtc() -> str:
    """The device-tree compiler; the summary counts the tests that its absence leaves out."""
    found = shutil.which("dtc")
    if found is None:
        pytest.skip("dtc is absent (Debian: device-tree-compiler)")
    return found


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    reasons: dict[str, int] = {}
    for report in skipped:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text] = reasons.get(text, 0) + 1
    lines = [*config.stash[_LINES], *(f"not run: {n} × {r}" for r, n in reasons.items())]
    if lines:
        terminalreporter.section("what was compared")
        for line in lines:
            terminalreporter.write_line(line)
