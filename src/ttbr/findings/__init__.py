"""What is wrong: rules over a boot (`check`), each with its code and an explanation."""

from ttbr.findings import (
    boot_end,
    contiguous,
    crash_kernel,
    devices,
    handover,
    kernel_image,
    linear_map,
    lowmem,
    memory_nodes,
    reserved_memory,
    zones,
)
from ttbr.findings.attempt import Attempt, attempt
from ttbr.findings.check import CHECK, check
from ttbr.findings.finding import Bytes, Found, Place, Severity
from ttbr.findings.rule import Finding, Rule, Rules

RULES = (
    boot_end,
    contiguous,
    crash_kernel,
    devices,
    handover,
    kernel_image,
    linear_map,
    lowmem,
    memory_nodes,
    reserved_memory,
    zones,
)
"""The modules of the rules: importing them registers their functions."""

__all__ = [
    "CHECK",
    "Attempt",
    "Bytes",
    "Finding",
    "Found",
    "Place",
    "Rule",
    "Rules",
    "Severity",
    "attempt",
    "check",
]
