"""Dumps that QEMU and makedumpfile wrote: the same memory and mappings as the raw memory has.

Those in tests/fixtures/dumps come with the tests (make_dumps.py there says how they were made);
where QEMU and makedumpfile are installed, they write fresh ones.
"""

import lzma
import shutil
import subprocess

import guest_memory
import pytest
import qemu_dump
from guest_memory import DUMPS

from ttbr.memory.open import open_memory
from ttbr.memory.physical import Bank
from ttbr.recover.open import open as open_image

MAKEDUMPFILE = sorted(
    path.name.removesuffix(".xz")
    for path in DUMPS.glob("makedumpfile-*")
    if "split" not in path.name
)
QEMU = [(arch, form) for arch in qemu_dump.MACHINES for form in qemu_dump.FORMATS]


def test_all_dumps_are_there():
    assert len(MAKEDUMPFILE) == 9
    assert len(list(DUMPS.glob("qemu-*"))) == 2 * 5


@pytest.mark.parametrize("name", MAKEDUMPFILE)
def test_makedumpfile(name, guest, same_mappings, say):
    spec = str(DUMPS / f"{name}.xz")
    opened = open_memory(spec)
    assert opened.memory.banks == (Bank(guest_memory.BASE, guest_memory.SIZE),)
    assert opened.memory.read(guest_memory.BASE, guest_memory.SIZE) == guest_memory.memory()
    count = same_mappings(spec, guest, "arm64")
    say(f"{name} of makedumpfile 1.7.9: {guest_memory.SIZE} bytes, {count} mappings equal")


def test_a_split_set(guest, same_mappings, unpacked, tmp_path):
    parts = [str(DUMPS / f"makedumpfile-split-{number}.xz") for number in range(2)]
    for spec in (",".join(parts), ",".join(reversed(parts))):
        memory = open_memory(spec).memory
        assert memory.banks == (Bank(guest_memory.BASE, guest_memory.SIZE),)
        assert memory.read(guest_memory.BASE, guest_memory.SIZE) == guest_memory.memory()
        same_mappings(spec, guest, "arm64")
    # One alone has its own part of the memory.
    banks = [open_memory(part).memory.banks for part in parts]
    assert banks[0][0].end == banks[1][0].base


@pytest.mark.parametrize("name", ["makedumpfile-zlib", "makedumpfile-elf"])
def test_notes_of_a_crashed_kernel(name):
    image = open_image(str(DUMPS / f"{name}.xz"))
    assert image.facts.arch == "arm64"
    assert image.facts.vmcoreinfo["OSRELEASE"] == "6.12.0"
    assert image.facts.roots == {"swapper_pg_dir": guest_memory.ARM64_ROOT}
    assert image.registers["x30"] == 30
    assert image.registers["pc"] == 0xFFFFFFC080000040
    assert image.registers["sp"] == 0xFFFFFFC080010000


@pytest.mark.parametrize(("arch", "form"), QEMU)
def test_qemu(arch, form, same_mappings, say):
    spec = str(DUMPS / f"qemu-{arch}-{form}.xz")
    raw = f"{DUMPS / f'qemu-{arch}-raw.xz'}@{qemu_dump.BASE:#x}"
    bank = Bank(qemu_dump.BASE, qemu_dump.SIZE)
    image = open_image(spec)
    assert image.memory.banks == (bank,)
    assert image.memory.read(*_place(bank)) == open_memory(raw).memory.read(*_place(bank))
    assert image.facts.arch == arch
    assert image.registers["pc"] == 0
    count = same_mappings(spec, raw, arch)
    say(f"{form} of {arch} by QEMU 7.2: {bank.size} bytes, {count} mappings equal")


@pytest.fixture(scope="module", params=list(qemu_dump.MACHINES))
def fresh(request, tmp_path_factory):
    """The dumps of an architecture, written now."""
    if shutil.which(qemu_dump.MACHINES[request.param][0]) is None:
        pytest.skip("QEMU is absent: no fresh dumps (Debian: qemu-system-arm)")
    folder = tmp_path_factory.mktemp("qemu")
    data = guest_memory.tables()
    return request.param, qemu_dump.dump(request.param, guest_memory.TABLES_AT, data, folder)


def test_fresh_from_qemu(fresh, same_mappings, say):
    """In each format that this QEMU writes: Debian 12's has no lzo and no snappy."""
    arch, files = fresh
    raw = f"{files['raw']}@{qemu_dump.BASE:#x}"
    forms = [form for form in qemu_dump.FORMATS if form in files]
    assert {"elf", "kdump-zlib"} <= {*forms}
    for form in forms:
        memory = open_memory(str(files[form])).memory
        found = memory.read(qemu_dump.BASE, qemu_dump.SIZE)
        assert found == files["raw"].read_bytes()
        count = same_mappings(str(files[form]), raw, arch)
        say(f"{form} of {arch} fresh from QEMU: {qemu_dump.SIZE} bytes, {count} mappings equal")


def test_rearranged_by_makedumpfile(fresh, tmp_path, same_mappings):
    program = shutil.which("makedumpfile")
    if program is None:
        pytest.skip("makedumpfile is absent: nothing rearranged")
    arch, files = fresh
    target = tmp_path / "rearranged"
    with files["kdump-zlib"].open("rb") as source:
        subprocess.run([program, "-R", target], stdin=source, check=True, capture_output=True)
    assert target.read_bytes().startswith(b"KDUMP")
    assert not files["kdump-zlib"].read_bytes().startswith(b"KDUMP")
    same_mappings(str(target), str(files["kdump-zlib"]), arch)


def test_packed_again(guest, same_mappings, unpacked, tmp_path):
    """Flattened inside xz, gz and zst alike."""
    import gzip

    import zstandard

    data = unpacked("makedumpfile-flat-lzo")
    for pack in (lzma.compress, gzip.compress, zstandard.compress, bytes):
        (tmp_path / "dump").write_bytes(pack(data))
        same_mappings(str(tmp_path / "dump"), guest, "arm64")


def _place(bank: Bank) -> tuple[int, int]:
    return bank.base, bank.size
