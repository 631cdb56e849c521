/** Who shares which frames: the entries of all processes, laid over each other. */

import { UNIT } from "./address";
import { lastAtMost } from "./find";
import type { MachineView } from "./model";

/** What a process has, in bytes; of huge pages and copy-on-write also those that are shared. */
export interface Process {
  readonly pid: number;
  readonly name: string;
  readonly root: string;
  /** The name of its space. */
  readonly space: string;
  readonly tasks: readonly number[];
  resident: number;
  own: number;
  shared: number;
  huge: number;
  /** In writable private areas, but not writable: copied when it is written. */
  copied: number;
  swapped: number;
  /** Pages that the hardware must not use yet, or must not give: PROT_NONE, old. */
  hidden: number;
}

export interface Run {
  readonly process: number;
  readonly page: number;
  readonly pages: number;
  readonly pa: number;
  readonly unit: number;
  readonly kind: string;
  readonly flags: number;
  readonly copied: boolean;
  readonly huge: boolean;
}

export interface Sharing {
  readonly processes: readonly Process[];
  readonly runs: readonly Run[];
  /** Bytes that two processes have in common, by their indices. */
  readonly common: readonly (readonly number[])[];
}

const PAGE_KINDS = new Set(["present", "PROT_NONE", "old", "invalidated"]);

const MADE = new WeakMap<MachineView, Sharing>();

export function sharingOf(machine: MachineView): Sharing {
  let found = MADE.get(machine);
  if (found === undefined) {
    found = compute(machine);
    MADE.set(machine, found);
  }
  return found;
}

function compute(machine: MachineView): Sharing {
  const { doc, subject } = machine;
  const tasks = subject.relations?.["tasks"];
  const names = new Map<number, string>();
  if (tasks !== undefined) {
    const pid = doc.numbers(tasks, "pid");
    for (let row = 0; row < pid.length; row++) {
      names.set(pid[row] as number, doc.text(tasks, "name", row) ?? "");
    }
  }
  const bit = (flag: string): number => {
    const at = (subject.flags ?? []).indexOf(flag);
    return at < 0 ? 0 : 1 << at;
  };
  const [write, special] = [bit("write"), bit("special")];
  const processes: Process[] = [];
  const runs: Run[] = [];
  const areas = areasOf(machine);
  for (const view of machine.spaces) {
    const entries = subject.entries?.[view.space.root];
    const pid = view.space.owners[0];
    if (entries === undefined || pid === undefined) continue;
    const process: Process = {
      pid, name: names.get(pid) ?? "", root: view.space.root, space: view.space.name,
      tasks: view.space.owners,
      resident: 0, own: 0, shared: 0, huge: 0, copied: 0, swapped: 0, hidden: 0,
    };
    const at = processes.push(process) - 1;
    const own = areas.get(pid) ?? [];
    const starts = own.map((area) => area.low);
    const column = (name: "page" | "pages" | "pa" | "unit" | "flags"): Float64Array => doc.numbers(entries, name);
    const [page, pages, pa, unit, flags] = [column("page"), column("pages"), column("pa"), column("unit"), column("flags")];
    for (let row = 0; row < entries.rows; row++) {
      const kind = doc.text(entries, "kind", row) ?? "";
      const bytes = (pages[row] as number) * UNIT;
      const bits = flags[row] as number;
      if (kind === "swap") process.swapped += bytes;
      if (!PAGE_KINDS.has(kind) || bits & special) continue;
      process.resident += bytes;
      if (kind !== "present") process.hidden += bytes;
      const huge = (unit[row] as number) * UNIT > machine.pageSize;
      if (huge) process.huge += bytes;
      const area = own[lastAtMost(starts, page[row] as number)];
      const private_ = area !== undefined && (page[row] as number) < area.high && area.private;
      const copied = private_ && area.writable && !(bits & write) && kind !== "PROT_NONE";
      if (copied) process.copied += bytes;
      runs.push({
        process: at, page: page[row] as number, pages: pages[row] as number, pa: pa[row] as number,
        unit: unit[row] as number, kind, flags: bits, copied, huge,
      });
    }
  }
  return { processes, runs, common: overlay(processes, runs) };
}

interface Area {
  readonly low: number;
  readonly high: number;
  readonly writable: boolean;
  readonly private: boolean;
}

/** The areas of each process, ascending. */
function areasOf(machine: MachineView): Map<number, Area[]> {
  const { doc, subject } = machine;
  const vmas = subject.relations?.["vmas"];
  const found = new Map<number, Area[]>();
  if (vmas === undefined) return found;
  const pid = doc.numbers(vmas, "pid");
  const start = doc.words(vmas, "start");
  const last = doc.words(vmas, "last");
  for (let row = 0; row < pid.length; row++) {
    const permissions = doc.text(vmas, "permissions", row) ?? "";
    const areas = found.get(pid[row] as number) ?? [];
    areas.push({
      low: Number((start[row] as bigint) >> 12n),
      high: Number((last[row] as bigint) >> 12n) + 1,
      writable: permissions.includes("w"),
      private: permissions.endsWith("p"),
    });
    found.set(pid[row] as number, areas);
  }
  for (const areas of found.values()) areas.sort((a, b) => a.low - b.low);
  return found;
}

/** Sweep over physical memory: who has each piece of it. */
function overlay(processes: Process[], runs: readonly Run[]): number[][] {
  const common = processes.map(() => processes.map(() => 0));
  const edges: { at: number; run: Run; opens: boolean }[] = [];
  for (const run of runs) {
    edges.push({ at: run.pa, run, opens: true });
    edges.push({ at: run.pa + run.pages * UNIT, run, opens: false });
  }
  edges.sort((a, b) => a.at - b.at);
  const open = new Map<number, number>();
  let before = 0;
  for (const { at, run, opens } of edges) {
    const bytes = at - before;
    if (bytes > 0 && open.size > 0) {
      const who = [...open.keys()];
      for (const one of who) {
        const process = processes[one] as Process;
        if (who.length === 1) process.own += bytes;
        else process.shared += bytes;
        for (const other of who) {
          const row = common[one] as number[];
          row[other] = (row[other] as number) + bytes;
        }
      }
    }
    before = at;
    const times = (open.get(run.process) ?? 0) + (opens ? 1 : -1);
    if (times > 0) open.set(run.process, times);
    else open.delete(run.process);
  }
  return common;
}
