"""The map: a window of the space in bands, from all of it to single pages."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import DataTable, Static

from ttbr.format import about
from ttbr.report.boxes import COLOURS, purpose
from ttbr.report.zoom import Band, Window
from ttbr.tui.explored import Space

_BAR = 12


class MapView(Vertical):
    """Bands of a window, the top of the space first; the cursor chooses where to zoom in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,plus", "zoom_in", "zoom in"),
        Binding("minus,backspace", "zoom_out", "zoom out"),
        Binding("left_square_bracket", "beside(-1)", "down"),
        Binding("right_square_bracket", "beside(1)", "up"),
        Binding("a", "whole", "all of it"),
        Binding("w", "walk", "walk here"),
    ]

    class Walk(Message):
        """An address is to be walked."""

        def __init__(self, va: int) -> None:
            super().__init__()
            self.va = va

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.window = space.whole

    def compose(self) -> ComposeResult:
        """A line about the window, and its bands."""
        yield Static(id="window", markup=False)
        table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=False)
        table.add_columns("address", "share", "mapped", "region", "attributes", "pa")
        yield table

    def on_mount(self) -> None:
        """Show the whole space."""
        self.show(self.space, self.window)

    def show(self, space: Space, window: Window, at: int | None = None) -> None:
        """Show a window, with the cursor on the band of the address ``at``."""
        self.space, self.window = space, window
        table = self._table
        table.clear()
        bands = space.zoom.bands(window)
        for band in reversed(bands):
            table.add_row(*self._cells(band))
        words = f"{space.name}: {space.text(window.start)}-{space.text(window.last)}"
        self.query_one("#window", Static).update(
            f"{words}  {about(window.size)}, a row is {about(window.step)}"
        )
        if at is not None and window.start <= at <= window.last:
            table.move_cursor(row=len(bands) - 1 - (at - window.start) // window.step)

    def go_to(self, space: Space, va: int) -> None:
        """The smallest window around an address."""
        window = space.whole
        if window.start <= va <= window.last:
            while window.inside(va) != window:
                window = window.inside(va)
        self.show(space, window, va)

    @property
    def chosen(self) -> int:
        """The first address of the band under the cursor."""
        row = max(0, self._table.cursor_row)
        count = self.window.size // self.window.step
        return self.window.start + (count - 1 - row) * self.window.step

    def action_zoom_in(self) -> None:
        """The window of the band under the cursor."""
        self.show(self.space, self.window.inside(self.chosen), self.chosen)

    def on_data_table_row_selected(self) -> None:
        """Enter, which the table takes for itself."""
        self.action_zoom_in()

    def action_zoom_out(self) -> None:
        """The window around this one."""
        before = self.window.start
        self.show(self.space, self.window.outside(self.space.whole), before)

    def action_beside(self, steps: int) -> None:
        """The next window of this size, up or down."""
        self.show(self.space, self.window.beside(steps, self.space.whole))

    def action_whole(self) -> None:
        """All of the space."""
        self.show(self.space, self.space.whole)

    def action_walk(self) -> None:
        """Walk the tables for the first address of the band that is mapped, if any is."""
        band = self.space.zoom.bands(self.window)[-1 - max(0, self._table.cursor_row)]
        self.post_message(self.Walk(band.va))

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one(DataTable)

    def _cells(self, band: Band) -> tuple[Text, ...]:
        full = round(band.share * _BAR) or (1 if band.mapped else 0)
        colour = COLOURS.get(purpose(band.region), "")
        return (
            Text(self.space.text(band.start)),
            Text("█" * full + "·" * (_BAR - full), colour),
            Text(about(band.mapped) if band.mapped else "-", justify="right"),
            Text(band.region, colour),
            Text(band.attributes or ""),
            Text("" if band.pa is None else f"{band.pa:#x}"),
        )
