/** A boot, event by event: what lies where in physical memory after some of them. */

import type { Boot } from "./document";
import type { MachineView, Model, Place } from "./model";

export interface Event {
  readonly kind: string;
  readonly start: bigint;
  /** Inclusive. */
  readonly end: bigint;
  readonly function: string;
  readonly stage: string;
  readonly detail: string;
}

const MADE = new WeakMap<Boot, Event[]>();

export function eventsOf(model: Model, boot: Boot): Event[] {
  let found = MADE.get(boot);
  if (found === undefined) {
    const { doc } = model;
    const { events } = boot;
    const start = doc.words(events, "start");
    const end = doc.words(events, "end");
    const said = (name: "kind" | "function" | "stage" | "detail", row: number): string =>
      doc.text(events, name, row) ?? "";
    found = Array.from(start, (from, row) => ({
      kind: said("kind", row),
      start: from,
      end: end[row] as bigint,
      function: said("function", row),
      stage: said("stage", row),
      detail: said("detail", row),
    }));
    MADE.set(boot, found);
  }
  return found;
}

/** The number of the machine that stands for a moment: of the last stage that is over by then. */
export function machineAfter(model: Model, boot: Boot, machines: readonly number[], count: number): number {
  const events = eventsOf(model, boot);
  const next = events[count];
  if (next === undefined) return machines.at(-1) ?? 0;
  const stages = machines.map((number) => model.doc.head.machines[number]?.stage);
  // The stage of the next event is not over
  const at = stages.indexOf(next.stage);
  return machines[at < 0 ? machines.length - 1 : Math.max(0, at - 1)] ?? 0;
}

/** How many events there are until a machine's stage is over. */
export function eventsUntil(model: Model, boot: Boot, machines: readonly number[], number: number): number {
  const stages = machines.map((each) => model.doc.head.machines[each]?.stage);
  const done = new Set(stages.slice(0, machines.indexOf(number) + 1));
  const events = eventsOf(model, boot);
  let count = 0;
  while (count < events.length && done.has((events[count] as Event).stage)) count++;
  return count;
}

/**
 * What memblock has reserved after `count` events, with the kernel function that asked for it; null
 * where the machine is no boot's, or is its end, where the document itself says what lies where.
 */
export function replay(model: Model, machine: MachineView, count: number | null): Place[] | null {
  const boot = machine.subject.boot;
  if (boot === undefined || boot === null) return null;
  const { machines } = machine.subject;
  const events = eventsOf(model, boot);
  const until = count ?? eventsUntil(model, boot, machines, machine.number);
  if (until >= events.length) return null;
  let found: Place[] = [];
  for (const event of events.slice(0, until)) {
    if (event.end < event.start || event.end >= 1n << 53n) continue;
    const start = Number(event.start);
    const end = Number(event.end) + 1;
    if (event.kind === "memblock_reserve") {
      found.push({ layer: "content", what: caller(event), start, end });
    } else if (event.kind === "memblock_phys_free") {
      found = found.flatMap((place) => without(place, start, end));
    }
  }
  const fixed = machine.places.filter((place) => place.layer === "content");
  const known = fixed.filter((place) => /^(kernel|device tree|initrd)/.test(place.what));
  return [...known, ...found].sort((a, b) => a.start - b.start || b.end - a.end);
}

/** Who asked for memory: of an allocation the function in its line. */
export function caller(event: Event): string {
  const asked = event.function === "memblock_alloc_range_nid" ? event.detail.split(" ").at(-1) : "";
  return asked || event.function;
}

function without(place: Place, start: number, end: number): Place[] {
  if (end <= place.start || start >= place.end) return [place];
  const left: Place[] = [];
  if (place.start < start) left.push({ ...place, end: start });
  if (end < place.end) left.push({ ...place, start: end });
  return left;
}
