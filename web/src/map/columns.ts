/** Where the columns of the map are, and what its scale is labelled with. */

import type { Scale } from "../scale";

export const TOP = 22;

export const LEAST_LABEL = 13;

/** Where the columns are, for a width. */
export function columnsFor(width: number, digits: number, layers: number) {
  const narrow = width < 620;
  const letter = narrow ? 6.4 : 6.7;
  const address = Math.ceil((digits + 2) * letter) + 6;
  const band = narrow ? 0 : 120;
  const va = narrow ? 84 : Math.min(230, Math.max(130, width * 0.2));
  const link = narrow ? 34 : Math.min(140, Math.max(60, width * 0.1));
  const layer = narrow ? 13 : 26;
  const physicalAt = address + band + va + link;
  return {
    narrow,
    address,
    bandAt: address,
    band,
    vaAt: address + band,
    va,
    physicalAt,
    layer,
    labelAt: physicalAt + layers * (layer + 2) + 6,
    width: Math.max(width, physicalAt + layers * (layer + 2) + 4),
  };
}

export type Columns = ReturnType<typeof columnsFor>;

/** Borders of pieces that have room for a label, from the top down; top and bottom always have. */
export function edgesOf(scale: Scale): { at: number; y: number }[] {
  const found = [{ at: scale.high, y: 9 }];
  for (const piece of [...scale.pieces].reverse()) {
    const y = piece.bottom;
    if (y - (found.at(-1)?.y ?? 0) >= LEAST_LABEL && scale.height - y >= LEAST_LABEL) {
      found.push({ at: piece.low, y });
    }
  }
  return [...found, { at: scale.low, y: scale.height }];
}

export function zigzag(x: number, width: number, y: number): string {
  const teeth = 12;
  const step = width / teeth;
  let path = `M${x} ${y}`;
  for (let at = 1; at <= teeth; at++) path += `L${x + at * step} ${y + (at % 2 ? -2 : 2)}`;
  return path;
}
