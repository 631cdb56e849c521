/** What the map shows next: closer, farther, the region or the piece about an address. */

import { UNIT } from "../address";
import type { Scale } from "../scale";
import type { SpaceView } from "../space";

export function bounded(zoom: readonly [number, number] | null, view: SpaceView): [number, number] {
  if (zoom === null) return [view.low, view.high];
  const low = Math.max(view.low, Math.min(zoom[0], view.high - 1));
  return [low, Math.max(low + 1, Math.min(zoom[1], view.high))];
}

export function lastOf(high: number): bigint {
  return (BigInt(high) << 12n) - 1n;
}

/** The range about an address that is `factor` times as large on the screen. */
export function zoomAbout(scale: Scale, view: SpaceView, page: number, factor: number): [number, number] | null {
  const y = scale.y(page);
  let low: number;
  let high: number;
  if (factor < 1) {
    low = Math.floor(scale.at(Math.min(scale.height, y + (scale.height - y) * factor)));
    high = Math.ceil(scale.at(Math.max(0, y - y * factor)));
    if (high - low < 1) high = low + 1;
    if (low === scale.low && high === scale.high) {
      const half = Math.max(1, Math.floor((high - low) / 4));
      low = Math.max(scale.low, Math.floor(page) - half);
      high = Math.min(scale.high, low + 2 * half);
    }
  } else {
    const grown = (scale.high - scale.low) * factor * 2;
    low = Math.max(view.low, Math.floor(page - grown / 2));
    high = Math.min(view.high, Math.ceil(page + grown / 2));
  }
  return low <= view.low && high >= view.high ? null : [low, high];
}

export function moved(view: SpaceView, low: number, high: number, share: number): [number, number] {
  const step = Math.max(1, Math.floor((high - low) * Math.abs(share))) * Math.sign(share);
  const shifted = Math.max(view.low - low, Math.min(view.high - high, step));
  return [low + shifted, high + shifted];
}

/** The region with an address, with some room about it. */
export function around(view: SpaceView, page: number): [number, number] {
  const row = view.at(page);
  if (row < 0) return [Math.max(view.low, page - 8), Math.min(view.high, page + 8)];
  const low = view.page[row] as number;
  const high = view.end(row);
  const room = Math.max(1, Math.ceil((high - low) / 10));
  return [Math.max(view.low, low - room), Math.min(view.high, high + room)];
}

export function pieceOf(scale: Scale, at: number): [number, number] {
  const piece = scale.pieces.find((each) => at >= each.low && at < each.high) ?? scale.pieces[0];
  if (piece === undefined || (piece.low === scale.low && piece.high === scale.high)) {
    const quarter = Math.max(UNIT / 2, (scale.high - scale.low) / 4);
    return [Math.max(scale.low, at - quarter), Math.min(scale.high, at + quarter)];
  }
  return [piece.low, piece.high];
}

export function aroundPiece(scale: Scale, view: SpaceView, at: number): [number, number] {
  const row = view.at(at);
  if (row >= 0 && view.end(row) - (view.page[row] as number) < scale.high - scale.low) {
    return around(view, at);
  }
  const [low, high] = pieceOf(scale, at);
  return [Math.floor(low), Math.max(Math.floor(low) + 1, Math.ceil(high))];
}
