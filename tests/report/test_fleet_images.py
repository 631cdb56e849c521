"""Which images a fleet is made of: patterns, what belongs to each, and when one has changed."""

import os

import fsspec
import pytest

from ttbr.errors import InputError
from ttbr.report.fleet.images import find_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.raw", "a.raw", "sub/c.raw", "other.elf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1234")
    return tmp_path


def test_patterns(folder):
    found = find_images(["*.raw", "a.raw", "gone.elf", f"{folder}/**/*.raw"])
    names = [image.name for image in found]
    assert names == [str(folder / name) for name in ("a.raw", "b.raw", "gone.elf", "sub/c.raw")]
    assert [image.size for image in found] == [4, 4, None, 4]
    assert len({image.id for image in found}) == 4
    assert found[0].id.startswith("a.raw-")
    assert find_images(["./sub/../a.raw"])[0].id == found[0].id
    with pytest.raises(InputError, match=r"\*.none: there is no such file"):
        find_images(["*.none"])


def test_a_file_with_a_patterns_name(folder):
    (folder / "x[1],*.elf").write_bytes(b"")
    (image,) = find_images(["x[1],*.elf"])
    assert image.spec == str(folder / "x[1],*.elf")


def test_what_belongs_to_an_image(folder):
    pattern = "*.raw@{dir}/{stem}.json,{dir}/{stem}.high@0x80000000"
    first, second = find_images([pattern], "{dir}/{name}.regs")
    assert first.spec == (f"{folder}/a.raw@{folder}/a.json,{folder}/a.high@0x80000000")
    assert (first.registers, first.size) == (f"{folder}/a.raw.regs", None)
    (folder / "b.high").write_bytes(b"12")
    assert find_images([pattern])[1].size == 6
    assert find_images(["a.raw@0x1000"])[0].spec == f"{folder}/a.raw@0x1000"
    assert find_images(["a.raw"], "TTBR1_EL1=0x1000")[0].registers == "TTBR1_EL1=0x1000"
    assert second.id != first.id


def test_what_changes_an_image(folder):
    def print_of(pattern="a.raw@{dir}/{stem}.json", registers="{stem}.regs"):
        (image,) = find_images([pattern], registers)
        return image.fingerprint

    seen = [print_of()]
    assert print_of() == seen[0]
    for name in ("a.raw", "a.json", "a.regs"):
        (folder / name).write_bytes(b"more of it")
        seen.append(print_of())
        os.utime(folder / name, ns=(1, 1))
        seen.append(print_of())
    seen += [print_of("a.raw"), print_of("a.raw@0"), print_of("a.raw@1"), print_of("a.raw", "A=1")]
    assert len(set(seen)) == len(seen)


def test_urls():
    files = fsspec.filesystem("memory")
    for name in ("/x/b?.elf", "/x/a.elf", "/x/y/c.elf"):
        files.pipe(name, b"123")
    try:
        found = find_images(["memory://x/*.elf"], "memory://x/{stem}.json")
        assert [image.spec for image in found] == ["memory:///x/a.elf", "memory:///x/b?.elf"]
        assert [image.size for image in found] == [3, 3]
        deep = find_images(["memory://x/**/c.elf@0x10"])
        assert [image.spec for image in deep] == ["memory:///x/y/c.elf@0x10"]
        assert find_images(["memory://x/b?.elf"])[0].size == 3
        before = find_images(["memory://x/a.elf"])[0].fingerprint
        files.pipe("/x/a.elf", b"1234")
        assert find_images(["memory://x/a.elf"])[0].fingerprint != before
        with pytest.raises(InputError, match="there is no such file"):
            find_images(["memory://x/*.none"])
        assert find_images(["memory://x/none"])[0].size is None
    finally:
        files.rm("/x", recursive=True)
    with pytest.raises(InputError, match=r"nothing-known://x/\*: cannot be read: Protocol"):
        find_images(["nothing-known://x/*"])


def test_names_that_are_no_text(folder):
    name = b"\xff\n\x1b[2J.elf".decode("utf-8", "surrogateescape")
    (folder / name).write_bytes(b"")
    (image,) = find_images(["*2J.elf"])
    assert image.id.startswith("____2J.elf-")
    assert image.name == str(folder / name)
