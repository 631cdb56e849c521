"""setup_log_buf(): the kernel's log in memory of its own, where it has to grow.

Source: kernel/printk/printk.c, kernel/printk/printk_ringbuffer.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttbr.boot.params import memparse
from ttbr.kernel.structs import struct_sizes

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine

MOST = 1 << 31  # LOG_BUF_LEN_MAX
AVERAGE_BITS = 5  # PRB_AVGBITS: a record for so much text


def setup_log_buf(machine: Machine, cpus: int) -> None:
    """Text, descriptors and infos of a longer log: ``log_buf_len=``, else room for many CPUs."""
    kernel, memblock, say = machine.kernel, machine.memblock, machine.log.say
    own = 1 << kernel.config.integer("LOG_BUF_SHIFT", 17)
    wanted = 0
    for text in machine.params.all("log_buf_len"):
        if text is not None:
            wanted = _grown(memparse(text)[0], own) or wanted
    if not wanted:
        wanted = _for_cpus(machine, cpus, own)
    if not wanted:
        return
    records = wanted >> AVERAGE_BITS
    structs = struct_sizes(kernel)
    taken: list[tuple[int, int]] = []
    for what, size in (
        ("text", wanted),
        ("desc", records * structs.of("prb_desc")),
        ("info", records * structs.of("printk_info")),
    ):
        found = memblock.alloc_try_nid(size, structs.word, "setup_log_buf")
        if not found:
            say(f"printk: log_buf_len: {size} {what} bytes not available")
            for start, length in reversed(taken):
                memblock.free(start, length, "setup_log_buf")
            return
        taken.append((found, size))
    say(f"printk: log_buf_len: {wanted} bytes")
    machine.log.say(
        "printk: early log buf free: ?(?%)", unknown="the text that the kernel logged before"
    )


def _grown(size: int, own: int) -> int:
    """log_buf_len_update(): a power of two that is longer than the log in the image, or 0."""
    size = min(size, MOST)
    size = 1 << (size - 1).bit_length() if size else 0
    return size if size > own else 0


def _for_cpus(machine: Machine, cpus: int, own: int) -> int:
    """log_buf_add_cpu(): many CPUs say much."""
    config, say = machine.kernel.config, machine.log.say
    if not config.enabled("SMP") or cpus == 1:
        return 0
    each = 1 << config.integer("LOG_CPU_MAX_BUF_SHIFT", 12)
    extra = (cpus - 1) * each
    if extra <= own // 2:
        return 0
    say(f"printk: log_buf_len individual max cpu contribution: {each} bytes")
    say(f"printk: log_buf_len total cpu_extra contributions: {extra} bytes")
    say(f"printk: log_buf_len min size: {own} bytes")
    return _grown(extra + own, own)
