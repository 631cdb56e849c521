"""Fuzz one target for some time with atheris: ``python fuzz/run.py TARGET --seconds 60``.

Starts from the dumps in tests/fixtures and, with ``--corpus``, from what earlier runs kept there.
Ends with exit code 0 if nothing was found; a finding is printed, and its input kept as a file
``crash-…``. Needs ``pip install 'ttbr[fuzz]'``.
"""

import argparse
import gzip
import lzma
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import atheris

TESTS = Path(__file__).resolve().parents[1] / "tests"
LONGEST = 1 << 18  # bytes of an input
SLOWEST = 2  # seconds for one
MEMORY = 1024  # MiB

with atheris.instrument_imports(include=["ttbr"]):
    import targets


def seeds(target: str) -> Iterator[bytes]:
    """Good inputs of a target."""
    sys.path.insert(0, str(TESTS / "fixtures"))
    import guest_memory
    import kallsyms_file
    import linux_memory
    import make_dumps
    from linear_memory import VA
    from ranges import avml, lime

    if target == "image":
        for path in sorted(guest_memory.DUMPS.glob("*.xz")):
            packed = path.read_bytes()
            yield packed
            dump = lzma.decompress(packed)
            if len(dump) <= LONGEST:
                yield dump
        yield from (write([(0x1000, guest_memory.tables())]) for write in (lime, avml))
    elif target == "banks":
        yield b'[{"base": "0x40000000", "size": 4096}, {"base": 1, "size": "0x10", "offset": 5}]'
    elif target == "notes":
        yield make_dumps.note(b"CORE", 1, bytes(392)) + make_dumps.note(b"CORE", 1, bytes(148))
        yield make_dumps.note(b"VMCOREINFO", 0, make_dumps.VMCOREINFO.encode())
        yield make_dumps.note(b"ttbr", 1, b'{"version": 1, "registers": {"cpu0": {"x": "0x1"}}}')
    elif target == "vmcoreinfo":
        yield make_dumps.VMCOREINFO.encode()
    elif target == "registers":
        yield b'{"cpu0": {"TCR_EL1": "0x1", "TTBR1_EL1": "0x1"}}'
        yield guest_memory.listed(guest_memory.ARM).encode()
    elif target == "kallsyms":
        for word, new in ((4, False), (4, True), (8, False), (8, True)):
            symbols = [(VA[word] + 16 * n, "T", f"sys_read{n}") for n in range(600)]
            yield kallsyms_file.kallsyms(symbols, VA[word], kallsyms_file.Form(word, new))
    elif target == "btf":
        yield from (linux_memory.btf(word) for word in (4, 8))
    elif target == "config":
        packed = gzip.compress(b"# Linux/arm64 6.12.1 Kernel Configuration\nCONFIG_MMU=y\n")
        yield b"IKCFG_ST" + packed + b"IKCFG_ED"
    elif target in ("maple-tree", "lists", "layouts"):
        for word in (4, 8):
            for tree in (False, True):
                small = linux_memory.small_linux(word, VA[word], (VA[word], VA[word]), tree)
                types = linux_memory.btf(word, tree) if target == "lists" else b""
                yield bytes(small.memory.data) + types
    else:
        yield guest_memory.tables()
        yield guest_memory.tables()[0x4000:]


def main() -> None:
    """Fuzz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=list(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", type=Path, help="a folder that keeps inputs between runs")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    corpus = chosen.corpus or Path(tempfile.mkdtemp(prefix="ttbr-fuzz-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds(chosen.target)):
        (corpus / f"seed-{number}").write_bytes(data)
    options = {
        "max_total_time": chosen.seconds,
        "max_len": LONGEST,
        "timeout": SLOWEST,
        "rss_limit_mb": MEMORY,
        "seed": chosen.seed,
        "print_final_stats": 1,
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], targets.TARGETS[chosen.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
