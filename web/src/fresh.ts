/** What a stage of a boot has added to a space: rows that the stage before did not have. */

import type { MachineView, Model } from "./model";
import type { SpaceView } from "./space";
import type { State } from "./state";

const NONE = (): boolean => false;

export function added(
  model: Model,
  machine: MachineView,
  view: SpaceView,
  state: State,
): (row: number) => boolean {
  if (state.event === null) return NONE;
  const { machines } = machine.subject;
  const before = model.machine(machines[machines.indexOf(machine.number) - 1] ?? -1);
  const old = before?.spaces.find((each) => each.space.name === view.space.name);
  if (before === null) return NONE;
  const rows = new Set<number>();
  for (let row = 0; row < view.length; row++) {
    if (old === undefined || !has(old, view, row)) rows.add(row);
  }
  return (row) => rows.has(row);
}

/** Whether a space maps the whole of another's row to the same memory, alike. */
function has(old: SpaceView, view: SpaceView, row: number): boolean {
  const page = view.page[row] as number;
  const found = old.at(page);
  if (found < 0 || old.end(found) < view.end(row)) return false;
  if (old.meaning[found] !== view.meaning[row]) return false;
  const shift = (page - (old.page[found] as number)) * 4096;
  return (old.pa[found] as number) + shift === view.pa[row];
}
