"""The scenarios that ship, on machines of 4 TiB: what each took of memory and of the processor.

    python large_scenarios.py [PAGE_SHIFT] [SCENARIO]

Each is a ``ttbr run`` of its own, with the board, the kernel and the command line said on the
command line: those win over what the scenario boots.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from large_machine import FOLDERS, MAX_ORDER, TERABYTES, VA_BITS

from ttbr.run.scenario.shipped import shipped_names

ARM32_ONLY = {"arm32-vmalloc-sync", "arm32-young-dirty", "highmem-kmap"}
SCENARIOS = tuple(name for name in shipped_names() if name not in ARM32_ONLY)
ARGS = "rodata=on"  # blocks in the linear map
COMMAND = """
import atexit, sys
sys.path.append({folder!r})
from peak_memory import peak
from ttbr.cli.main import main
atexit.register(lambda: print(peak()))
main()
"""
"""``ttbr``, whose last line is the most memory that it had, in bytes."""


class Ran(NamedTuple):
    """One scenario on one machine: how it ended, its last words, most bytes, processor seconds."""

    code: int
    said: str
    peak: int
    seconds: float


def machine(shift: int, folder: Path) -> Sequence[str]:
    """The words of a command line that boot 4 TiB in pages of ``1 << shift`` bytes."""
    sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in FOLDERS]
    from arm64_kernels import kernel
    from memory_maps import COMMON, HUGE, ZONES, G, blob, board_tree

    options = {**COMMON, **HUGE, **ZONES, "ARCH_FORCE_MAX_ORDER": MAX_ORDER[shift]}
    options["ARM64_HW_AFDBM"] = "y"  # young-dirty is about it
    made = kernel("6.12.117", shift, VA_BITS[shift], **options)
    board, profile = folder / "board.dtb", folder / "kernel.json"
    # Neoverse N1 has pages of all three sizes.
    board.write_bytes(blob(board_tree(memory=((G, TERABYTES << 40),), cpu="arm,neoverse-n1")))
    profile.write_text(json.dumps(made.describe()))
    memory = f"{G}:{TERABYTES << 40}"
    return [f"{board}", "--kernel", f"{profile}", "--memory", memory, "--bootargs", ARGS]


def ran(name: str, words: Sequence[str]) -> Ran:
    """Run a scenario in a process of its own."""
    program = COMMAND.format(folder=str(Path(__file__).parent))
    command = [sys.executable, "-c", program, "run", name, *words, "--quiet"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout is not None
        said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    *_, last = said.splitlines()
    return Ran(child.returncode, said[-500:], int(last), seconds)


def main() -> None:
    """Print the table of docs/running-kernel.md."""
    shifts = [int(sys.argv[1])] if len(sys.argv) > 1 else list(VA_BITS)
    names = sys.argv[2:] or SCENARIOS
    print("| scenario |", *(f"{1 << shift >> 10} KiB |" for shift in shifts), flush=True)
    print("|---|", *("---|" for _ in shifts), sep="", flush=True)
    for name in names:
        cells = []
        for shift in shifts:
            with TemporaryDirectory() as folder:
                found = ran(name, machine(shift, Path(folder)))
            if found.code:
                sys.exit(f"{name}, pages of {1 << shift >> 10} KiB: {found.said}")
            cells.append(f"{found.peak >> 20} MiB, {found.seconds:.1f} s")
        print(f"| `{name}` |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
