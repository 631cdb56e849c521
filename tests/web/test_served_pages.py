"""Served pages in a browser: what they show is what the commands say, live data included."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from browser import PHONE
from model_images import EXAMPLES, booted, save
from scattered import scattered
from served import serving
from shown_page import expected, walks

from ttbr.errors import TtbrError
from ttbr.memory.save import save_core
from ttbr.mmu.image import Image
from ttbr.recover.note import image_note
from ttbr.recover.translate import Translator
from ttbr.report.translation import translation_json

TEXT = {"arm64": 0xFFFF800008010000, "arm32": 0xC0300000}
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
NOWHERE = {"arm64": 0xFFFFFFFFFFFF0000, "arm32": 0xBF000000}
HOSTILE = "<img src=x onerror=alert(1)>.elf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for name in TEXT:
        save(name, root / f"{name}.elf")
    (root / "board.dtb").write_bytes((EXAMPLES / "qemu-virt-arm64.dtb").read_bytes())
    (root / HOSTILE).write_bytes((root / "arm32.elf").read_bytes())
    (root / "broken.elf").write_bytes((root / "arm64.elf").read_bytes()[:300])
    return root


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as found:
        yield found


def open_image(page, address: str, name: str, place: str = "view=map&lang=en") -> None:
    page.goto(f"{address}?image={quote(name)}#{place}")
    page.wait_for_selector("#app[data-ready]")


def _walkable(image: Image) -> list[str]:
    """The roots that the registers hold at a stage."""
    found = []
    for root in ("kernel", "user"):
        try:
            space = image.address_space(root)
        except TtbrError:
            continue
        if space.root:
            found.append(root)
    return found


def translated(image: Path, *vas: int) -> list:
    """What ``ttbr translate --json`` says."""
    command = [sys.executable, "-m", "ttbr", "translate", image, *map(hex, vas), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return json.loads(done.stdout)


def test_from_the_list_to_a_page(page, address, shoot):
    page.goto(address)
    assert page.locator("li").count() == 5
    shoot("list")
    page.get_by_text("arm64.elf", exact=True).click()
    page.wait_for_selector("#app[data-ready]")
    assert "arm64.elf" in page.inner_text("header")
    shoot("map")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_can_be_read_by_everybody(page, address, theme, shoot):
    if not AXE.is_file():
        pytest.skip("axe is absent (npm ci in web/)")
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.goto(address)
    shoot(f"list-phone-{theme}")
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run().then(found => found.violations)")
    assert not found, [(each["id"], each["help"]) for each in found]


@pytest.mark.parametrize("name", TEXT)
def test_an_address_that_is_typed_is_walked_as_by_the_command(page, address, folder, name, shoot):
    open_image(page, address, f"{name}.elf", "view=walk&lang=en")
    page.fill("#walk-address", hex(TEXT[name]))
    page.press("#walk-address", "Enter")
    page.wait_for_selector(".step")
    shoot(f"walk-{name}")
    vas = [TEXT[name], NOWHERE[name]]
    answers = translated(folder / f"{name}.elf", *vas)
    assert walks(page, "kernel", vas) == [expected(answer) for answer in answers]


def test_zoom_from_the_whole_space_to_a_page(page, address):
    open_image(page, address, "arm64.elf")
    page.focus(".map .canvas")
    pages = []
    for _ in range(60):
        page.keyboard.press("+")
        page.wait_for_function("() => location.hash.includes('zoom=')")
        low, high = map(int, re.search(r"zoom=(\d+)-(\d+)", page.url).groups())
        pages.append(high - low)
        if pages[-1] <= 1:
            break
    assert pages[-1] == 1 and pages == sorted(pages, reverse=True)
    page.keyboard.press("0")
    page.wait_for_function("() => !location.hash.includes('zoom=')")


def test_the_language_is_switched(page, address, shoot):
    open_image(page, address, "arm64.elf")
    english = page.inner_text("nav")
    page.get_by_label("Language").select_option("zh")
    page.wait_for_function("text => document.querySelector('nav').innerText !== text", arg=english)
    assert page.locator("html").get_attribute("lang") == "zh"
    assert re.search("[\u4e00-\u9fff]", page.inner_text("nav"))
    shoot("chinese")


def test_the_stages_of_a_boot_have_their_tables(page, address, shoot):
    boot = booted("arm64")
    open_image(page, address, "board.dtb", "view=boot&machine=0&lang=en")
    va = boot.images["head"].facts.symbols["_text"] + 0x10000
    for number, stage in enumerate(boot.stages):
        assert f"machine={number}" in page.url or number == 0
        image = boot.images[stage]
        if "kernel" in _walkable(image):
            wanted = expected(translation_json(Translator(image, "kernel").translate(va)))
            place = page.url
            assert walks(page, "kernel", [va], machine=number) == [wanted]
            page.goto(place)
            page.wait_for_selector("#app[data-ready]")
        if number + 1 < len(boot.stages):
            page.get_by_role("button", name="stage »").click()
    shoot("boot")


def test_a_picture_is_saved_and_draws_what_is_shown(page, address, tmp_path):
    open_image(page, address, "arm64.elf")
    with page.expect_download() as saved:
        page.locator(".map").get_by_role("button", name="SVG").first.click()
    picture = tmp_path / "map.svg"
    saved.value.save_as(picture)
    root = ElementTree.parse(picture).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Linear Mapping", "vmalloc area"} <= words


def test_a_planted_finding_is_found_where_it_lies(page, tmp_path, shoot):
    image = booted("arm64").images["mm_init"]
    va = TEXT["arm64"]  # a page of the kernel's code becomes writable
    leaf = image.address_space("kernel").translate(va).steps[-1]
    assert leaf.kind.name == "PAGE"
    image.memory.write(leaf.address, (leaf.descriptor & ~(1 << 7)).to_bytes(8, "little"))
    save_core(tmp_path / "planted.elf", image.memory, [image_note(image)])
    audited = subprocess.run(
        [sys.executable, "-m", "ttbr", "audit", tmp_path / "planted.elf", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    codes = [finding["code"] for finding in json.loads(audited.stdout)["findings"]]
    with serving(tmp_path) as address:
        open_image(page, address, "planted.elf", "view=findings&lang=en")
        shown = page.locator("article.finding")
        assert [shown.nth(n).get_attribute("data-code") for n in range(shown.count())] == codes
        page.locator("article.finding", has_text=hex(va)).first.wait_for()
        shoot("finding")


SMALL = """
import ttbr.web.answers
from ttbr.report.view import Room
ttbr.web.answers.served_room = lambda: Room(regions=1 << 10, tables=1 << 10, entries=1 << 11)
"""


def test_what_is_too_large_for_the_page_is_asked_for(page, tmp_path, shoot):
    image = scattered(1 << 12)  # no two pages adjoin
    save_core(tmp_path / "large.elf", image.memory, [image_note(image)])
    vas = [0xFFFF_0000_0000_0000, 0xFFFF_0000_0080_1234, 0xFFFF_0000_00FF_F000]
    vas.append(vas[-1] + 0x1000)  # behind the last
    with serving(tmp_path, before=SMALL) as address:
        open_image(page, address, "large.elf", "view=walk&lang=en")
        answers = translated(tmp_path / "large.elf", *vas)
        assert walks(page, "kernel", vas) == [expected(answer) for answer in answers]
        # Coarse as a whole, exact where one looks closely.
        open_image(page, address, "large.elf")
        coarse = page.locator(".note", has_text="Coarser than it is")
        coarse.wait_for()
        first = vas[1] >> 12
        open_image(page, address, "large.elf", f"view=map&lang=en&zoom={first}-{first + 4}")
        coarse.wait_for(state="detached")
        page.locator(".map svg", has_text="4 KiB").wait_for()
        shoot("live")
    mappings = image.address_space("kernel").mappings()
    sizes = page.locator(".map svg text", has_text="4 KiB rw- ---")
    other = page.locator(".map svg text", has_text="4 KiB r-- ---")
    writable = [mappings.attribute_values[i].el1_write for i in mappings.attributes[0x801:0x805]]
    assert (sizes.count(), other.count()) == (sum(writable), 4 - sum(writable))


def test_a_hostile_name_is_text(page, address):
    page.goto(address)
    page.get_by_text(HOSTILE, exact=True).click()
    page.wait_for_selector("#app[data-ready]")
    assert page.locator("img").count() == 0
    assert HOSTILE in page.inner_text("header")


def test_an_image_that_cannot_be_read_says_why(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}?image=broken.elf")
    page.locator("#app", has_text="broken.elf").wait_for()
    assert page.locator("#app[data-ready]").count() == 0
    context.close()
