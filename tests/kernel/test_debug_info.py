"""Types that a user gives: a BTF file, and a vmlinux with DWARF, instead of what an image has."""

import shutil
import subprocess

import pytest

from ttbr.errors import InputError
from ttbr.kernel.debug_info import open_types

SOURCE = """
struct list_head { struct list_head *next, *prev; };
enum state { RUNNING = 3, DEAD = 7 };
struct task_struct {
    unsigned long flags;
    union { int low; struct { short a; short b; }; };
    struct list_head tasks;
    char comm[16];
    enum state state;
    unsigned int one : 3, two : 5;
} task;
"""


@pytest.fixture(scope="module")
def vmlinux(tmp_path_factory):
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip("aarch64-linux-gnu-gcc is absent (Debian: gcc-aarch64-linux-gnu)")
    folder = tmp_path_factory.mktemp("dwarf")
    (folder / "a.c").write_text(SOURCE)
    subprocess.run([compiler, "-g", "-c", "a.c", "-o", "vmlinux"], cwd=folder, check=True)
    return folder / "vmlinux"


def test_dwarf(vmlinux):
    types = open_types(vmlinux, 8)
    assert types.size("task_struct") == 56
    members = {
        path: types.member("task_struct", path) for path in ("flags", "b", "tasks.prev", "comm")
    }
    assert {path: member.offset for path, member in members.items()} == {
        "flags": 0,
        "b": 10,
        "tasks.prev": 24,
        "comm": 32,
    }
    assert (members["comm"].size, members["comm"].count) == (16, 16)
    two = types.member("task_struct", "two")
    assert (two.bit, two.bits) == (8 * 52 + 3, 5)
    assert types.enumerators("state") == {"RUNNING": 3, "DEAD": 7}
    assert types.enumerator("DEAD") == 7
    assert types.member("task_struct", "nothing") is None
    assert types.member("nothing", "a") is None
    assert types.size("nothing") is None


def test_no_types(tmp_path):
    (tmp_path / "elf").write_bytes(b"\x7fELF" + bytes(100))
    with pytest.raises(InputError, match="elf"):
        open_types(tmp_path / "elf", 8)
