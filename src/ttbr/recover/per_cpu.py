"""Per-CPU data: where each CPU's copy lies, and sums over them."""

from ttbr.recover.layouts import Layouts
from ttbr.recover.virtual_memory import VirtualMemory

_MOST_CPUS = 8192


def cpu_offsets(kernel: VirtualMemory, table: int, room: int) -> list[int]:
    """What to add to a per-CPU address for each possible CPU: ``__per_cpu_offset``.

    ``room``: CPUs that the array at ``table`` has at most. Those that cannot be are zero.
    """
    found: list[int] = []
    for cpu in range(min(room, _MOST_CPUS)):
        offset = kernel.number(table + cpu * kernel.word)
        if not offset:
            break
        found.append(offset)
    return found


def counter_sum(kernel: VirtualMemory, layouts: Layouts, at: int, offsets: list[int]) -> int | None:
    """``percpu_counter_sum``: the count of a ``struct percpu_counter`` and what CPUs hold of it.

    ``offsets``: of the CPUs; none on a kernel for one CPU, whose counter is the number alone.
    """
    if not offsets:
        return _signed(kernel, at, 8)
    members = layouts.offsets("percpu_counter", "count", "counters")
    if members is None:
        # lib/percpu_counter.c: a lock, the count, with CPUs that come and go a list; the counters
        linked = kernel.number((kernel.number(at + 16) or 0) + kernel.word) == at + 16
        members = [8, 16 + 2 * kernel.word * linked]
    count, counters = _signed(kernel, at + members[0], 8), kernel.number(at + members[1])
    if count is None or counters is None:
        return None
    most = 1 << 8 * kernel.word
    parts = [_signed(kernel, (counters + offset) % most, 4) for offset in offsets]
    return None if None in parts else count + sum(part for part in parts if part is not None)


def _signed(kernel: VirtualMemory, at: int, size: int) -> int | None:
    data = kernel.try_read(at, size)
    return None if data is None else int.from_bytes(data, "little", signed=True)
