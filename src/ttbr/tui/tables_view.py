"""The tables: a tree from the root, each opened when it is asked for."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from ttbr.format import about, counted
from ttbr.report.table_tree import TableNode
from ttbr.tui.explored import Space


class TablesView(Vertical):
    """A line for each table: what it covers, how full it is, where else it is used."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("m", "map", "on the map")]

    class Map(Message):
        """A table is to be shown on the map."""

        def __init__(self, va: int, span: int) -> None:
            super().__init__()
            self.va, self.span = va, span

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def compose(self) -> ComposeResult:
        """The tree."""
        tree: Tree[TableNode] = Tree("tables")
        tree.show_root = False
        yield tree

    def on_mount(self) -> None:
        """Show the root."""
        self.show(self.space)

    def show(self, space: Space) -> None:
        """The tables of a space, its root opened."""
        self.space = space
        self.tree_view.clear()
        root = space.tree.root()
        if root is None:
            self.tree_view.root.add_leaf("memory does not hold the root table")
            return
        self._add(self.tree_view.root, root).expand()

    @property
    def tree_view(self) -> Tree[TableNode]:
        """The widget."""
        return self.query_one(Tree)

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[TableNode]) -> None:
        """Read the tables below, once."""
        node = event.node
        if node.data is None or node.children:
            return
        children, more = self.space.tree.children(node.data)
        for child in children:
            self._add(node, child)
        if more:
            node.add_leaf(f"and {counted(more, 'table')} more")

    def action_map(self) -> None:
        """Show what the table under the cursor covers."""
        node = self.tree_view.cursor_node
        if node is not None and node.data is not None:
            self.post_message(self.Map(node.data.va, node.data.span))

    def _add(self, parent: TreeNode[TableNode], table: TableNode) -> TreeNode[TableNode]:
        return parent.add(self._label(table), table, allow_expand=table.tables > 0)

    def _label(self, table: TableNode) -> Text:
        used = f"{table.used}/{table.entries} entries"
        inner = f", {counted(table.tables, 'table')}" if table.tables else ""
        shared = f", used in {table.places} places" if table.places > 1 else ""
        return Text(
            f"L{table.level} {table.pa:#x}  {self.space.text(table.va)}  {about(table.span):>9}  "
            f"{used}{inner}{shared}, {about(table.size)}"
        )
