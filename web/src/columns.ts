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

/** The differences between rows, as the lower and the upper half of 64 bits with a sign. */
function differences(planes: Uint8Array, rows: number, width: number): [Int32Array, Int32Array] {
  const low = new Int32Array(rows);
  const high = new Int32Array(rows);
  // Plane by plane: each pass goes through memory in order
  for (let byte = 0; byte < width; byte++) {
    const half = byte < 4 ? low : high;
    const shift = 8 * (byte & 3);
    const from = byte * rows;
    for (let row = 0; row < rows; row++) {
      half[row] = (half[row] as number) | ((planes[from + row] as number) << shift);
    }
  }
  const spare = 32 - 8 * (width > 4 ? width - 4 : width);
  for (let row = 0; row < rows; row++) {
    if (width > 4) high[row] = ((high[row] as number) << spare) >> spare;
    else {
      const step = ((low[row] as number) << spare) >> spare;
      low[row] = step;
      high[row] = step >> 31;
    }
  }
  return [low, high];
}

function floats(planes: Uint8Array, rows: number, width: number): Float64Array {
  const [low, high] = differences(planes, rows, width);
  const found = new Float64Array(rows);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    sum += (high[row] as number) * HIGH + ((low[row] as number) >>> 0);
    found[row] = sum;
  }
  return found;
}

function words(planes: Uint8Array, rows: number, width: number): BigUint64Array {
  const [low, high] = differences(planes, rows, width);
  const found = new BigUint64Array(rows);
  const halves = new Uint32Array(found.buffer);
  let lower = 0;
  let upper = 0;
  for (let row = 0; row < rows; row++) {
    lower += (low[row] as number) >>> 0;
    upper = (upper + (high[row] as number) + (lower >= HIGH ? 1 : 0)) | 0;
    if (lower >= HIGH) lower -= HIGH;
    halves[2 * row] = lower;
    halves[2 * row + 1] = upper;
  }
  return found;
}
