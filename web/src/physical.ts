/** Physical memory of a machine as layers that a picture shows side by side. */

import { UNIT } from "./address";
import { contentColour, layerColour } from "./colours";
import type { MachineView, Place } from "./model";
import type { Rows } from "./scale";

export interface Layer {
  readonly name: string;
  readonly places: readonly Place[];
  readonly colour: (place: Place) => string;
}

const MOST_TABLES = 20000;

/** The layers that a machine has; `replayed`: what lies where at a moment of a boot, if it is one. */
export function layersOf(machine: MachineView, replayed: readonly Place[] | null): Layer[] {
  const of = (layer: string): Place[] => machine.places.filter((place) => place.layer === layer);
  const found: Layer[] = [{ name: "ram", places: of("ram"), colour: () => layerColour("ram") }];
  const content = replayed ?? of("content");
  found.push({ name: "content", places: content, colour: (place) => contentColour(place.what) });
  for (const name of ["memory", "reserved", "zone"]) {
    if (replayed === null || name === "zone") {
      found.push({ name, places: of(name), colour: () => layerColour(name) });
    }
  }
  found.push({ name: "device", places: devices(machine), colour: () => layerColour("device") });
  found.push({ name: "tables", places: tables(machine), colour: () => layerColour("tables") });
  const free = freeRuns(machine);
  if (free.length) found.push({ name: "free", places: free, colour: () => layerColour("free") });
  return found.filter((layer) => layer.places.length > 0);
}

/** What all layers but RAM and zones have, as ranges that do not overlap: what a scale is made for. */
export function used(layers: readonly Layer[]): Rows {
  const ranges: [number, number][] = [];
  for (const layer of layers) {
    if (layer.name === "zone" || layer.name === "memory" || layer.name === "free") continue;
    if (layer.name === "ram") continue;
    for (const place of layer.places) ranges.push([place.start, place.end]);
  }
  return merged(ranges);
}

/** What is mapped outside of RAM. */
function devices(machine: MachineView): Place[] {
  const ram = machine.places.filter((place) => place.layer === "ram");
  const ranges: [number, number][] = [];
  for (const space of machine.spaces) {
    for (let row = 0; row < Math.min(space.length, MOST_TABLES); row++) {
      const start = space.pa[row] as number;
      if (!ram.some((bank) => start >= bank.start && start < bank.end)) {
        ranges.push([start, start + (space.pages[row] as number) * UNIT]);
      }
    }
  }
  const { start, end } = merged(ranges);
  return start.map((from, at) => ({ layer: "device", what: "", start: from, end: end[at] as number }));
}

export function merged(ranges: [number, number][]): { start: number[]; end: number[] } {
  ranges.sort((a, b) => a[0] - b[0]);
  const start: number[] = [];
  const end: number[] = [];
  for (const [from, to] of ranges) {
    const last = end.length - 1;
    if (last >= 0 && from <= (end[last] as number)) {
      end[last] = Math.max(end[last] as number, to);
    } else {
      start.push(from);
      end.push(to);
    }
  }
  return { start, end };
}

/** The extent of physical memory that there is anything to show of. */
export function extent(machine: MachineView, rows: Rows): [number, number] {
  let low = Infinity;
  let high = 0;
  for (const place of machine.places) {
    low = Math.min(low, place.start);
    high = Math.max(high, place.end);
  }
  for (let row = 0; row < rows.start.length; row++) {
    low = Math.min(low, rows.start[row] as number);
    high = Math.max(high, rows.end[row] as number);
  }
  return low < high ? [low, high] : [0, UNIT];
}

function tables(machine: MachineView): Place[] {
  const { doc } = machine;
  const { tables: rows, entry_size } = machine.machine.pool;
  const pa = doc.numbers(rows, "pa");
  const entries = doc.numbers(rows, "entries");
  const ranges: [number, number][] = [];
  for (let row = 0; row < Math.min(pa.length, MOST_TABLES); row++) {
    const start = pa[row] as number;
    ranges.push([start, start + (entries[row] as number) * entry_size]);
  }
  const { start, end } = merged(ranges);
  return start.map((from, at) => ({
    layer: "tables", what: "translation tables", start: from, end: end[at] as number,
  }));
}

function freeRuns(machine: MachineView): Place[] {
  const { free } = machine.machine;
  if (free === null) return [];
  const pa = machine.doc.numbers(free, "pa");
  const order = machine.doc.numbers(free, "order");
  const ranges: [number, number][] = [];
  for (let row = 0; row < pa.length; row++) {
    const start = pa[row] as number;
    ranges.push([start, start + machine.pageSize * 2 ** (order[row] as number)]);
  }
  const { start, end } = merged(ranges);
  return start.map((from, at) => ({ layer: "free", what: "", start: from, end: end[at] as number }));
}
