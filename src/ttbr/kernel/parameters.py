"""Command-line parameters that a kernel knows; others it passes on to user space, and says so.

Source: init/main.c: unknown_bootoption, obsolete_checksetup; kernel/params.c: parse_one;
fs/proc/proc_sysctl.c: sysctl_aliases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

ALIASES = frozenset(
    {"hardlockup_all_cpu_backtrace", "hung_task_panic", "numa_zonelist_order"}
    | {"softlockup_all_cpu_backtrace"}
)
LOADER_MARKS = ("BOOT_IMAGE=", "kexec")
_EVIDENCE = "__setup_str_rdinit_setup"  # every kernel has this one


@dataclass(frozen=True, slots=True)
class Parameter:
    """A registered parameter: its text, ``setup``, ``early`` or ``core``, its symbol."""

    text: str
    kind: str
    symbol: str

    def takes(self, argument: str) -> bool:
        """Whether an argument (``name`` or ``name=value``) is this one; ``-`` and ``_`` agree."""
        mine, given = self.text.replace("-", "_"), argument.replace("-", "_")
        if not given.startswith(mine):
            return False
        rest = given[len(mine) :]
        return mine.endswith("=") or not rest or rest.startswith("=")


def known(symbols: Mapping[str, int], name: str, value: str | None) -> bool:
    """Whether a kernel with these symbols takes an argument for its own.

    Where the symbols are only those of a profile, a parameter that any kernel knows counts.
    """
    argument = name if value is None else f"{name}={value}"
    if name in ALIASES or argument.startswith(LOADER_MARKS) or "." in name:
        return True
    return any(
        parameter.takes(argument)
        for parameter in parameters()
        if parameter.symbol in symbols or _EVIDENCE not in symbols
    )


@cache
def parameters() -> tuple[Parameter, ...]:
    """All rows of parameters.txt."""
    text = (resources.files(__package__) / "parameters.txt").read_text("utf-8")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return tuple(Parameter(*parts) for parts in lines)
