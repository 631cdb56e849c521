"""What the device tree takes as nodes in memory."""

import pytest
from machines import board_tree, kernel, machine

from device_trees import Tree, blob, cells
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.machine import Machine
from ttbr.boot.unflatten import of_alias_scan, unflatten_device_tree, unflattened_size

NODE, PROPERTY, ALIAS = 208, 104, 40


def there(tree: Tree, **options: str) -> Machine:
    made = machine(board_tree(), kernel(**({"OF_KOBJ": "y"} | options)))
    made.tree = DeviceTree.parse(blob(tree))
    made.memblock.add(1 << 30, 1 << 30, "f")
    return made


def taken(made: Machine) -> list[int]:
    function = "early_init_dt_alloc_memory_arch"
    return [e.end - e.start + 1 for e in made.log if e.detail.endswith(function)]


def test_a_root_and_a_child() -> None:
    # Names lie behind their nodes, and a property named name behind the others.
    made = there(("", {"a": b"1", "b": b""}, [("cpu@10", {"name": b"x\0"}, [])]))
    root = -(-(NODE + 1) // 8) * 8 + 2 * PROPERTY + PROPERTY + 1
    child = NODE + len("cpu@10") + 1
    assert unflattened_size(made) == -(-(-(-root // 8) * 8 + child) // 8) * 8 + PROPERTY


@pytest.mark.parametrize(("name", "length"), [("cpu@1", 4), ("a@b@c", 4), ("plain", 6), ("@1", 1)])
def test_a_name_is_made_of_what_is_before_the_last_at(name: str, length: int) -> None:
    with_name = unflattened_size(there(("", {}, [(name, {"name": b"x\0"}, [])])))
    made_up = unflattened_size(there(("", {}, [(name, {}, [])])))
    assert made_up - with_name == length


def test_without_objects_disabled_nodes_are_left_out() -> None:
    tree = ("", {}, [("a", {"status": b"disabled\0"}, []), ("b", {}, [])])
    assert unflattened_size(there(tree, OF_KOBJ="n")) == unflattened_size(
        there(("", {}, [("b", {}, [])]), OF_KOBJ="n")
    )
    assert unflattened_size(there(tree)) > unflattened_size(there(("", {}, [("b", {}, [])])))


def test_nodes_that_are_too_deep_are_left_out() -> None:
    def nested(depth: int) -> Tree:
        return ("n", {}, [nested(depth - 1)] if depth else [])

    sizes = [unflattened_size(there(("", {}, [nested(depth)]))) for depth in (60, 61, 62)]
    assert sizes[0] < sizes[1] == sizes[2]


def test_the_tree_is_one_allocation_with_a_mark_behind() -> None:
    made = there(board_tree())
    size = -(-unflattened_size(made) // 4) * 4 + 4
    unflatten_device_tree(made)
    assert taken(made) == [size]
    assert made.memblock.reserved.list[-1].base % 8 == 0


def aliases(**properties: bytes) -> Tree:
    soc = ("soc", {}, [("uart@1", {}, []), ("i2c", {}, [])])
    return board_tree(soc, ("aliases", properties, []))


@pytest.mark.parametrize(
    ("properties", "stems"),
    [
        ({"serial0": b"/soc/uart@1\0"}, ["serial"]),
        ({"serial0": b"/soc/uart@1:115200n8\0"}, ["serial"]),
        ({"serial0": b"/soc/uart\0"}, []),  # names count whole
        ({"serial": b"/soc/uart@1\0"}, []),
        ({"serial99999999999": b"/soc/uart@1\0"}, []),
        ({"i2c12": b"/soc/i2c\0", "bus7": b"i2c12\0"}, ["i2c", "bus"]),
        ({"root1": b"/\0", "none1": b"\0", "slash1": b"/soc/\0"}, ["root"]),
        ({"soc1": b"/soc\0", "child2": b"soc1/i2c\0"}, ["soc", "child"]),
        ({"a1": b"b1\0", "b1": b"a1\0"}, []),
        ({"phandle": cells(1), "name": b"aliases\0"}, []),
    ],
)
def test_aliases_that_end_in_a_number(properties: dict[str, bytes], stems: list[str]) -> None:
    made = there(aliases(**properties))
    of_alias_scan(made)
    assert taken(made) == [ALIAS + len(stem) + 1 for stem in stems]


def test_a_tree_without_aliases() -> None:
    made = there(board_tree())
    of_alias_scan(made)
    assert not taken(made)
