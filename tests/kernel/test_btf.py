"""BTF: members by name, through unnamed ones; and bytes that are none."""

import pytest
from btf_file import BtfFile
from hypothesis import given
from hypothesis import strategies as st

from ttbr.errors import InputError
from ttbr.kernel.btf import Btf
from ttbr.kernel.types import Member


def small():
    made = BtfFile()
    word = made.integer("unsigned long", 8)
    char = made.integer("char", 1)
    name = made.array(char, 16)
    to = made.pointer(0)
    inner = made.struct("", 16, [("next", to, 0), ("prev", to, 64)])
    node = made.struct("list_head", 16, [("next", to, 0), ("prev", to, 64)])
    alias = made.typedef("node_t", node)
    made.struct(
        "task_struct",
        64,
        [("flags", word, 0), ("", inner, 64), ("node", alias, 192), ("comm", name, 320)],
    )
    made.struct("bits", 8, [("low", word, 3 << 24), ("high", word, 5 << 24 | 3)], fields=True)
    made.enum("state", {"RUNNING": 0, "DEAD": -1})
    return made


def test_members():
    btf = Btf(small().bytes(), 8)
    assert btf.size("task_struct") == 64
    assert btf.member("task_struct", "comm") == Member(40, 16, 16, 320)
    assert btf.member("task_struct", "prev") == Member(16, 8, 1, 128)
    assert btf.member("task_struct", "node.prev") == Member(32, 8, 1, 256)
    assert btf.member("bits", "high") == Member(0, 8, 1, 3, 5)
    assert btf.member("task_struct", "nothing") is None
    assert btf.member("nothing", "comm") is None
    assert btf.enumerators("state") == {"RUNNING": 0, "DEAD": -1}
    assert btf.enumerator("DEAD") == -1


def test_a_type_that_contains_itself_ends():
    made = BtfFile()
    made.struct("a", 8, [("", 1, 0)])
    made.typedef("b", 2)
    made.struct("c", 8, [("x", 2, 0)])
    btf = Btf(made.bytes(), 8)
    assert btf.member("a", "x") is None
    assert btf.member("c", "x") == Member(0, 0)


def test_no_btf_is_refused():
    with pytest.raises(InputError, match="not BTF"):
        Btf(b"\x9f\xeb\x01\0", 8)


@given(st.integers(24, 400), st.binary(min_size=1, max_size=16))
def test_damaged_types_do_no_harm(at, junk):
    data = bytearray(small().bytes())
    data[at : at + len(junk)] = junk[: max(0, len(data) - at)]
    btf = Btf(bytes(data), 8)
    for path in ("comm", "node.prev", "flags"):
        btf.member("task_struct", path)
    btf.size("task_struct")
    btf.enumerator("DEAD")
    assert isinstance(btf.enumerators("state"), dict)
