"""The explorer: map, walk and tables of an image, each leading to the others."""

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Header, Input, TabbedContent, TabPane

from ttbr.errors import TtbrError
from ttbr.report.hostile import shown, visible
from ttbr.report.zoom import Window
from ttbr.tui.explored import Explored, Space
from ttbr.tui.map_view import MapView
from ttbr.tui.tables_view import TablesView
from ttbr.tui.walk_view import WalkView

MAP, WALK, TABLES = "map", "walk", "tables"


class Explorer(App[None]):
    """One image; ``space`` is what map and tables show."""

    CSS = """
    #window, #answer { padding: 0 1; }
    MapView DataTable, WalkView Tree, TablesView Tree { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", f"tab('{MAP}')", "map"),
        Binding("2", f"tab('{WALK}')", "walk"),
        Binding("3", f"tab('{TABLES}')", "tables"),
        Binding("g", "address", "go to address"),
        Binding("r", "next_root", "next root"),
        Binding("question_mark", "keys", "keys"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, explored: Explored) -> None:
        super().__init__()
        self.explored = explored
        self.space: Space = explored.space(explored.roots[0])
        self.title = shown(explored.name)

    def compose(self) -> ComposeResult:
        """The three views as tabs."""
        yield Header()
        with TabbedContent(initial=MAP):
            with TabPane("Map", id=MAP):
                yield MapView(self.space)
            with TabPane("Walk", id=WALK):
                yield WalkView(self.explored)
            with TabPane("Tables", id=TABLES):
                yield TablesView(self.space)
        yield Footer()

    def on_mount(self) -> None:
        """The keyboard belongs to the map."""
        self.sub_title = self.space.name
        self.action_tab(MAP)

    def action_tab(self, name: str) -> None:
        """Show a view, and give it the keyboard."""
        self.query_one(TabbedContent).active = name
        first = {MAP: "MapView DataTable", WALK: "#address", TABLES: "TablesView Tree"}
        self.query_one(first[name]).focus()

    def action_address(self) -> None:
        """Ask for an address."""
        self.action_tab(WALK)
        self.query_one("#address", Input).value = ""

    def action_keys(self) -> None:
        """Show or hide the list of all keys."""
        if self.query("HelpPanel"):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()

    def action_next_root(self) -> None:
        """Show the space of the next root."""
        roots = self.explored.roots
        root = roots[(roots.index(self.space.name) + 1) % len(roots)]
        try:
            self.space = self.explored.space(root)
        except TtbrError as error:
            self.notify(visible(str(error)), severity="error", markup=False)
            return
        self.sub_title = self.space.name
        self.query_one(MapView).show(self.space, self.space.whole)
        self.query_one(TablesView).show(self.space)

    def on_map_view_walk(self, event: MapView.Walk) -> None:
        """From the map to the walk."""
        self.action_tab(WALK)
        self.query_one("#address", Input).value = self.space.text(event.va)
        walk = self.query_one(WalkView)
        walk.walk(event.va)
        walk.action_steps()

    def on_tables_view_map(self, event: TablesView.Map) -> None:
        """From a table to the map."""
        window = Window.around(event.va, event.va + event.span - 1)
        self.query_one(MapView).show(self.space, window)
        self.action_tab(MAP)
