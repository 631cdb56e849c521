/** Rows of a space as rectangles: as many as there are pixels, however many rows there are. */

import type { Fill, Fills } from "./colours";
import type { Scale } from "./scale";
import type { SpaceView } from "./space";
import type { MachineView } from "./model";

export interface Box {
  readonly top: number;
  readonly bottom: number;
  readonly fill: Fill;
  /** The row that is drawn here, the largest of several. */
  readonly row: number;
  readonly count: number;
  readonly faint: boolean;
  readonly fresh: boolean;
}

const MOST_ROWS = 1500;
const SAMPLES = 24;

interface How {
  readonly machine: MachineView;
  readonly fills: Fills;
  /** Rows that are shown faintly: a condition does not hold for them. */
  readonly faint: (row: number) => boolean;
  /** Rows that the step of a boot has added. */
  readonly fresh: (row: number) => boolean;
}

/** The boxes of the rows within the scale, from the lowest address up. */
export function boxes(view: SpaceView, scale: Scale, how: How): Box[] {
  const found: Box[] = [];
  for (const piece of scale.pieces) {
    if (piece.gap) continue;
    const [first, end] = view.within(piece.low, piece.high);
    const add = (top: number, bottom: number, row: number, count: number): void => {
      const band = how.machine.band(view.page[row] as number)?.name ?? "";
      const fill = how.fills.of(view.meaningOf(row), band);
      const faint = how.faint(row);
      const fresh = how.fresh(row);
      const before = found.at(-1);
      const same =
        before !== undefined && count > 1 && before.count > 1 && before.fill === fill &&
        before.faint === faint && before.fresh === fresh && before.top - bottom < 0.6;
      if (same) found[found.length - 1] = { ...before, top, count: before.count + count };
      else found.push({ top, bottom, fill, row, count, faint, fresh });
    };
    if (end - first <= MOST_ROWS / scale.pieces.length + 50) {
      for (let row = first; row < end; row++) {
        const low = Math.max(view.page[row] as number, piece.low);
        const high = Math.min(view.end(row), piece.high);
        add(scale.y(high), scale.y(low), row, 1);
      }
      continue;
    }
    // More rows than pixels: of those in a line of pixels, the largest
    const lines = Math.max(1, Math.round(piece.bottom - piece.top));
    const step = (piece.high - piece.low) / lines;
    for (let line = 0; line < lines; line++) {
      const low = piece.low + line * step;
      const [from, to] = view.within(low, low + step);
      if (from >= to) continue;
      let largest = from;
      const stride = Math.max(1, Math.floor((to - from) / SAMPLES));
      for (let row = from; row < to; row += stride) {
        if ((view.mapped[row] as number) > (view.mapped[largest] as number)) largest = row;
      }
      const bottom = piece.bottom - line * ((piece.bottom - piece.top) / lines);
      add(bottom - (piece.bottom - piece.top) / lines, bottom, largest, to - from);
    }
  }
  return found;
}
