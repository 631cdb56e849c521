"""What is known of one frame, as text and JSON."""

from typing import Any

from rich.console import Console

from ttbr.recover.page_use import PageUse
from ttbr.report.hostile import shown

_ANON, _MOVABLE = 1, 2  # low bits of mapping (PAGE_MAPPING_…)


def page_json(use: PageUse, pa: int) -> dict[str, Any]:
    """Frame, struct page, what it is used as, and who maps the byte at ``pa``.

    ``processes`` is null where no tasks were found.
    """
    linux = use.memory.linux
    pfn = pa // linux.page_size
    found: dict[str, Any] = {"pa": hex(pa), "pfn": hex(pfn), "page": None, "free": None}
    pages = use.page(pfn)
    if pages is not None and len(pages):
        kind = str(use.types_of(pages)[0])
        mapping = int(pages.mapping[0])
        found["page"] = {
            "address": hex(int(pages.address[0])),
            "flags": hex(int(pages.flags[0])),
            "flag_names": use.flags_of(int(pages.flags[0])) if use.flag_bits else None,
            "refcount": int(pages.refcount[0]),
            "mapcount": None if kind else int(pages.mapcount[0]) + 1,
            "type": kind or None,
            "mapping": hex(mapping),
            "mapped_as": None if kind else _mapped_as(mapping),
            "head_pfn": hex(int(pages.head[0])),
        }
    block = use.free_block(pfn)
    if block is not None:
        found["free"] = {"first_pfn": hex(block[0]), "order": block[1]}
    found["kernel"] = [hex(va) for va in use.kernel_addresses(pa)]
    found["processes"] = None
    if linux.init_task is not None:
        names = dict(zip(linux.tasks.pid.tolist(), linux.tasks.comm, strict=True))
        found["processes"] = [
            {"pid": pid, "name": shown(names.get(pid, "")), "va": hex(va), "entry": kind}
            for pid, va, kind in use.users(pa)
        ]
    return found


def _mapped_as(mapping: int) -> str | None:
    if mapping & _ANON:
        return "anonymous (ksm)" if mapping & _MOVABLE else "anonymous"
    if mapping & _MOVABLE:
        return "movable kernel page"
    return "file or shared memory" if mapping else None


def print_page(out: Console, found: dict[str, Any]) -> None:
    """The same for people."""
    out.print(f"frame {found['pfn']}, physical {found['pa']}")
    page = found["page"]
    if page is None:
        out.print("struct page: not found")
    else:
        names = page["flag_names"]
        flags = "" if names is None else f" ({' '.join(names) or 'none by name'})"
        out.print(f"struct page {page['address']}: flags {page['flags']}{flags}")
        mapped = "a page with a type" if page["mapcount"] is None else f"{page['mapcount']}"
        out.print(f"references {page['refcount']}, mapped {mapped}, mapping {page['mapping']}")
        what = page["type"] or page["mapped_as"] or "no file's, not anonymous"
        out.print(f"what it is: {what}")
        if page["head_pfn"] != found["pfn"]:
            out.print(f"part of a compound page that begins at frame {page['head_pfn']}")
    if found["free"] is not None:
        block = found["free"]
        out.print(f"free: in a block of order {block['order']} from frame {block['first_pfn']}")
    for va in found["kernel"]:
        out.print(f"kernel {va}")
    if found["processes"] is None:
        out.print("processes: no tasks were found")
    for user in found["processes"] or ():
        out.print(f"pid {user['pid']} {user['name']} {user['va']} {user['entry']}")
    if not found["kernel"] and not found["processes"]:
        out.print("mapped by nothing that was found")
