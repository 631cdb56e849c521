"""`ttbr fleet` as a user runs it: on this machine and on a cluster, with damaged images."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import harmless
import pyarrow.dataset
import pyarrow.parquet
import pytest

from ttbr.recover.open import open as open_image

TABLES = ("findings", "regions", "tasks")
GOOD = ("a b'c.elf", "d.elf", "e.elf")
BAD = ("cut.elf", "noise.elf", "zeros.elf")


@pytest.fixture(scope="module")
def images(predictions, tmp_path_factory) -> Path:
    """Predictions under several names, and files that are none any more."""
    folder = tmp_path_factory.mktemp("images")
    boards = ("qemu-virt-arm32", "qemu-virt-arm64")
    for at, name in enumerate(GOOD):
        shutil.copy(predictions[boards[at % 2]], folder / name)
    whole = predictions["qemu-virt-arm32"].read_bytes()
    (folder / "cut.elf").write_bytes(whole[: len(whole) // 2])
    (folder / "noise.elf").write_bytes(os.urandom(1 << 16))
    (folder / "zeros.elf").write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    return folder


def arguments(images, out):
    return ["fleet", images / "*.elf", "--tables", ",".join(TABLES), "-o", out, "--workers", "2"]


@pytest.fixture(scope="module")
def whole(ttbr, images, tmp_path_factory):
    """What comes of the images without anything in between."""
    out = tmp_path_factory.mktemp("fleet") / "out"
    done = ttbr(*arguments(images, out), "--json")
    assert (done.code, done.err) == (1, "")
    return out, done.json


def contents(out):
    """The rows of each table, by image."""
    found = {}
    for table in TABLES:
        for path in sorted((out / f"table={table}").glob("*/*")):
            read = pyarrow.parquet.ParquetFile(path).read()
            found[table, path.parent.name, path.name] = read.to_pylist()
    return found


def manifest(out):
    """The lines of the manifest that are whole."""
    whole, _, _ = (out / "manifest.jsonl").read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def done_in(out):
    """The images that are done, in the order of the manifest."""
    if not (out / "manifest.jsonl").exists():
        return []
    return [entry["image"] for entry in manifest(out) if entry["status"] == "done"]


def test_what_is_written(ttbr, images, whole):
    out, said = whole
    assert (said["images"], said["done"], said["failed"], said["before"]) == (6, 3, 3, 0)
    assert sorted(Path(one["file"]).name for one in said["failures"]) == sorted(BAD)
    entries = {Path(entry["file"]).name: entry for entry in manifest(out)}
    assert sorted(entries) == sorted((*GOOD, *BAD))
    for name in GOOD:
        entry = entries[name]
        assert (entry["status"], entry["error"], entry["attempts"]) == ("done", None, 1)
        assert entry["size"] == (images / name).stat().st_size
        assert "no tasks" in entry["missing"]["tasks"]
        for table in ("findings", "regions"):
            wanted = ttbr("query", images / name, f"FROM {table}", "--json").json
            parquet = out / f"table={table}" / f"image={entry['image']}" / "rows.parquet"
            rows = pyarrow.parquet.read_table(parquet).to_pylist()
            assert len(rows) == len(wanted) == entry["rows"][table] > 0
            for row, want in zip(rows, wanted, strict=True):
                assert row.pop("file") == str(images / name)
                assert row.keys() == want.keys()
                assert all(
                    want[key] in (value, hex(value) if isinstance(value, int) else value)
                    for key, value in row.items()
                )
    for name in BAD:
        assert (entries[name]["status"], entries[name]["attempts"]) == ("failed", 2)
        assert entries[name]["error"]
        assert not list(out.glob(f"*/image={entries[name]['image']}"))
    assert not list(out.glob(".parts"))


def test_one_line_reads_it(whole):
    out, said = whole
    for table in ("findings", "regions"):
        data = pyarrow.dataset.dataset(out / f"table={table}", partitioning="hive")
        assert data.count_rows() == said["rows"][table]
        assert data.schema.names[0] == "file"
        assert "image" in data.schema.names
        rows = duckdb.sql(
            f"SELECT image, count(*) FROM '{out}/table={table}/*/*.parquet' GROUP BY 1"
        )
        assert dict(rows.fetchall()) == {
            entry["image"]: entry["rows"][table]
            for entry in manifest(out)
            if entry["status"] == "done"
        }
    joined = duckdb.sql(f"""SELECT count(*) FROM '{out}/table=regions/*/*.parquet' r
                            JOIN '{out}/manifest.jsonl' m USING (image)""")
    assert joined.fetchall() == [(said["rows"]["regions"],)]


def test_done_is_done(ttbr, images, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    out = tmp_path / "out"
    before = contents(out)
    again = ttbr(*arguments(images, out), "--retries", "0")
    assert again.code == 1
    assert again.out.startswith("3 of 6 images done, 3 of them before, 3 failed\n")
    assert "(3 images without)" in again.out
    for name in BAD:
        assert f"failed: {images / name}: " in again.out
    assert len(manifest(out)) == 9
    assert contents(out) == before


def test_a_kill_loses_nothing(ttbr, images, whole, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ttbr", *map(str, arguments(images, out)), "--retries", "0"]
    for wanted in (1, 2):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as fleet:
            while len(done_in(out)) < wanted:
                assert fleet.poll() is None
                time.sleep(0.02)
            fleet.kill()
        with (out / "manifest.jsonl").open("a") as file:
            file.write('{"image": "cut off while it was wri')
    done = done_in(out)
    finished = ttbr(*arguments(images, out), "--json")
    assert finished.code == 1
    assert finished.json["before"] == len(done) >= 2
    assert {k: v for k, v in finished.json.items() if k in ("rows", "failures", "missing")} == {
        k: v for k, v in whole[1].items() if k in ("rows", "failures", "missing")
    }
    assert contents(out) == contents(whole[0])
    assert done_in(out)[: len(done)] == done
    assert len(done_in(out)) == len(set(done_in(out))) == len(GOOD)


def test_an_image_that_changes(ttbr, predictions, tmp_path):
    image, out = tmp_path / "x.elf", tmp_path / "out"
    shutil.copy(predictions["qemu-virt-arm32"], image)
    run = ("fleet", image, "-o", out, "--tables", "regions,tables", "--retries", "0", "--json")
    assert ttbr(*run).json["rows"]["regions"] > 0
    assert ttbr(*run).json["before"] == 1
    image.write_bytes(b"no image")
    failed = ttbr(*run)
    assert (failed.code, failed.json["rows"]["regions"]) == (1, 0)
    assert not list(out.glob("*/image=*"))
    shutil.copy(predictions["qemu-virt-arm64"], image)
    done = ttbr(*run)
    assert (done.code, done.json["before"]) == (0, 0)
    assert len(list(out.glob("*/image=*/*"))) == 2


def test_limits(ttbr, predictions, tmp_path):
    run = ("fleet", predictions["qemu-virt-arm64"], "--retries", "0", "--json", "-o")
    slow = ttbr(*run, tmp_path / "slow", "--timeout", "0.1")
    assert (slow.code, slow.json["failures"][0]["error"]) == (1, "took longer than 0.1 s")
    large = ttbr(*run, tmp_path / "large", "--memory-limit", "40M")
    assert (large.code, large.json["failures"][0]["error"]) == (1, "needs more memory than 40 MiB")


def test_what_lies_beside_each_image(ttbr, predictions, tmp_path):
    """Raw memory, whose banks and registers are in files that are called alike."""
    saved = predictions["qemu-virt-arm32"]
    image = open_image(str(saved))
    (bank,) = image.memory.banks
    with (tmp_path / "one.raw").open("wb") as file:
        file.truncate(bank.size)
        for at in range(0, bank.size, 1 << 20):
            part = image.memory.read(bank.base + at, 1 << 20)
            if part.count(0) < len(part):
                file.seek(at)
                file.write(part)
    banks = [{"base": bank.base, "size": bank.size, "file": "one.raw"}]
    (tmp_path / "one.banks.json").write_text(json.dumps(banks))
    registers = {name: hex(value) for name, value in image.registers.items()}
    (tmp_path / "one.regs.json").write_text(json.dumps({"cpu0": registers}))
    done = ttbr(
        *("fleet", f"{tmp_path}/*.raw@{{dir}}/{{stem}}.banks.json", "-o", tmp_path / "out"),
        *("--registers", "{dir}/{stem}.regs.json", "--tables", "regions", "--json"),
    )
    assert (done.code, done.json["done"]) == (0, 1), done
    counted = ttbr("query", saved, "SELECT count(*) AS n FROM regions", "--json").json
    assert done.json["rows"]["regions"] == counted[0]["n"]


def test_names_of_files_do_not_act(ttbr, tmp_path):
    name = harmless.SHORT[0].decode("utf-8", "surrogateescape").replace("/", "") + "<b>"
    (tmp_path / name).write_bytes(b"\x1b[2J")
    run = ("fleet", tmp_path / "*zq*", "--retries", "0", "-o", tmp_path / "out")
    for form in ("text", "json"):
        done = ttbr(*run, *(["--json"] if form == "json" else []))
        assert done.code == 1
        assert harmless.MARK in done.out
        harmless.check(form, done.out)
        harmless.check("text", done.err)
    for line in (tmp_path / "out" / "manifest.jsonl").read_text("ascii").splitlines():
        assert json.loads(line)["file"].endswith("zq\\xff<b>")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["*.none", "-o", "OUT"], "*.none: there is no such file"),
        (["x", "-o", "OUT", "--tables", "x"], "'x' is no relation"),
        (["x", "-o", "FULL"], "is no fleet's"),
        (["x", "-o", "WHOLE"], "other tables"),
        (["x", "-o", "LOCKED"], "another fleet writes"),
        (["x", "-o", "BROKEN"], "line 1 is no line of a manifest"),
        (["x", "-o", "OUT", "--scheduler", "nowhere"], "scheduler nowhere: cannot be reached"),
        (["x@y", "-o", "OUT"], "'y' is not an address"),
        (["x", "-o", "OUT", "--workers", "0"], "--workers"),
        (["x", "-o", "OUT", "--timeout", "0"], "--timeout"),
        (["-o", "OUT"], "IMAGE"),
        (["x"], "--output"),
    ],
)
def test_bad_input(ttbr, whole, tmp_path, given, words):
    folders = {"WHOLE": whole[0], "OUT": tmp_path / "out", "FULL": tmp_path / "full"}
    folders["FULL"].mkdir()
    (folders["FULL"] / "mine").write_text("")
    lock = None
    for name in ("LOCKED", "BROKEN"):
        folders[name] = tmp_path / name
        if name in given:
            ttbr("fleet", "gone", "--retries", "0", "-o", folders[name])
            (folders[name] / "manifest.jsonl").write_text("[]\n")
    if "LOCKED" in given:
        import fcntl

        lock = (folders["LOCKED"] / "fleet.json").open("rb")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        ttbr("fleet", *(folders.get(word, word) for word in given)).refused(words)
    finally:
        if lock is not None:
            lock.close()


def test_without_the_extra(tmp_path):
    program = (
        "import sys; sys.modules['distributed'] = None;"
        f"sys.argv = ['ttbr', 'fleet', 'x', '-o', {str(tmp_path / 'out')!r}, '--scheduler', 'x:1'];"
        "from ttbr.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "ttbr[fleet]" in done.stderr


@pytest.fixture
def scheduler(tmp_path):
    """The address of a Dask cluster of two workers on this machine."""
    dask = [sys.executable, "-m", "dask"]
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    with subprocess.Popen(
        [*dask, "scheduler", *common, "--host", "127.0.0.1", "--port", "0"],
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    ) as head:
        worker = [*dask, "worker", *common, "--nworkers", "2", "--nthreads", "1"]
        with subprocess.Popen(worker, stderr=subprocess.DEVNULL, cwd=tmp_path) as workers:
            while not file.exists():
                assert head.poll() is None
                time.sleep(0.1)
            address = json.loads(file.read_text())["address"]
            from distributed import Client

            with Client(address, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=60)
            yield address
            workers.terminate()
        head.terminate()


def test_a_cluster_gives_the_same(ttbr, images, whole, scheduler, tmp_path):
    out = tmp_path / "out"
    done = ttbr(*arguments(images, out), "--scheduler", scheduler, "--json")
    assert (done.code, done.err) == (1, "")
    assert contents(out) == contents(whole[0])

    def kept(folder):
        entries = manifest(folder)
        return sorted([{**entry, "seconds": 0} for entry in entries], key=lambda one: one["image"])

    assert kept(out) == kept(whole[0])
