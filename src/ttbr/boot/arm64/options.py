"""Early parameters that decide how arm64 maps memory.

Source: asm/setup.h (arch_parse_debug_rodata), mm/pageattr.c (can_set_direct_map), mm/mmu.c
(kfence_early_init), mm/debug_page_alloc.c, lib/cmdline.c (get_option).
"""

from __future__ import annotations

import re

from ttbr.boot.params import Params, kstrtobool, memparse
from ttbr.kernel.config import Config

OPTION = re.compile(r"-?(0x[0-9a-f]+|[0-9]+)", re.IGNORECASE)  # what get_option() reads
INT = (1 << 32) - 1
RODATA_VALUES = ("full", "on", "off")


def rodata(params: Params, config: Config) -> str:
    """`full`, `on` or `off`: the last valid rodata= of the command line, or the default."""
    for value in reversed(params.all("rodata")):
        if value in RODATA_VALUES:
            return value
    return "full" if config.enabled("RODATA_FULL_DEFAULT_ENABLED") else "on"


def kfence_early(params: Params, config: Config) -> bool:
    """Whether KFENCE takes its pool before the linear map is made."""
    early = config.integer("KFENCE_SAMPLE_INTERVAL", 0) != 0
    for value in params.all("kfence.sample_interval"):
        number = OPTION.match(value or "")
        if number is not None:
            early = memparse(number[1])[0] & INT != 0
    return early


def debug_pagealloc(params: Params, config: Config) -> bool:
    """Whether freed pages get unmapped (debug_pagealloc=)."""
    if not config.enabled("DEBUG_PAGEALLOC"):
        return False
    enabled = config.enabled("DEBUG_PAGEALLOC_ENABLE_DEFAULT")
    for value in params.all("debug_pagealloc"):
        parsed = kstrtobool(value)
        enabled = enabled if parsed is None else parsed
    return enabled


def can_set_direct_map(params: Params, config: Config, *, kfence_pool: bool) -> bool:
    """Whether single pages of the linear map must be changeable, so that it has no blocks.

    `kfence_pool`: KFENCE has got its pool, which it otherwise would want anywhere later.
    """
    late_kfence = config.enabled("KFENCE") and not kfence_pool
    return rodata(params, config) == "full" or debug_pagealloc(params, config) or late_kfence
