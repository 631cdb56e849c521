"""The layout of ``struct cred``: whose task it is (include/linux/cred.h).

Recovered by the capabilities of init_task, which has all that there are: inheritable (none),
permitted, effective and bounding (all), ambient (none), eight bytes each.
"""

import numpy as np

from ttbr.recover.finding import Finding, likely
from ttbr.recover.layouts import Recovered
from ttbr.recover.virtual_memory import VirtualMemory

_LEAST_CAPABILITIES = 37  # CAP_AUDIT_READ, the last one of Linux 3.16
# Before the capabilities: usage, eight ids, securebits; usage is a long since 6.7.
_USAGE_BY_PLACE = {40: 4, 48: 8}


def find_cred_layout(kernel: VirtualMemory, cred: int) -> Recovered:
    """The offset of ``uid``, by the ``cred`` of init_task; empty where it is not found."""
    data = kernel.try_read(cred, 128)
    if data is None:
        return {}
    words = np.frombuffer(data, "<u8").tolist()
    found: dict[str, Finding[int]] = {}
    for row in range(len(words) - 4):
        none, permitted, effective, bounding, ambient = words[row : row + 5]
        every = permitted == effective == bounding and permitted & (permitted + 1) == 0
        if every and permitted >> _LEAST_CAPABILITIES and not none and not ambient:
            usage = _USAGE_BY_PLACE.get(8 * row)
            if usage is not None:
                text = f"all capabilities of init_task are {8 * row} bytes behind its start"
                found["uid"] = likely(usage, text)
            break
    return found
