"""From the end of setup_arch() to the page allocator: start_kernel()'s part in it, in its order.

Source: init/main.c: start_kernel, mm_init (6.12: mm/mm_init.c: mm_core_init).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttbr.boot import mem_debugging
from ttbr.boot.command_lines import print_unknown_bootoptions, setup_command_line
from ttbr.boot.free_all import memblock_free_all
from ttbr.boot.hugetlb import hugetlb_parameters
from ttbr.boot.log_buf import setup_log_buf
from ttbr.boot.mem_init_print_info import mem_init_print_info
from ttbr.boot.percpu import setup_per_cpu_areas
from ttbr.boot.possible_cpus import possible_cpus
from ttbr.boot.swiotlb import Swiotlb
from ttbr.boot.system_hash import vfs_caches_init_early
from ttbr.boot.zonelists import build_all_zonelists

if TYPE_CHECKING:
    from ttbr.boot.machine import Machine


@dataclass(frozen=True, slots=True)
class Reach:
    """What an architecture says about memory that devices reach.

    ``goal``: physical address of MAX_DMA_ADDRESS; bulky requests are tried above it first.
    ``swiotlb``: sets up bounce buffers; called with the number of possible CPUs.
    """

    goal: int
    swiotlb: Callable[[Swiotlb, int], None]


def mm_init(machine: Machine, reach: Reach) -> None:
    """Everything that memblock still pays for, and the hand-over."""
    mem_init(machine, reach, cpus=before_mem_init(machine, reach))


def before_mem_init(machine: Machine, reach: Reach) -> int:
    """What comes before `mem_init`; the number of possible CPUs."""
    release, say = machine.kernel.release, machine.log.say
    setup_command_line(machine)
    cpus = possible_cpus(machine)
    setup_per_cpu_areas(machine, cpus, reach.goal)
    late_lists = release.has("zonelists_in_mm_core_init")
    if not late_lists:
        build_all_zonelists(machine)
    say(f"Kernel command line: {machine.params.text}")
    hugetlb_parameters(machine)
    print_unknown_bootoptions(machine)
    setup_log_buf(machine, len(cpus))
    vfs_caches_init_early(machine)
    if late_lists:
        build_all_zonelists(machine)
    mem_debugging.page_ext_init_flatmem(machine, reach.goal)
    mem_debugging.kfence_alloc_pool(machine)
    mem_debugging.report_meminit(machine)
    mem_debugging.stack_depot_early_init(machine)
    return len(cpus)


def mem_init(machine: Machine, reach: Reach, *, cpus: int) -> None:
    """``mem_init``: bounce buffers, and all that is left goes to the page allocator."""
    reach.swiotlb(Swiotlb.of(machine), cpus)
    machine.handed_over = got = memblock_free_all(machine)
    mem_init_print_info(machine, got)
