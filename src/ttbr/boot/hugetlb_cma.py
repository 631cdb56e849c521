"""``hugetlb_cma=``: contiguous memory for gigantic pages (mm/hugetlb.c: hugetlb_cma_reserve)."""

from __future__ import annotations

from ttbr.boot.cma import cma_declare_contiguous
from ttbr.boot.machine import Machine
from ttbr.boot.params import memparse, sizes_by_node
from ttbr.kernel.structs import max_numnodes

M = 1 << 20


def hugetlb_cma_reserve(machine: Machine, gigantic: int, huge: int, highmem_start: int) -> None:
    """``hugetlb_cma_reserve``: an area on each node that is to have one.

    Args:
        machine: its nodes are known.
        gigantic: bytes of the pages that the areas are for.
        huge: bytes of the usual huge page (HUGETLB_PAGE_ORDER).
        highmem_start: the physical address behind the linear map's RAM.
    """
    config, say = machine.kernel.config, machine.log.say
    if not (config.enabled("HUGETLB_PAGE") and config.enabled("CMA")):
        return
    total, asked = _parse(machine)
    for nid, size in sorted(asked.items()):
        if nid not in machine.numa.online:
            say(f"hugetlb_cma: invalid node {nid} specified")
        elif size < gigantic:
            at_least = gigantic // M
            say(f"hugetlb_cma: cma area of node {nid} should be at least {at_least} MiB")
        else:
            continue
        total -= size
        del asked[nid]
    if not total:
        return
    if total < gigantic:
        say(f"hugetlb_cma: cma area should be at least {gigantic // M} MiB")
        return
    per_node = 0
    if not asked:
        per_node = _up(-(-total // len(machine.numa.online)), gigantic)
        say(f"hugetlb_cma: reserve {total // M} MiB, up to {per_node // M} MiB per node")
    align = gigantic if machine.kernel.release.has("hugetlb_cma_gigantic_aligned") else huge
    reserved = 0
    for nid in machine.numa.online:
        if asked and nid not in asked:
            continue
        size = _up(asked[nid] if asked else min(per_node, total - reserved), gigantic)
        area = cma_declare_contiguous(
            machine,
            base=0,
            size=size,
            limit=0,
            fixed=False,
            name=f"hugetlb{nid}",
            highmem_start=highmem_start,
            alignment=align,
            nid=nid,
        )
        if area is None:
            say(f"hugetlb_cma: reservation failed: err -12, node {nid}")
            continue
        reserved += size
        say(f"hugetlb_cma: reserved {size // M} MiB on node {nid}")
        if reserved >= total:
            break


def _parse(machine: Machine) -> tuple[int, dict[int, int]]:
    """(all bytes, bytes by node) as ``cmdline_parse_hugetlb_cma`` adds them up."""
    total, asked = 0, dict[int, int]()
    for value in machine.params.all("hugetlb_cma"):
        found, rest = sizes_by_node(value or "", max_numnodes(machine.kernel))
        asked |= found
        total += sum(found.values())
        if rest[:1].isdigit() and ":" not in rest:
            total = memparse(value or "")[0]
    return total, asked


def _up(value: int, align: int) -> int:
    return -(-value // align) * align
