/** Columns of numbers out of a document's body: the other half of `ttbr.report.view.columns`. */

import type { Column, Head, Table } from "./document";

const HIGH = 4294967296;

/** A document: the head, and its columns, each decoded when it is first asked for. */
export class Doc {
  private readonly made = new WeakMap<Column, Float64Array | BigUint64Array>();

  constructor(
    readonly head: Head,
    private readonly body: Uint8Array,
  ) {}

  /** A column of whole numbers below 2^53, or of codes. */
  numbers<C extends string>(table: Table<C>, name: C): Float64Array {
    const column = table.columns[name];
    let found = this.made.get(column);
    if (found === undefined) {
      found = floats(this.planes(column, table.rows), table.rows, column.width ?? 1);
      this.made.set(column, found);
    }
    return found as Float64Array;
  }

  /** A column of words of 64 bits. */
  words<C extends string>(table: Table<C>, name: C): BigUint64Array {
    const column = table.columns[name];
    let found = this.made.get(column);
    if (found === undefined) {
      found = words(this.planes(column, table.rows), table.rows, column.width ?? 1);
      this.made.set(column, found);
    }
    return found as BigUint64Array;
  }

  /** Whether the value of a row is known. */
  known(column: Column, row: number): boolean {
    if (column.known === undefined) return true;
    return ((this.body[column.known + (row >> 3)] ?? 0) >> (row & 7) & 1) === 1;
  }

  /** The text of a row of a column of text or codes; null for nothing. */
  text<C extends string>(table: Table<C>, name: C, row: number): string | null {
    const column = table.columns[name];
    if (column.is === "text") return column.values?.[row] ?? null;
    return column.values?.[this.numbers(table, name)[row] ?? -1] ?? null;
  }

  /** A cell as it is shown and written to CSV; null where it is not known. */
  cell<C extends string>(table: Table<C>, name: C, row: number): string | null {
    const column = table.columns[name];
    if (!this.known(column, row)) return null;
    switch (column.is) {
      case "text":
      case "code":
        return this.text(table, name, row);
      case "word":
        return "0x" + (this.words(table, name)[row] ?? 0n).toString(16);
      default:
        return String(this.numbers(table, name)[row] ?? "");
    }
  }

  private planes(column: Column, rows: number): Uint8Array {
    const at = column.at ?? 0;
    return this.body.subarray(at, at + rows * (column.width ?? 1));
  }
}

function floats(planes: Uint8Array, rows: number, width: number): Float64Array {
  const found = new Float64Array(rows);
  const sign = (width - 1) * rows;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    let step = 0;
    let scale = 1;
    for (let at = row; at < width * rows; at += rows) {
      step += (planes[at] as number) * scale;
      scale *= 256;
    }
    // With eight bytes the difference wraps modulo 2^64; all else fits into a float
    if ((planes[sign + row] as number) & 0x80) step -= scale;
    sum += step;
    found[row] = sum;
  }
  return found;
}

function words(planes: Uint8Array, rows: number, width: number): BigUint64Array {
  const found = new BigUint64Array(rows);
  const halves = new Uint32Array(found.buffer);
  let low = 0;
  let high = 0;
  for (let row = 0; row < rows; row++) {
    const fill = (planes[(width - 1) * rows + row] as number) & 0x80 ? 0xff : 0;
    let stepLow = 0;
    let stepHigh = 0;
    for (let byte = 0; byte < 8; byte++) {
      const value = byte < width ? (planes[byte * rows + row] as number) : fill;
      if (byte < 4) stepLow += value * 2 ** (8 * byte);
      else stepHigh += value * 2 ** (8 * (byte - 4));
    }
    low += stepLow;
    high += stepHigh;
    if (low >= HIGH) {
      low -= HIGH;
      high += 1;
    }
    if (high >= HIGH) high -= HIGH;
    halves[2 * row] = low;
    halves[2 * row + 1] = high;
  }
  return found;
}
