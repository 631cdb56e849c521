"""A fleet of 200 images, 20 of them damaged: what it costs, and that nothing is lost on the way.

    python bench/fleet.py WORK [--truth FOLDER] [--write docs/fleet.md]

WORK is a new folder of yours. Images are booted by ttbr's own model, on the boards of examples/
with other memory, command lines and kernels; with --truth the recordings are among them. Measured
are fleets of 25 to 200 of them, by one and by two processes. All 200 are then read by a Dask
cluster of two workers, and once more each way with a kill -9 in the middle: each time the rows must
be the same, and the damaged images those that fail.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

from ttbr.boot import Board, Kernel, boot, default_kernel, qemu
from ttbr.kernel.what_if import with_options
from ttbr.memory.save import save_core
from ttbr.recover.note import image_note

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BOARDS = ("qemu-virt-arm64", "board-2g-at-60000000", "qemu-virt-arm32", "board32-1g-at-80000000")
SETTINGS = ({}, {"VMSPLIT_2G": "y"}, {"VMSPLIT_3G_OPT": "y"})
ALL, DAMAGED = 200, 20
SIZES, WORKERS = (25, 50, 100, 200), (1, 2)
TABLES = "findings,regions,tables,tasks"
M = 1 << 20
MARKS = "<!-- measured -->", "<!-- end -->"


@dataclass(frozen=True)
class Run:
    """What a fleet said, and what it took: elapsed and processor seconds."""

    said: dict[str, Any]
    elapsed: float
    processor: float


def booted(file: Path, number: int) -> None:
    """Write an image of a boot; each number another board, memory, command line or kernel."""
    name = BOARDS[number % len(BOARDS)]
    memory = (128 + 32 * (number // len(BOARDS))) * M
    board = Board.from_dtb(
        (EXAMPLES / f"{name}.dtb").read_bytes(),
        [(None, memory)],
        bootargs=f"console=ttyAMA0 loglevel={number % 8} cma={16 * (number % 3)}M",
    )
    kernel: Kernel = default_kernel(board)
    if kernel.arch == "arm":
        kernel = with_options(kernel, SETTINGS[number // 4 % len(SETTINGS)])
    done = boot(board, kernel, qemu(board, kernel))
    image = done.images[done.stages[-1]]
    save_core(file, image.memory, [image_note(image)], image.arch)


def damaged(file: Path, number: int) -> None:
    """Write an image and damage it, in one of five ways."""
    booted(file, number)
    data = bytearray(file.read_bytes())
    match number % 5:
        case 0:  # cut off
            del data[len(data) // 2 :]
        case 1:  # its headers are gone
            data[:4096] = random.Random(number).randbytes(4096)
        case 2:  # its memory is gone
            data[4096:] = bytes(len(data) - 4096)
        case 3:  # all of it is noise
            data[:] = random.Random(number).randbytes(len(data))
        case _:
            data.clear()
    file.write_bytes(data)


def recorded(folder: Path, truth: Path) -> Iterator[str]:
    """Recordings by links, with their banks beside them."""
    for ram in sorted(truth.glob("*/ram.raw.zst")):
        link = folder / f"{ram.parent.name}.raw.zst"
        link.symlink_to(ram)
        banks = [
            {name: value for name, value in bank.items() if name != "file"}
            for bank in json.loads((ram.parent / "ram.json").read_text())
        ]
        beside = link.with_suffix(".json")
        beside.write_text(json.dumps(banks))
        yield f"{link}@{beside}"


def make(folder: Path, truth: Path | None) -> tuple[list[str], set[str], int]:
    """All images, in an order in which each part has as many of each kind; which are damaged."""
    folder.mkdir()
    records = [] if truth is None else list(recorded(folder, truth))
    good, bad = [], []
    for number in range(ALL - DAMAGED - len(records)):
        good.append(str(folder / f"boot-{number:03}.elf"))
        booted(Path(good[-1]), number)
    for number in range(DAMAGED):
        bad.append(str(folder / f"damaged-{number:02}.elf"))
        damaged(Path(bad[-1]), number)
    placed = [
        ((at + 0.5) / len(group), name)
        for group in (good, bad, records)
        for at, name in enumerate(group)
    ]
    return [name for _, name in sorted(placed)], set(bad), len(records)


def command(images: list[str], out: Path, *more: str) -> list[str]:
    fixed = ("--tables", TABLES, "--retries", "0", "--json", "-o", str(out))
    return [sys.executable, "-m", "ttbr", "fleet", *images, *fixed, *more]


def fleet(images: list[str], out: Path, *more: str) -> Run:
    """Run a fleet to its end."""
    began, used = time.monotonic(), os.times()
    done = subprocess.run(command(images, out, *more), capture_output=True, text=True, check=False)
    elapsed, after = time.monotonic() - began, os.times()
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    processor = sum(after[2:4]) - sum(used[2:4])
    return Run(json.loads(done.stdout), elapsed, processor)


def killed(images: list[str], out: Path, *more: str) -> int:
    """Run a fleet, kill it in the middle, and return how many images were finished."""
    lines = out / "manifest.jsonl"
    with subprocess.Popen(command(images, out, *more), stdout=subprocess.DEVNULL) as running:
        while finished(lines) < len(images) // 2:
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    return finished(lines)


def finished(lines: Path) -> int:
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def rows(out: Path) -> dict[str, Any]:
    """Every partition's rows, by its place."""
    return {
        str(path.relative_to(out)): pyarrow.parquet.ParquetFile(path).read()
        for path in sorted(out.glob("table=*/*/*"))
    }


def same(out: Path, wanted: dict[str, Any], run: Run, bad: set[str]) -> None:
    """Hold a data set against another, and what failed against what was damaged."""
    found = rows(out)
    assert found.keys() == wanted.keys()
    assert all(found[place].equals(wanted[place]) for place in wanted)
    assert {one["file"] for one in run.said["failures"]} == bad
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    done = [entry["image"] for entry in entries if entry["status"] == "done"]
    assert len(done) == len(set(done)) == ALL - len(bad)


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of a Dask cluster of two workers with one thread each."""
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet: dict[str, Any] = {"stderr": subprocess.DEVNULL, "cwd": folder}
    head = subprocess.Popen(
        [*dask, "scheduler", *common, "--host", "127.0.0.1", "--port", "0"], **quiet
    )
    workers = subprocess.Popen(
        [*dask, "worker", *common, "--nworkers", "2", "--nthreads", "1"], **quiet
    )
    try:
        while not file.exists():
            time.sleep(0.1)
        from distributed import Client  # noqa: PLC0415 – a part of this alone

        address = json.loads(file.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in (workers, head):
            process.terminate()
            process.wait()


def measured(work: Path, truth: Path | None) -> Iterator[str]:
    """Everything, as lines of Markdown."""
    images, bad, records = make(work / "images", truth)
    size = sum(Path(image.partition("@")[0]).stat().st_size for image in images)
    made = f"{ALL} images, {records} of them recordings, {len(bad)} damaged"
    yield f"{made}; {size / M:.0f} MiB of files."
    yield ""
    yield "| images | processes | elapsed | processor time | an image | partitions |"
    yield "|---|---|---|---|---|---|"
    for count in SIZES:
        for workers in WORKERS:
            out = work / f"local-{count}-{workers}"
            run = fleet(images[:count], out, "--workers", str(workers))
            yield row(count, f"{workers} here", run, len(rows(out)))
    wanted = rows(work / f"local-{ALL}-1")
    same(work / f"local-{ALL}-2", wanted, run, bad)
    with cluster(work) as address:
        run = fleet(images, work / "dask", "--scheduler", address)
        same(work / "dask", wanted, run, bad)
        yield row(ALL, "Dask, 2 workers", run, len(wanted), processor=False)
        yield ""
        for name, more in (
            ("two processes here", ("--workers", "2")),
            ("the Dask cluster", ("--scheduler", address)),
        ):
            out = work / f"killed-{name.split()[0]}"
            before = killed(images, out, *more)
            run = fleet(images, out, *more)
            same(out, wanted, run, bad)
            left = ALL - run.said["before"]
            yield (
                f"Killed (-9) after {before} images on {name}: the same command dealt with the "
                f"other {left}, those that had failed among them, in {run.elapsed:.0f} s."
            )
            yield ""
    total = sum(table.num_rows for table in wanted.values())
    yield (
        f"All gave the same {total} rows in {len(wanted)} partitions, and named the same "
        f"{len(bad)} images."
    )


def row(count: int, where: str, run: Run, partitions: int, processor: bool = True) -> str:
    used = f"{run.processor:.0f} s" if processor else "–"
    each = f"{run.processor / count:.2f} s" if processor else "–"
    return f"| {count} | {where} | {run.elapsed:.0f} s | {used} | {each} | {partitions} |"


def write(file: Path, lines: list[str]) -> None:
    """Put the lines between the marks in a file."""
    before, first, rest = file.read_text().partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not first or not last:
        sys.exit(f"{file}: no place for the figures ({MARKS[0]} … {MARKS[1]})")
    file.write_text("\n".join([before + first, "", *lines, "", last + after]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path, help="a new folder for images and data sets")
    parser.add_argument("--truth", type=Path, metavar="FOLDER", help="recordings of real kernels")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures into FILE")
    options = parser.parse_args()
    options.work.mkdir(parents=True)
    lines = []
    for line in measured(options.work.resolve(), options.truth):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        write(options.write, lines)


if __name__ == "__main__":
    main()
