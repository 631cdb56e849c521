"""Rules about the memory of a crash kernel."""

from __future__ import annotations

from collections.abc import Iterable

from ttbr.boot.boot import Boot
from ttbr.findings.attempt import of_boot
from ttbr.findings.check import CHECK
from ttbr.findings.finding import Found, Severity, argument, config
from ttbr.findings.words import said

NONE = "cannot allocate crashkernel (size:{size})"
NO_LOW = "cannot allocate crashkernel low memory (size:{size})."
IN_USE = "crashkernel reservation failed - memory is in use."
NO_AREA = "crashkernel reservation failed - No suitable area found."
WHY = {
    NONE: "there is no free RAM of {size} where it may lie",
    NO_LOW: "there is no free low memory of {size}, which goes with it",
    IN_USE: "the place that it names is in use",
    NO_AREA: "there is no free RAM of its size where it may lie",
}


@CHECK.rule(
    "crashkernel-failed",
    Severity.ERROR,
    "crashkernel= gets no memory",
    source="arch/arm64/mm/init.c: reserve_crashkernel (6.12: kernel/crash_reserve.c); "
    "arch/arm/kernel/setup.c: reserve_crashkernel",
    remedy="Ask for less, or leave the place to the kernel. On arm64 crashkernel=SIZE,high takes "
    "memory above the DMA zone; on 32-bit ARM the area must be in lowmem, aligned to 128 MiB.",
    example="crashkernel=2G on a board with 1 GiB.",
    kernel=(NONE, NO_LOW, IN_USE, NO_AREA),
)
@of_boot
def crashkernel_failed(boot: Boot) -> Iterable[Found]:
    """Without its memory no crash kernel can be loaded: kexec -p fails later.

    arm64 wants it 2 MiB aligned below the end of the DMA zone, unless ,high is given; Linux 6.12
    falls back to high memory by itself. A fixed place must be free. What the kernel does not
    understand, and what 6.12 finds larger than RAM, it ignores in silence.
    """
    machine = boot.machine
    values = machine.params.all("crashkernel")
    asked = " ".join(f"crashkernel={value}" for value in values)
    silent = values and not machine.crash_areas and not any(said(boot, *WHY))
    if silent and "bootmem_init" in boot.stages:
        yield Found(
            f"{asked} reserves nothing, without a word: it asks for as much as there is RAM, "
            "is not understood, or the kernel has no kexec",
            "ask for less than there is RAM, in the form SIZE[KMG][@OFFSET] or SIZE,high",
            places=(argument(asked), config("KEXEC")),
        )
    for template, why in WHY.items():
        for line in said(boot, template):
            yield Found(
                f"{asked} fails: {why.format(**line.fields)}",
                "ask for less, or for another place",
                kernel=line.lines,
                places=(argument(asked),),
            )
