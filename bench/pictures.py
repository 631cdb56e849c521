"""The pictures of the documentation: pages of recordings and of examples, in a browser.

    python bench/pictures.py --truth FOLDER            all of them, into docs/pictures
    python bench/pictures.py --truth FOLDER map walk   some

Needs playwright and Chromium.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from urllib.parse import urlencode

import zstandard
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).resolve().parents[1]
FOLDER = HERE / "docs" / "pictures"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
LARGEST = 300_000  # bytes of a picture
PREDICTED = "arm64-4k-48"


@dataclass(frozen=True)
class Shot:
    """A picture: of which page, at what place in it, how large; ``hover``: where the pointer is."""

    of: str
    place: dict[str, str]
    size: tuple[int, int] = (1280, 860)
    hover: tuple[int, int] | None = None


SHOTS = {
    "map": Shot(
        "arm64-4k-48", {"view": "map", "va": "0xffff800080010000"}, (1280, 1000), (340, 660)
    ),
    "map-phone": Shot("arm64-4k-48", {"view": "map", "theme": "dark", "lang": "zh"}, (390, 1010)),
    "process": Shot(
        "arm64-stock-6.1", {"view": "map", "root": "user:0x4308c000", "colour": "permission"}
    ),
    "walk": Shot(
        "arm32-vexpress-a9",
        {"view": "walk", "root": "user:0x60a28000", "va": "0x10000"},
        (1100, 1240),
    ),
    "tables": Shot("arm64-4k-48", {"view": "tables", "va": "0xffff800080010000"}, (1280, 620)),
    "boot": Shot("predicted", {"view": "boot", "machine": "5", "event": "60"}, (1280, 1130)),
    "processes": Shot("arm64-4k-48", {"view": "processes", "theme": "dark"}, (1280, 1010)),
    "findings": Shot("arm32-vexpress-a9", {"view": "findings"}, (1280, 900)),
    "compare": Shot("predicted", {"view": "compare", "comparison": "6"}, (1280, 900)),
}


def arguments(name: str, truth: Path, folder: Path) -> list[object]:
    """What ``ttbr view`` is given for a page: a recording, or a prediction and its recording."""
    case = truth / (PREDICTED if name == "predicted" else name)
    image = [f"{case / 'ram.raw.zst'}@{case / 'ram.json'}", "--registers", case / "registers.json"]
    if name != "predicted":
        return image
    tree = folder / f"{PREDICTED}.dtb"
    with (case / "fdt.dtb.zst").open("rb") as packed:
        tree.write_bytes(zstandard.ZstdDecompressor().stream_reader(packed).read())
    stages = json.loads((case / "stages" / "stages.json").read_text("utf-8"))
    entry = next(each for each in stages if each["stage"] == "head-entry")["registers"]
    kernel = ["--config", case / "config.gz", "--system-map", case / "System.map.zst"]
    return [tree, *image, *kernel, "--kernel-at", entry["pc"], "--dtb-at", entry["x0"]]


def take(browser: Browser, page: Path, shot: Shot, target: Path) -> None:
    """One picture."""
    width, height = shot.size
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.goto(f"{page.as_uri()}#{urlencode({'lang': 'en', 'theme': 'light', **shot.place})}")
    tab.wait_for_selector("#app[data-ready]")
    if shot.hover:
        tab.mouse.move(*shot.hover)
    tab.wait_for_timeout(200)
    tab.screenshot(path=target)
    tab.close()
    if target.stat().st_size > LARGEST:
        raise SystemExit(f"{target}: {target.stat().st_size} bytes are too many")


def main() -> None:
    """Make the pages, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truth", type=Path, required=True, help="folder of recordings")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHOTS))
    given = parser.parse_args()
    wanted = {name: SHOTS[name] for name in given.names or SHOTS}
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=FLAGS)
        for of in dict.fromkeys(shot.of for shot in wanted.values()):
            page = Path(folder) / f"{of}.html"
            command = [
                sys.executable,
                "-m",
                "ttbr",
                "view",
                *arguments(of, given.truth, Path(folder)),
            ]
            subprocess.run([*map(str, command), "-o", str(page)], check=True)
            for name, shot in wanted.items():
                if shot.of == of:
                    take(browser, page, shot, FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
