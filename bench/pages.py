"""How fast pages open and answer in a browser, as ratios to an empty page in the same browser.

    python bench/pages.py                     a prediction and generated images
    python bench/pages.py --truth FOLDER      recorded machines as well: docs/view-speed.md

Needs playwright and Chromium. Pages are made by ``ttbr view``. Each is opened, and each action
done, several times, by turns with the empty page; of each the median counts. A page is open when it
says so and has been drawn; an action ends with the frame that shows its result. The time of the
page's main thread on the processor depends little on what else the machine does.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from playwright.sync_api import Browser, sync_playwright

from generated import BASE, REGISTERS, Generated
from ttbr.memory.banked import BankedMemory, Piece
from ttbr.memory.save import save_core

ROUNDS = 3
SETTLED = 200  # milliseconds after opening before an action
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
BOARD = Path(__file__).resolve().parents[1] / "examples" / "qemu-virt-arm64.dtb"
RECORDED = ("arm64-4k-48", "arm64-stock-6.1", "arm32-stock-6.1")
EMPTY = """<!doctype html><div id="app" data-ready="">0</div><script>
addEventListener("keydown", () => { app.textContent = Number(app.textContent) + 1; });
</script>"""

FRAME = "await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))"
OPENED = f"async () => {{ {FRAME}; return performance.now(); }}"


@dataclass(frozen=True)
class Action:
    """``script`` on the element that ``selector`` finds, at a place of the page (its hash).

    ``before``: what is done to it earlier, and does not count.
    """

    name: str
    place: str
    selector: str
    script: str
    before: str = ""


def key(name: str) -> str:
    """A key pressed on the element."""
    event = f"new KeyboardEvent('keydown', {{key: {name!r}, bubbles: true}})"
    return f"element.dispatchEvent({event})"


POINT = """const box = element.getBoundingClientRect();
const [x, y] = [box.x + box.width * 0.3, box.y + box.height * (0.2 + 0.6 * Math.random())];
element.dispatchEvent(new PointerEvent("pointermove", {clientX: x, clientY: y, bubbles: true}))"""
MAP = "#view=map"
ACTIONS = (
    Action("zoom in", MAP, ".map svg", key("+")),
    Action("show all", MAP, ".map svg", key("0"), before=key("+")),
    Action("point at a range", MAP, ".map svg", POINT),
    Action("next range", MAP, ".map svg", key("ArrowUp")),
    Action(
        "walk an address",
        "#view=walk",
        "#app",
        "location.hash = '#view=walk&va=0xffff000000200000'",
    ),
    Action("tables", MAP, "#app", "location.hash = '#view=tables'"),
    Action("map", "#view=tables", "#app", "location.hash = '#view=map'"),
)
NOTHING = Action("a key", "", "body", key("x"))


def pages(folder: Path, truth: Path | None) -> Iterator[tuple[str, Path]]:
    """(name, file) of each page."""
    wanted: dict[str, list[object]] = {
        "a prediction of 4 TiB": [BOARD, "--memory", "0x40000000:4T", "--bootargs", "rodata=on"]
    }
    for scattered in (False, True):
        image = Generated(1 << 20, scattered=scattered)
        core = folder / f"{scattered}.elf"
        piece = Piece(BASE, image.words.nbytes, image.words.view("u1"))
        save_core(core, BankedMemory([piece]))
        registers = ",".join(f"{name}={value:#x}" for name, value in REGISTERS.items())
        registers = registers.replace("TTBR1_EL1=0x0", f"TTBR1_EL1={BASE:#x}")
        wanted[f"1 Mi mappings{', each elsewhere' * scattered}"] = [core, "--registers", registers]
    for case in RECORDED if truth else ():
        at = truth / case
        spec = f"{at / 'ram.raw.zst'}@{at / 'ram.json'}"
        wanted[f"{case}, recorded"] = [spec, "--registers", at / "registers.json"]
    for number, (name, arguments) in enumerate(wanted.items()):
        page = folder / f"{number}.html"
        command = [sys.executable, "-m", "ttbr", "view", *map(str, arguments), "-o", str(page)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        yield name, page


class Tab:
    """A page in a new tab, opened at a place; ``milliseconds`` until its first frame."""

    def __init__(self, browser: Browser, page: Path, place: str = "") -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self._session = self.page.context.new_cdp_session(self.page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.page.goto(f"{page.as_uri()}{place}")
        self.page.wait_for_selector("[data-ready]", state="attached", timeout=120_000)
        self.milliseconds = float(self.page.evaluate(OPENED))

    def processor(self) -> float:
        """Milliseconds that its main thread has been on the processor."""
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration")) * 1e3


def acted(browser: Browser, page: Path, action: Action) -> float:
    """Milliseconds of the processor from an action to its frame, in a page just opened."""
    tab = Tab(browser, page, action.place)
    element = f"const element = document.querySelector({action.selector!r})"
    tab.page.evaluate(f"() => {{ {element}; {action.before} }}")
    tab.page.wait_for_timeout(SETTLED)
    before = tab.processor()
    tab.page.evaluate(f"async () => {{ {element}; {action.script}; {FRAME}; }}")
    found = tab.processor() - before
    tab.page.close()
    return found


def opening(browser: Browser, page: Path) -> tuple[float, float]:
    """Milliseconds to open a page, and of the processor for that."""
    tab = Tab(browser, page)
    found = tab.milliseconds, tab.processor()
    tab.page.close()
    return found


def medians(rows: list[tuple[float, ...]]) -> list[float]:
    """The median of each column."""
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, help="folder of recordings")
    arguments = parser.parse_args()
    chromium = which("chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        empty = folder / "empty.html"
        empty.write_text(EMPTY)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        made = list(pages(folder, arguments.truth))
        print("| page | size | opens in | an empty page | processor | of an empty page's |")
        print("|---|---|---|---|---|---|")
        for title, page in made:
            rows = [(*opening(browser, page), *opening(browser, empty)) for _ in range(ROUNDS)]
            wall, mine, wall_empty, nothing = medians(rows)
            size = page.stat().st_size / (1 << 20)
            print(
                f"| {title} | {size:.2f} MiB | {wall:.0f} ms | {wall_empty:.0f} ms | "
                f"{mine:.0f} ms | {mine / nothing:.0f} × |",
                flush=True,
            )
        heads = " | ".join(title for title, _ in made)
        print(f"\n| action, time of the processor | {heads} |\n|---{'|---' * len(made)}|")
        for action in ACTIONS:
            cells = []
            for _, page in made:
                mine, nothing = medians(
                    [
                        (acted(browser, page, action), acted(browser, empty, NOTHING))
                        for _ in range(ROUNDS)
                    ]
                )
                cells.append(f"{mine:.0f} ms, {mine / nothing:.0f} ×")
            print(f"| {action.name} | {' | '.join(cells)} |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
