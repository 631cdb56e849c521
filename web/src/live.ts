/** What a served page asks its server for: what its document leaves out. */

import { useEffect, useState } from "preact/hooks";
import { hex, pageOf, UNIT, vaOf } from "./address";
import type { Hex } from "./document";
import { asked, served } from "./load";
import type { MachineView } from "./model";
import type { Rows, SpaceView } from "./space";

/** Milliseconds that a window has to stay before its rows are asked for. */
const PAUSE = 120;
/** Rows that a window can have. */
const MOST = 4096;

interface Translation {
  readonly steps: readonly { readonly table: Hex; readonly index: number; readonly descriptor: Hex }[];
}

interface Mappings {
  readonly mappings: readonly {
    readonly va: Hex;
    readonly pa: Hex;
    readonly size: number;
    readonly levels: readonly number[];
    readonly descriptors: number;
    readonly attributes: string | null;
  }[];
  readonly next: Hex | null;
}

/** Ask for the descriptors on the way of an address, and keep them with the tables. */
export async function learnWay(machine: MachineView, root: string, va: bigint): Promise<void> {
  const about = { machine: String(machine.number), va: hex(va), root };
  const answer = (await (await asked("translate", about)).json()) as Translation;
  for (const { table, index, descriptor } of answer.steps) {
    machine.pool.learn(Number(table), index, BigInt(descriptor));
  }
}

/** A space as far as it is known: exact in pages [low, high) as soon as the server has answered. */
export function useDetail(machine: MachineView, view: SpaceView, low: number, high: number): SpaceView {
  const [fine, setFine] = useState<SpaceView | null>(null);
  const known = fine !== null && fine.space === view.space && fine.cut(low, high) === null;
  useEffect(() => {
    if (!served() || known || view.cut(low, high) === null) return;
    let stale = false;
    const timer = setTimeout(() => {
      rowsWithin(machine.number, view, low, high).then(
        (rows) => !stale && rows !== null && setFine(view.refined(rows, low, high)),
        () => undefined, // the page goes on saying that it is coarse
      );
    }, PAUSE);
    return () => {
      stale = true;
      clearTimeout(timer);
    };
  }, [view, low, high, known]);
  return known ? fine : view;
}

/** All rows of a window; null where there are too many. */
async function rowsWithin(
  machine: number,
  view: SpaceView,
  low: number,
  high: number,
): Promise<Rows | null> {
  const answer = await asked("mappings", {
    machine: String(machine),
    root: view.space.name,
    from: hex(vaOf(low)),
    to: hex(vaOf(Math.ceil(high) - 1) | 0xfffn),
    limit: String(MOST),
  });
  const { mappings, next } = (await answer.json()) as Mappings;
  if (next !== null) return null;
  const meanings = new Map(view.doc.head.meanings.map((meaning, at) => [meaning.summary, at]));
  const column = (value: (row: Mappings["mappings"][number]) => number): Float64Array =>
    Float64Array.from(mappings, value);
  const pages = column((row) => row.size / UNIT);
  return {
    page: column((row) => pageOf(BigInt(row.va))),
    pages,
    mapped: pages,
    pa: column((row) => Number(row.pa)),
    meaning: column((row) => meanings.get(row.attributes ?? "") ?? -1),
    descriptors: column((row) => row.descriptors),
    levels: (row) => mappings[row]?.levels.join("/") ?? "",
  };
}
