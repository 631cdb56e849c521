"""What was found out about an image without registers: values, how sure they are, from what."""

from typing import Any

from rich.console import Console

from ttbr.recover.finding import Finding
from ttbr.recover.identified import Identified
from ttbr.report.hostile import visible

_MOST_PRINTED = 16  # addresses in a line
# Findings that are numbers and no addresses.
_DECIMAL = {"page_size", "va_bits", "va_bits_configured"}


def identified_json(found: Identified) -> dict[str, Any]:
    """Each finding as value, confidence and evidence; the registers that follow, and the assumed.

    Addresses are hexadecimal text, sizes and numbers of bits are numbers.
    """
    findings = {
        name: {
            "value": _json_value(name, finding),
            "confidence": str(finding.confidence),
            "evidence": finding.evidence,
        }
        for name, finding in found.findings().items()
    }
    registers = {name: hex(value) for name, value in found.registers.items()}
    return {**findings, "registers": registers, "assumed": list(found.assumed)}


def _json_value(name: str, finding: Finding[Any]) -> Any:
    value = finding.value
    if isinstance(value, tuple):
        return [hex(address) for address in value]
    return hex(value) if isinstance(value, int) and name not in _DECIMAL else value


def print_identified(out: Console, found: dict[str, Any]) -> None:
    """The same as text, a line for each finding."""
    for name, finding in found.items():
        if name in ("registers", "assumed"):
            continue
        value = finding["value"]
        text = _some(value) if isinstance(value, list) else value
        line = f"{name}: {text} ({finding['confidence']}: {finding['evidence']})"
        out.print(f"found      {visible(line)}")
    out.print(f"assumed    {', '.join(found['assumed'])}, as Linux has them")


def _some(addresses: list[str]) -> str:
    """The first few of many addresses."""
    left = len(addresses) - _MOST_PRINTED
    more = f" and {left} more (--json lists them)" if left > 0 else ""
    return (", ".join(addresses[:_MOST_PRINTED]) or "none") + more


def inferred(found: Identified) -> str:
    """One line about registers that were not given: what they follow from, and how sure it is."""
    root = found.kernel_root
    return (
        f"no registers given: found by what memory holds, {root.confidence}: "
        f"{found.format.value}, {found.va_bits.value} address bits, kernel root {root.value:#x}; "
        f"assumed: {', '.join(found.assumed)}"
    )
