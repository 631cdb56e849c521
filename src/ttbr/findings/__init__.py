"""What is wrong: rules over a boot (`check`) and over an image (`audit`), each with its code and
an explanation.
"""

from ttbr.findings import (
    audit_descriptors,
    audit_memory_types,
    audit_permissions,
    boot_end,
    contiguous,
    contiguous_pools,
    crash_kernel,
    devices,
    handover,
    kernel_image,
    linear_map,
    lowmem,
    memory_nodes,
    reserved_memory,
    reserved_places,
    zones,
)
from ttbr.findings.attempt import Attempt, attempt
from ttbr.findings.audit import AUDIT, audit
from ttbr.findings.audited import Audited
from ttbr.findings.check import CHECK, check
from ttbr.findings.finding import Bytes, Found, Mapped, Place, Severity
from ttbr.findings.rule import Finding, Rule, Rules

RULES = (
    audit_descriptors,
    audit_memory_types,
    audit_permissions,
    boot_end,
    contiguous,
    contiguous_pools,
    crash_kernel,
    devices,
    handover,
    kernel_image,
    linear_map,
    lowmem,
    memory_nodes,
    reserved_memory,
    reserved_places,
    zones,
)
"""The modules of the rules: importing them registers their functions."""

__all__ = [
    "AUDIT",
    "CHECK",
    "Attempt",
    "Audited",
    "Bytes",
    "Finding",
    "Found",
    "Mapped",
    "Place",
    "Rule",
    "Rules",
    "Severity",
    "attempt",
    "audit",
    "check",
]
