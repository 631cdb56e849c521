"""Tasks and their areas as text and JSON."""

from typing import Any

import numpy as np
from rich.console import Console

from ttbr.format import address, size
from ttbr.recover.linux import Linux
from ttbr.recover.linux_reading import KINDS
from ttbr.recover.processes import ProcessSpace
from ttbr.recover.table_cost import table_bytes
from ttbr.recover.task_state import UNKNOWN as UNKNOWN_STATE
from ttbr.recover.tasks import Tasks
from ttbr.recover.vmas import Vmas
from ttbr.report.hostile import shown

_K = 1024


def _number(value: int) -> str:
    return "?" if value < 0 else str(value)


def print_tasks(out: Console, linux: Linux, tasks: Tasks, rows: list[int]) -> None:
    """One line a task; sizes are those that its tables really hold."""
    bits = 8 * linux.word
    width = 2 + bits // 4
    out.print(
        f"{'PID':>7} {'TGID':>7} {'PPID':>7} {'UID':>5} S  {'TASK':{width}} {'MM':{width}} "
        f"{'ROOT':>14} {'ASID':>6} {'RSS':>9} {'TABLES':>6}  NAME"
    )
    for row in rows:
        mm, root = int(tasks.mm[row]), int(tasks.pgd[row])
        space = linux.processes.of(root) if root else None
        kind = shown(tasks.comm[row])
        out.print(
            f"{_number(int(tasks.pid[row])):>7} {_number(int(tasks.tgid[row])):>7} "
            f"{_number(int(tasks.parent[row])):>7} {_number(int(tasks.uid[row])):>5} "
            f"{tasks.state[row]}  {address(int(tasks.address[row]), bits)} "
            f"{address(mm, bits) if mm else '-':{width}} {f'{root:#x}' if root else '-':>14} "
            f"{_number(int(tasks.asid[row])) if mm else '-':>6} "
            f"{size(space.resident) if space else '-':>9} {space.tables if space else '-':>6}  "
            f"{kind if mm else f'[{kind}]'}",
            soft_wrap=True,
        )


def tasks_json(linux: Linux, tasks: Tasks, rows: list[int]) -> list[dict[str, Any]]:
    """Tasks as JSON has them; what is unknown is null."""

    def known(value: int) -> int | None:
        return None if value < 0 else value

    listed = []
    for row in rows:
        mm, root = int(tasks.mm[row]), int(tasks.pgd[row])
        space = linux.processes.of(root) if root else None
        listed.append(
            {
                "pid": known(int(tasks.pid[row])),
                "tgid": known(int(tasks.tgid[row])),
                "ppid": known(int(tasks.parent[row])),
                "uid": known(int(tasks.uid[row])),
                "state": None if tasks.state[row] == UNKNOWN_STATE else tasks.state[row],
                "name": shown(tasks.comm[row]),
                "task": hex(int(tasks.address[row])),
                "mm": hex(mm) if mm else None,
                "root": hex(root) if root else None,
                "asid": known(int(tasks.asid[row])),
                "resident_bytes": space.resident if space else None,
                "table_pages": space.tables if space else None,
                "table_bytes": table_bytes(linux, row) if space else None,
            }
        )
    return listed


def print_vmas(out: Console, vmas: Vmas, rows: list[int], space: ProcessSpace, word: int) -> None:
    """The lines of /proc/PID/maps, each with what is truly mapped in the area."""
    permissions = vmas.permissions()
    for row in rows:
        start, end = int(vmas.start[row]), int(vmas.end[row])
        device = int(vmas.device[row])
        where = "??:??" if device < 0 else f"{device >> 20:02x}:{device & 0xFFFFF:02x}"
        name = vmas.name[row]
        mapped = _mapped(space, start, end)
        line = (
            f"{start:08x}-{end:08x} {permissions[row]} {int(vmas.offset[row]):08x} "
            f"{where} {_number(int(vmas.inode[row]))} "
        )
        text = "?" if name is None else shown(name)
        out.print(f"{line:<{25 + 6 * word}}{_words(mapped):<28} {text}".rstrip(), soft_wrap=True)


def _mapped(space: ProcessSpace, start: int, end: int) -> dict[str, int]:
    """Bytes in an area by what Linux makes of their entries."""
    rows = space.within(start, end)
    kinds, sizes = space.view.readings.kind[rows], space.view.size[rows]
    total = np.bincount(kinds, weights=sizes.astype(np.float64), minlength=len(KINDS))
    return {kind: int(n) for kind, n in zip(KINDS, total.tolist(), strict=True) if n}


def _words(mapped: dict[str, int]) -> str:
    if not mapped:
        return "nothing"
    return ", ".join(f"{n // _K} KiB {kind}" for kind, n in mapped.items())


def vmas_json(vmas: Vmas, rows: list[int], space: ProcessSpace) -> list[dict[str, Any]]:
    """Areas as JSON has them; ``mapped``: bytes by kind of entry."""
    permissions = vmas.permissions()
    listed = []
    for row in rows:
        start, end = int(vmas.start[row]), int(vmas.end[row])
        device, name = int(vmas.device[row]), vmas.name[row]
        listed.append(
            {
                "start": hex(start),
                "end": hex(end),
                "permissions": permissions[row],
                "flags": hex(int(vmas.flags[row])),
                "offset": int(vmas.offset[row]),
                "major": None if device < 0 else device >> 20,
                "minor": None if device < 0 else device & 0xFFFFF,
                "inode": None if vmas.inode[row] < 0 else int(vmas.inode[row]),
                "name": None if name is None else shown(name),
                "mapped": _mapped(space, start, end),
            }
        )
    return listed


def unknown_notes(linux: Linux, *unknown: tuple[str, ...]) -> list[str]:
    """What could not be told, as lines."""
    members = [member for group in unknown for member in group]
    if not members:
        return []
    said = "and no types were given" if linux.types is None else f"by {linux.types.source}"
    return [f"unknown, as the data do not show it {said}: {', '.join(dict.fromkeys(members))}"]
