"""The commands in docs/boot-inputs.md print what stands there."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n\$ ttbr (.+?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = BLOCK.findall((ROOT / "docs" / "boot-inputs.md").read_text("utf-8"))


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example(ttbr: Callable[..., Result], number: int) -> None:
    """``…`` stands for any lines."""
    command, expected = EXAMPLES[number]
    words = [str(ROOT / w) if w.startswith("examples/") else w for w in shlex.split(command)]
    out = ttbr(*words).out.replace(f"{ROOT}/", "")
    pattern = "".join(
        "(?s:.*)" if line == "…" else re.escape(line) + "\n" for line in expected.splitlines()
    )
    assert re.fullmatch(pattern, out), out


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6
