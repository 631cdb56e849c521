"""The scenarios that ship, and the boards that they boot."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ttbr.errors import InputError

SUFFIX = ".scenario"


def _folder() -> Path:
    return Path(str(resources.files("ttbr.run.scenario"))) / "scenarios"


def shipped_names() -> dict[str, str]:
    """The scenarios by name, with the title that their first line has."""
    found = {}
    for file in sorted(_folder().glob(f"*{SUFFIX}")):
        title = file.read_text("utf-8").partition("\n")[0]
        found[file.name.removesuffix(SUFFIX)] = title.lstrip("# ")
    return found


def shipped(name: str) -> tuple[str, Path]:
    """The text of a scenario, and the folder that its boards lie in.

    `InputError` if there is none of that name.
    """
    if name not in shipped_names():
        known = ", ".join(shipped_names())
        raise InputError(
            f"no scenario '{name}': there is no such file, and those that ship are {known}"
        )
    return (_folder() / f"{name}{SUFFIX}").read_text("utf-8"), _folder()
