"""Each view of the page as a user works with it: a boot, and an image with a planted fault.

The pictures that are kept show every view on a desktop and a phone, light and dark, English and
Chinese.
"""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from model_images import booted
from shown_page import show, write

from ttbr.boot import Board, Kernel, qemu
from ttbr.boot.boot import boot_until_failure
from ttbr.findings.attempt import attempt
from ttbr.mmu.image import Image
from ttbr.recover.linux import Linux
from ttbr.report.view import of_attempt, of_image

EXAMPLES = Path(__file__).parents[2] / "examples"
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = "</script><img src=x onerror=document.title='owned'>\u2028${alert(1)}"
TEXT = 0xFFFF800008010000
WRITABLE = ~(1 << 7)
PHONE = {"width": 390, "height": 844}
VIEWS = ("map", "walk", "tables", "boot", "findings", "compare", "machine")


@pytest.fixture(scope="module")
def boot():
    return booted("arm64")


@pytest.fixture(scope="module")
def planted(boot):
    """The image of a boot with a page of kernel text that is writable, too."""
    image = boot.images["mm_init"]
    step = image.address_space("kernel").translate(TEXT).steps[-1]
    memory = image.memory.snapshot()
    memory.write(step.address, (step.descriptor & WRITABLE).to_bytes(8, "little"))
    symbols = {**image.facts.symbols, HOSTILE: TEXT + 0x40}
    return Image(memory, image.registers, replace(image.facts, symbols=symbols))


@pytest.fixture(scope="module")
def file(boot, planted, tmp_path_factory):
    """The boot and the image, whose name is hostile."""
    folder = tmp_path_factory.mktemp("pages")
    subject = attempt(
        (EXAMPLES / "qemu-virt-arm64.dtb").read_bytes(),
        Board.from_dtb,
        lambda board: Kernel.from_profile("debian-6.1-arm64"),
        qemu,
        boot_until_failure,
    )
    image = of_image(HOSTILE, planted, Linux(planted))
    return write(folder / "both.html", of_attempt("board", subject), image)


def saved(page, click):
    """Name and text of the file that a click saves."""
    with page.expect_download() as download:
        click()
    path = download.value.path()
    return download.value.suggested_filename, Path(path).read_bytes()


def test_a_boot_is_stepped_through(page, file, boot):
    show(page, file, view="boot")
    for name in boot.stages:
        page.locator(".stages").get_by_role("button", name=name, exact=True).click()
        image = boot.images[name]
        shown = {
            each.get_attribute("data-root"): int(re.match(r"\d+", each.inner_text())[0])
            for each in page.locator(".tables-count").all()
        }
        for root, tables in shown.items():
            assert tables == len(image.address_space(root).mappings().tables), (name, root)
        assert ("kernel" in shown) == bool(image.registers.get("TTBR1_EL1"))


def test_an_event_says_which_function_did_it(page, file, boot):
    show(page, file, view="boot")
    page.locator(".stages").get_by_role("button", name="fixmap", exact=True).click()
    done = sum(event.stage in ("head", "early_map", "fixmap") for event in boot.events)
    events = page.locator("label.slider")
    assert events.inner_text().startswith(f"{done} of {len(boot.events)}")
    for event in list(boot.events)[done : done + 5]:
        page.get_by_role("button", name="event ›").click()
        now = page.locator(".now").inner_text()
        asked = event.detail.split(" ")[-1] if "alloc" in event.function else event.function
        assert event.kind in now and asked in now and f"{event.start:#x}"[2:] in now
    page.get_by_role("button", name="play").click()
    page.wait_for_function(
        "n => Number(document.querySelector('.slider input').value) > n", arg=done + 6
    )
    page.get_by_role("button", name="pause").click()


def test_what_a_stage_has_added_is_marked(page, file, boot):
    show(page, file, view="boot")
    page.locator(".stages").get_by_role("button", name="bootmem_init", exact=True).click()
    page.get_by_role("button", name="Map", exact=True).first.click()
    assert page.locator("svg .fresh").count() == 1  # the memory map


def test_zoom_from_the_whole_space_to_one_page(page, file):
    show(page, file, view="map", machine=7, va=hex(TEXT))
    shown = page.locator("p.range")
    assert "256 TiB" in shown.inner_text()
    page.get_by_role("button", name="region").click()
    assert "256 TiB" not in shown.inner_text()
    page.get_by_role("button", name="one page").click()
    assert shown.inner_text().startswith(f"{TEXT:#x}–{TEXT + 0xFFF:#x} 4 KiB")
    page.locator(".canvas").press("0")
    assert "256 TiB" in shown.inner_text()


def test_a_planted_fault_is_found_where_it_lies(page, file):
    show(page, file, view="findings", machine=8)
    found = page.locator("article.finding[data-code=kernel-image-writable-executable]")
    assert f"{TEXT:#x}" in found.inner_text()
    found.get_by_role("button", name="map").first.click()
    assert page.locator("main").get_attribute("data-view") == "map"
    details = page.get_by_role("complementary").inner_text()
    assert f"{TEXT:#x}" in details and "el1:rwx" in details
    page.get_by_role("button", name="region").click()
    assert page.locator(".findings path").count() >= 1


def test_only_the_planted_page_differs(page, file):
    show(page, file, view="compare", comparison=6)
    rows = page.locator("section[data-root=kernel] tbody tr")
    assert rows.count() == 1
    assert f"{TEXT:#x}" in rows.inner_text() and "other attributes" in rows.inner_text()
    assert "identical" in page.locator("section[data-root=user]").inner_text()


def test_an_address_leads_everywhere(page, file):
    show(page, file, view="machine", machine=7)
    page.fill("#search", "_stext")
    page.get_by_role("option").first.click()
    details = page.get_by_role("complementary")
    assert "_stext" in details.inner_text()
    for name, proof in (
        ("Walk", ".result[data-pa]"),
        ("Tables", ".node.here"),
        ("Map", ".selected line"),
    ):
        details.get_by_role("button", name=name).click()
        page.wait_for_selector(proof, state="attached")
    page.go_back()
    assert page.locator("main").get_attribute("data-view") == "tables"


def test_search_knows_ranges_conditions_and_regions(page, file):
    show(page, file, view="map", machine=7)
    for asked, said in (
        ("0xffff000000000000-0xffff000000200000", "range on the map"),
        ("vmemmap", "region of the layout"),
        ("w and x", "condition: 0 ranges"),
        ("x and not user", "condition: 4 ranges"),
        ("0x40210000", "physical address"),
        ("no such thing", None),
    ):
        page.fill("#search", asked)
        if said is None:
            assert page.locator(".search .nothing").count() == 1
        else:
            assert said in page.locator("#hits").inner_text(), asked
    page.fill("#search", "x and not user")
    page.keyboard.press("Enter")
    assert page.locator("svg .faint").count() > 3
    page.get_by_role("button", name="show all").click()
    assert page.locator("svg .faint").count() == 0


def test_the_keyboard_is_enough(page, file):
    show(page, file, view="map", machine=7)
    page.keyboard.press("/")
    page.keyboard.type("0xffff000000000000")
    page.keyboard.press("Enter")
    page.locator(".canvas").focus()
    page.keyboard.press("ArrowUp")
    first = re.search(r"va=(0x\w+)", page.url)[1]
    page.keyboard.press("ArrowDown")
    assert re.search(r"va=(0x\w+)", page.url)[1] < first
    page.keyboard.press("Enter")
    page.wait_for_selector(".result[data-pa]")


def test_pictures_and_tables_are_saved(page, file, boot):
    show(page, file, view="map", machine=7)
    name, svg = saved(page, page.get_by_role("button", name="SVG").click)
    assert name == "map-kernel.svg" and svg.startswith(b"<svg") and b"Linear Mapping" in svg
    page.goto("about:blank")
    page.set_content(f"<body>{svg.decode()}</body>")  # it stands on its own
    assert page.locator("svg text").count() > 20
    show(page, file, view="map", machine=7)
    name, png = saved(page, page.get_by_role("button", name="PNG").click)
    assert name == "map-kernel.png" and png.startswith(b"\x89PNG") and len(png) > 10_000
    show(page, file, view="walk", machine=7, va=hex(TEXT))
    name, text = saved(page, page.locator(".save").get_by_role("button", name="CSV").click)
    steps = list(csv.DictReader(io.StringIO(text.decode())))
    assert name == f"walk-{TEXT:#x}.csv" and {row["level"] for row in steps} == set("0123")
    show(page, file, view="boot")
    table = page.locator(".data", has_text="Events")
    name, text = saved(page, table.get_by_role("button", name="CSV").click)
    rows = list(csv.DictReader(io.StringIO(text.decode())))
    assert name == "events.csv"
    assert [row["start"] for row in rows] == [hex(event.start) for event in boot.events]


def test_a_hostile_name_is_text(page, file):
    show(page, file, view="machine", machine=8)
    assert "onerror" in page.inner_text("h1")
    page.fill("#search", "onerror")
    assert "onerror=document" in page.get_by_role("option").first.inner_text()
    page.keyboard.press("Enter")
    assert "onerror=document" in page.get_by_role("complementary").inner_text()
    assert page.locator("img").count() == 0
    assert "owned" not in page.title().replace(HOSTILE.split("\u2028", maxsplit=1)[0], "")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible(page, file, view, shoot):
    for width in (None, PHONE):
        if width:
            page.set_viewport_size(width)
        for theme, language in (("light", "en"), ("dark", "zh")):
            page.goto("about:blank")
            show(page, file, view=view, machine=7, va=hex(TEXT), theme=theme, lang=language)
            shoot(f"{view}-{'phone' if width else 'desktop'}-{theme}-{language}")
            wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide[0] <= wide[1]
            if AXE.is_file() and (theme == "dark") == bool(width):
                page.evaluate(AXE.read_text("utf-8"))
                found = page.evaluate("axe.run().then(found => found.violations)")
                serious = [each for each in found if each["impact"] in ("serious", "critical")]
                assert not serious, [(each["id"], each["help"]) for each in serious]
    if not AXE.is_file():
        pytest.skip("axe is absent (npm ci in web/)")
