"""Check every device tree of Debian's kernel packages, and say what is found across them.

    python bench/device_trees.py CACHE [--write docs/check.md]

CACHE is a folder of yours: packages are downloaded there by `apt-get download` (of a system that
knows their architectures: dpkg --add-architecture) and unpacked, unless that was done before.
Trees without memory, whose boot loader is to fill it in, are checked once more with 1 GiB where
the tree expects RAM (its memory node, or what it wants to reserve, says where). The kernel is put
where QEMU would, or on arm64 as many times 16 MiB further up as it takes to lie on nothing that the
tree reserves, as the makers of those boards do.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ttbr.boot.board import Board
from ttbr.boot.boot import HANDOFF, boot_until_failure
from ttbr.boot.fdt import DeviceTree
from ttbr.boot.loader import Placement, qemu
from ttbr.errors import InputError
from ttbr.findings import CHECK, Attempt, attempt, check
from ttbr.kernel.kernel import Kernel

G = 1 << 30
DEFAULT_RAM = (0x8000_0000, G)
STEP = 16 << 20
MARKS = "<!-- found in Debian's device trees -->", "<!-- end -->"


@dataclass(frozen=True)
class Package:
    """A kernel package, its architecture, and the profile of its kernel."""

    name: str
    arch: str
    profile: str
    kernel: str


PACKAGES = (
    Package("linux-image-6.1.0-50-arm64-unsigned", "arm64", "debian-6.1-arm64", "arm64"),
    Package("linux-image-6.1.0-50-armmp", "armhf", "debian-6.1-armmp", "armmp"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one tree: as it is, and with memory where it has none."""

    kernel: str
    file: str
    plan: str
    codes: tuple[str, ...]
    assumed_cpu: bool


def unpacked(cache: Path, package: Package) -> Path:
    """The folder that a package is unpacked in."""
    folder = cache / package.name
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        wanted = f"{package.name}:{package.arch}"
        subprocess.run(["apt-get", "download", wanted], cwd=cache, check=True)
        archive = next(cache.glob(f"{package.name}_*.deb"))
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
    return folder


def expected_ram(tree: DeviceTree) -> tuple[int, int]:
    """1 GiB of RAM where a tree without memory expects it."""
    root = tree.root
    cells = root.address_cells, root.size_cells
    for node in tree.memory_nodes():
        found = node.prop("reg")
        for base, _ in found.pairs(*cells) if found else ():
            return base, G
    parent = tree.find("/reserved-memory")
    wanted = [
        base
        for child in (parent.children if parent else ())
        for name in ("reg", "alloc-ranges")
        if (found := child.prop(name)) is not None
        for base, _ in found.pairs(*cells)
    ]
    return (min(wanted) // G * G, G) if wanted else DEFAULT_RAM


def placed(board: Board, made: Kernel) -> Placement:
    """QEMU's placement, moved up until the kernel is off what the tree reserves."""
    usual = qemu(board, made)
    if made.arch != "arm64":
        return usual
    parent = board.tree.find("/reserved-memory")
    cells = board.tree.root.address_cells, board.tree.root.size_cells
    taken = [
        (base, base + size)
        for child in (parent.children if parent else ())
        if child.available and (found := child.prop("reg")) is not None
        for base, size in found.pairs(*cells)
    ]
    for up in range(0, G, STEP):
        start, tree = usual.kernel + up, usual.dtb + up
        parts = ((start, start + made.image_size), (tree, tree + board.tree.totalsize))
        inside = parts[1][1] <= board.ram[0].end
        if inside and not any(low < end and at < high for at, end in parts for low, high in taken):
            return replace(usual, kernel=start, dtb=tree)
    return usual


@cache
def kernel(profile: str) -> Kernel:
    return Kernel.from_profile(profile)


def run(blob: bytes, made: Kernel, memory: tuple[tuple[int, int], ...]) -> Attempt:
    return attempt(
        blob,
        lambda data: Board.from_dtb(data, memory),
        lambda board: made,
        placed,
        boot_until_failure,
    )


def outcome(package: Package, file: Path) -> Outcome:
    blob = file.read_bytes()
    made = kernel(package.profile)
    codes: list[str] = []
    plan = "as it is"
    subject = run(blob, made, ())
    if subject.board is None:
        plan = "with --memory"
        codes += sorted({finding.code for finding in check(subject)})
        try:
            subject = run(blob, made, (expected_ram(subject.tree),))
        except InputError as error:
            return Outcome(package.kernel, file.name, f"refused: {error}", tuple(codes), False)
    if subject.boot is None:
        plan = f"refused: {subject.failure}"
    elif subject.failure is not None:
        plan = f"{subject.boot.stages[-1]}: {subject.failure}"
    codes += sorted({finding.code for finding in check(subject)})
    unknowns = subject.boot.machine.unknowns if subject.boot else []
    assumed = any("ID registers are taken" in line for line in unknowns)
    return Outcome(package.kernel, file.name, plan, tuple(codes), assumed)


def outcomes(cache: Path, processes: int) -> list[Outcome]:
    jobs = [
        (package, file)
        for package in PACKAGES
        for file in sorted(unpacked(cache, package).rglob("*.dtb"))
    ]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(outcome, *zip(*jobs, strict=True), chunksize=16))


def table(results: list[Outcome]) -> Iterator[str]:
    """What was found, as Markdown."""
    kernels = [package.kernel for package in PACKAGES]
    yield "| | " + " | ".join(kernels) + " |"
    yield "|---" * (1 + len(kernels)) + "|"

    def row(name: str, chosen: list[Outcome]) -> str:
        counts = Counter(result.kernel for result in chosen)
        return f"| {name} | " + " | ".join(str(counts[kernel]) for kernel in kernels) + " |"

    yield row("device trees", results)
    yield row("plan as it is", [r for r in results if r.plan == "as it is"])
    yield row("plan once told where RAM is", [r for r in results if r.plan == "with --memory"])
    yield row("plan that ends at the hand-over", [r for r in results if r.plan.startswith(HANDOFF)])
    yield row("no plan", [r for r in results if r.plan.startswith("refused")])
    yield row("CPU assumed", [r for r in results if r.assumed_cpu])
    for rule in sorted(CHECK, key=lambda rule: (-rule.severity, rule.code)):
        found = [result for result in results if rule.code in result.codes]
        if found:
            yield row(f"{rule.severity}: `{rule.code}`", found)


def write(file: Path, lines: list[str]) -> None:
    """Put the table between the marks in a file."""
    before, first, rest = file.read_text().partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not first or not last:
        sys.exit(f"{file}: no place for the table ({MARKS[0]} … {MARKS[1]})")
    file.write_text("\n".join([before + first, *lines, last + after]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cache", type=Path, help="a folder for the packages")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into FILE")
    options = parser.parse_args()
    for package in PACKAGES:
        unpacked(options.cache, package)
    began = time.monotonic()
    results = outcomes(options.cache, options.processes)
    took = time.monotonic() - began
    lines = list(table(results))
    print("\n".join(lines))
    for result in results:
        if ": " in result.plan:
            print(f"{result.kernel}: {result.file}: {result.plan}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{len(results)} device trees in {took:.1f} s by {options.processes} processes, which used "
        f"{used.ru_utime + used.ru_stime:.1f} s of CPU time"
    )
    if options.write:
        write(options.write, lines)


if __name__ == "__main__":
    main()
