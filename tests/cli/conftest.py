"""The command as a user runs it: a process, its two outputs and its exit code."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def refused(self, *words: str) -> None:
        """Bad input: exit code 2, nothing on stdout, one line on stderr with these words."""
        assert self.code == 2, self
        assert self.out == "", self
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("ttbr: error: "), self.err
        for word in words:
            assert word in self.err, self.err


def run(*arguments: object) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "ttbr", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def ttbr() -> Callable[..., Result]:
    return run


@pytest.fixture(scope="session")
def examples() -> Path:
    return EXAMPLES


@pytest.fixture(scope="session")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved predictions of the example boards, by the board's name."""
    folder = tmp_path_factory.mktemp("predictions")
    saved = {}
    for board in ("qemu-virt-arm64", "board-2g-at-60000000", "qemu-virt-arm32"):
        saved[board] = folder / f"{board}.elf"
        done = run("boot", EXAMPLES / f"{board}.dtb", "--save", saved[board])
        assert done.code == 0, done.err
    return saved
