"""A browser for the tests of the page: Debian's Chromium, headless, driven by Playwright.

Screenshots go to the folder that ``$TTBR_SCREENSHOTS`` names; without it none are kept.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

try:
    from playwright.sync_api import Browser, Page, sync_playwright
except ImportError:  # tests that need a browser are skipped, and counted
    sync_playwright = None

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Of a browser in a container, that talks to nobody."""
DESKTOP, PHONE = (1280, 800), (390, 844)

Shoot = Callable[[str], None]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """The browser of a module's tests: while it runs, no other event loop can in this process."""
    if sync_playwright is None:
        pytest.skip("playwright is absent (pip install playwright)")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("a browser is absent (Debian: chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page with a desktop's width; the test fails if it met an error, or asked another host."""
    width, height = DESKTOP
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale="en-GB", reduced_motion="reduce"
    )
    opened = context.new_page()
    opened.set_default_timeout(20_000)
    errors: list[str] = []
    hosts: set[str] = set()
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    yield opened
    own = urlsplit(opened.url).netloc
    context.close()
    assert not errors
    assert hosts <= {own, ""}  # data: and blob: have no host


@pytest.fixture
def shoot(page: "Page", request: pytest.FixtureRequest) -> Shoot:
    """Keep a picture of the page under a name, where somebody wants them."""
    folder = os.environ.get("TTBR_SCREENSHOTS")

    def keep(name: str) -> None:
        if folder:
            place = Path(folder)
            place.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=place / f"{request.path.stem}-{name}.png")

    return keep
