/**
 * A scale on which 4 KiB lie beside 128 TiB: what is long is cut out and drawn short.
 *
 * A range of addresses is divided into pieces. Gaps, and rows that are much longer than the rest, are
 * pieces of their own; what is between them stays together. Within a piece the scale is linear; how
 * high a piece is grows with the logarithm of its length. Looked at closely enough, there is one
 * piece. The highest addresses are at the top.
 */

import { lastAtMost } from "./find";

export interface Piece {
  readonly low: number;
  readonly high: number;
  /** Where it is drawn: `top` is `high`. */
  readonly top: number;
  readonly bottom: number;
  /** Nothing lies here. */
  readonly gap: boolean;
}

/** Ranges that do not overlap, ascending. */
export interface Rows {
  readonly start: ArrayLike<number>;
  readonly end: ArrayLike<number>;
}

const MOST_CUTS = 24;
const SHARE = 0.04;
const GAP_HEIGHT = 18;
const LEAST_HEIGHT = 20;

export class Scale {
  private readonly lows: number[];

  constructor(
    readonly low: number,
    readonly high: number,
    readonly height: number,
    readonly pieces: readonly Piece[],
  ) {
    this.lows = pieces.map((piece) => piece.low);
  }

  /** Where an address is drawn. */
  y(at: number): number {
    const piece = this.pieces[Math.max(0, lastAtMost(this.lows, at))] as Piece;
    const share = Math.min(1, Math.max(0, (at - piece.low) / (piece.high - piece.low)));
    return piece.bottom - share * (piece.bottom - piece.top);
  }

  /** What is drawn at a height. */
  at(y: number): number {
    // The first piece is the lowest, drawn at the bottom
    const piece = this.pieces.find((each) => y >= each.top) ?? (this.pieces.at(-1) as Piece);
    const share = (piece.bottom - y) / (piece.bottom - piece.top);
    return piece.low + Math.min(1, Math.max(0, share)) * (piece.high - piece.low);
  }
}

interface Cut {
  readonly low: number;
  readonly high: number;
  readonly gap: boolean;
}

/** The scale for addresses [low, high) of which `rows` are in use, about `height` pixels high. */
export function makeScale(rows: Rows, low: number, high: number, height: number): Scale {
  const cuts = chosen(longest(rows, low, high), high - low);
  cuts.sort((a, b) => a.low - b.low);
  const parts: Cut[] = [];
  let at = low;
  for (const cut of cuts) {
    if (cut.low > at) parts.push({ low: at, high: cut.low, gap: false });
    parts.push(cut);
    at = cut.high;
  }
  if (at < high) parts.push({ low: at, high, gap: false });
  const gaps = parts.filter((part) => part.gap).length;
  const used = parts.length - gaps;
  const weights = parts.map((part) => (part.gap ? 0 : 4 + Math.log2(1 + part.high - part.low)));
  const sum = weights.reduce((a, b) => a + b, 0) || 1;
  const gapHeight = used === 0 ? height / Math.max(1, gaps) : GAP_HEIGHT;
  const left = used === 0 ? 0 : Math.max(height - gaps * gapHeight, used * LEAST_HEIGHT);
  const heights = parts.map((part, i) => (part.gap ? gapHeight : ((weights[i] as number) / sum) * left));
  const total = heights.reduce((a, b) => a + b, 0);
  let bottom = total;
  const pieces = parts.map((part, i) => {
    const top = bottom - (heights[i] as number);
    const piece: Piece = { ...part, top, bottom };
    bottom = top;
    return piece;
  });
  return new Scale(low, high, total, pieces);
}

/** The longest gaps and rows within [low, high), longest first. */
function longest(rows: Rows, low: number, high: number): Cut[] {
  const found: Cut[] = [];
  let least = 0;
  const offer = (from: number, to: number, gap: boolean): void => {
    const length = to - from;
    if (length <= least || length <= 0) return;
    let at = found.length;
    while (at > 0 && length > (found[at - 1] as Cut).high - (found[at - 1] as Cut).low) at--;
    found.splice(at, 0, { low: from, high: to, gap });
    if (found.length > MOST_CUTS) {
      found.pop();
      const last = found[MOST_CUTS - 1] as Cut;
      least = last.high - last.low;
    }
  };
  const { start, end } = rows;
  let row = Math.max(0, firstAfter(start, low) - 1);
  let at = low;
  for (; row < start.length && (start[row] as number) < high; row++) {
    const from = Math.max(start[row] as number, low);
    const to = Math.min(end[row] as number, high);
    if (to <= low) continue;
    offer(at, from, true);
    offer(from, to, false);
    at = Math.max(at, to);
  }
  offer(at, high, true);
  return found;
}

/** Of the longest, those that would leave too little of the picture to all that is shorter. */
function chosen(found: readonly Cut[], total: number): Cut[] {
  const cuts: Cut[] = [];
  let left = total;
  for (const cut of found) {
    const length = cut.high - cut.low;
    if (length < SHARE * left || length === total) break;
    cuts.push(cut);
    left -= length;
  }
  return found.length === 1 && found[0]?.gap ? [found[0]] : cuts;
}

function firstAfter(start: ArrayLike<number>, at: number): number {
  let low = 0;
  let high = start.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((start[middle] as number) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
