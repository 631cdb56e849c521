"""The most memory that this process has had, whatever the process that started it had."""

import re
from pathlib import Path


def peak() -> int:
    """Bytes (VmHWM). Not ru_maxrss: that begins with the memory of the process before exec()."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    assert found is not None
    return int(found[1]) << 10
