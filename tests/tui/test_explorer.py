"""The explorer by its keys: zoom to a page, walk an address, open tables, and on between them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from model_images import booted
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static, TabbedContent, Tree

from ttbr.mmu.image import Image, ImageFacts
from ttbr.recover.translate import Translator
from ttbr.report.translation import translation_json
from ttbr.report.zoom import PAGE_BITS, Window
from ttbr.tui.app import Explorer
from ttbr.tui.explored import Explored
from ttbr.tui.map_view import MapView
from ttbr.tui.tables_view import TablesView
from ttbr.tui.walk_view import WalkView

TEXT = {"arm64": 0xFFFF800008010000, "arm": 0xC0300000}
PAGE = 1 << PAGE_BITS


@pytest.fixture(scope="module", params=["arm64", "arm32"])
def either(request: pytest.FixtureRequest) -> Image:
    return booted(request.param).images["mm_init"]


@pytest.fixture(scope="module")
def image() -> Image:
    return booted("arm64").images["mm_init"]


def explore(image: Image, steps: Callable[[Pilot, Explorer], Awaitable[None]]) -> None:
    """Run the explorer without a terminal, and the steps on it."""

    async def run() -> None:
        app = Explorer(Explored("image.elf", image, "kernel"))
        async with app.run_test(size=(140, 40)) as pilot:
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(run())


def rows(app: Explorer) -> list[list[str]]:
    table = app.query_one(DataTable)
    return [[str(cell) for cell in table.get_row_at(n)] for n in range(table.row_count)]


def answer(app: Explorer) -> str:
    return str(app.query_one("#answer", Static).content)


def labels(tree: Tree) -> list[str]:
    """The text of all nodes of a tree that are there, from the top."""
    found: list[str] = []

    def go(node) -> None:
        for child in node.children:
            found.append(str(child.label))
            go(child)

    go(tree.root)
    return found


def test_the_map_zooms_from_the_whole_space_to_a_page(either):
    async def steps(pilot, app):
        view = app.query_one(MapView)
        assert view.window == app.space.whole
        mapped = app.space.mappings.mapped_bytes
        assert sum(band.mapped for band in app.space.zoom.bands(view.window)) == mapped
        for _ in range(20):
            bands = list(reversed(app.space.zoom.bands(view.window)))
            row = next(n for n, band in enumerate(bands) if band.mapped)
            app.query_one(DataTable).move_cursor(row=row)
            before = view.window
            await pilot.press("enter")
            assert view.window == before.inside(bands[row].start)
            if view.window == before:
                break
        assert view.window.step == PAGE
        share = [row[1].count("█") for row in rows(app)]
        assert max(share) == 12  # a page is mapped or not
        while view.window != app.space.whole:
            smaller = view.window
            await pilot.press("minus")
            assert view.window.start <= smaller.start <= view.window.last
            assert view.window.size > smaller.size

    explore(either, steps)


def test_the_map_goes_on_beside(image):
    async def steps(pilot, app):
        view = app.query_one(MapView)
        await pilot.press("ctrl+end", "enter")  # the last row: the bottom of the space
        lowest = view.window
        assert lowest.start == app.space.whole.start
        await pilot.press("right_square_bracket")
        assert view.window.start == lowest.last + 1
        await pilot.press("left_square_bracket", "left_square_bracket")
        assert view.window == lowest  # there is nothing below
        await pilot.press("a")
        assert view.window == app.space.whole

    explore(image, steps)


def test_a_walk_is_that_of_the_command(either):
    va = TEXT[either.arch]

    async def steps(pilot, app):
        await pilot.press("g", *hex(va), "enter")
        walk = app.query_one(WalkView)
        assert walk.answer == translation_json(Translator(either).translate(va))
        assert f"-> {walk.answer['pa']}" in answer(app)
        shown = labels(app.query_one("WalkView Tree", Tree))
        for step in walk.answer["steps"]:
            assert any(step["descriptor"] in line and step["table"] in line for line in shown)
            for field in step["fields"]:
                assert any(field["name"] in line and field["text"] in line for line in shown)

    explore(either, steps)


def test_a_fault_and_what_is_no_address(image):
    async def steps(pilot, app):
        await pilot.press("g", *"0x10", "enter")
        assert "fault" in answer(app)
        await pilot.press("g", *"nonsense", "enter")
        assert "neither an address" in answer(app)

    explore(image, steps)


def test_a_symbol_is_walked(image):
    async def steps(pilot, app):
        await pilot.press("g", *"_end", "enter")
        assert app.query_one(WalkView).va == image.facts.symbols["_end"]

    explore(image, steps)


def test_from_the_map_to_the_walk(image):
    async def steps(pilot, app):
        view = app.query_one(MapView)
        bands = list(reversed(app.space.zoom.bands(view.window)))
        row = next(n for n, band in enumerate(bands) if band.mapped)
        app.query_one(DataTable).move_cursor(row=row)
        await pilot.press("w")
        assert app.query_one(TabbedContent).active == "walk"
        assert app.query_one(WalkView).answer["pa"] == hex(bands[row].pa)
        assert app.query_one("#address", Input).value == app.space.text(bands[row].va)

    explore(image, steps)


def test_the_tables_open_and_lead_to_the_map(either):
    tables = either.address_space("kernel").mappings().tables

    async def steps(pilot, app):
        await pilot.press("3")
        tree = app.query_one(TablesView).tree_view
        opened = set()
        while left := [n for n in _nodes(tree) if n.allow_expand and n not in opened]:
            for node in left:
                node.expand()
                opened.add(node)
            await pilot.pause()
        found = sorted((n.data.pa, n.data.va) for n in _nodes(tree) if n.data is not None)
        assert found == sorted(zip(tables.address.tolist(), tables.va.tolist(), strict=True))
        assert all(n.data.used <= n.data.entries for n in _nodes(tree) if n.data is not None)
        await pilot.press("down", "down", "m")
        node = tree.cursor_node.data
        assert app.query_one(TabbedContent).active == "map"
        window = app.query_one(MapView).window
        assert window == Window.around(node.va, node.va + node.span - 1)

    explore(either, steps)


def _nodes(tree: Tree) -> list:
    found, left = [], [tree.root]
    while left:
        node = left.pop()
        found += node.children
        left += node.children
    return found


def test_the_next_root(image):
    async def steps(pilot, app):
        assert app.sub_title == "kernel"
        await pilot.press("r")
        assert app.sub_title == "user"
        assert app.query_one(MapView).window == app.space.whole
        await pilot.press("r")
        assert app.sub_title == "kernel"

    explore(image, steps)


def test_the_keys_are_shown(image):
    async def steps(pilot, app):
        await pilot.press("question_mark")
        await pilot.pause()
        assert app.query("HelpPanel")
        await pilot.press("question_mark")
        await pilot.pause()
        assert not app.query("HelpPanel")

    explore(image, steps)


def test_hostile_names_are_text(image):
    hostile = "[red]\x1b[31m\u202e[/nothing]"
    names = {"markers": ((image.facts.markers[0][0], f"{hostile} start"),)}
    facts = ImageFacts(arch=image.arch, symbols={hostile: 1}, **names)

    async def steps(pilot, app):
        regions = {row[3] for row in rows(app)}
        assert any("[red]\\x1b[31m" in name for name in regions)
        await pilot.press("2", "enter")

    explore(Image(image.memory, image.registers, facts), steps)
