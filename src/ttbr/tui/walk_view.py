"""The walk: an address is typed, and each descriptor on its way is shown with its fields."""

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static, Tree

from ttbr.errors import TtbrError
from ttbr.report.hostile import visible
from ttbr.report.translation import answer_lines, translation_json
from ttbr.tui.explored import Explored


class WalkView(Vertical):
    """An input for addresses and symbols, the answer, and the steps as a tree."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "steps", "leave the input")]

    def __init__(self, explored: Explored) -> None:
        super().__init__()
        self.explored = explored
        self.va: int | None = None
        self.answer: dict[str, Any] | None = None

    def compose(self) -> ComposeResult:
        """The input above, the steps below."""
        yield Input(placeholder="address (0x… or decimal) or symbol", id="address")
        yield Static(id="answer", markup=False)
        steps: Tree[None] = Tree("steps")
        steps.show_root = False
        yield steps

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Walk what was typed."""
        try:
            va = self.explored.place(event.value)
        except TtbrError as error:
            self.query_one(Tree).clear()
            self._say(str(error))
            return
        self.walk(va)
        self.action_steps()

    def action_steps(self) -> None:
        """The keyboard belongs to the steps: letters are keys again."""
        self.query_one(Tree).focus()

    def walk(self, va: int) -> None:
        """Show the walk for an address."""
        self.va = va
        tree = self.query_one(Tree)
        tree.clear()
        try:
            found = self.explored.translate(va)
        except TtbrError as error:
            self.answer = None
            self._say(str(error))
            return
        self.answer = translation_json(found)
        self._say("\n".join(answer_lines(found)))
        for step in found.hardware.steps:
            label = (
                f"level {step.level}: table {step.table:#x} [{step.index}] at {step.address:#x}: "
                f"{step.descriptor:#x} {step.kind.name.lower()}"
            )
            node = tree.root.add(Text(label), expand=True)
            for row in step.fields:
                line = f"{row.bits:>8} {row.name:<20} {row.value:#x}  {row.text}"
                node.add_leaf(Text(line))
        tree.root.expand()

    def _say(self, text: str) -> None:
        self.query_one("#answer", Static).update(visible(text, "\n"))
