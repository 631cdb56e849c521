/** An address space as columns, and what is where in it. */

import type { Doc } from "./columns";
import type { Machine, Meaning, Regime, Space } from "./document";
import { pageOf, UNIT, vaOf } from "./address";
import { lastAtMost } from "./find";

/** Rows of what a space maps, ascending; `mapped` of the `pages` from `page` on. */
export interface Rows {
  readonly page: Float64Array;
  readonly pages: Float64Array;
  readonly mapped: Float64Array;
  readonly pa: Float64Array;
  readonly meaning: Float64Array;
  readonly descriptors: Float64Array;
  readonly levels: (row: number) => string;
}

function rowsIn(doc: Doc, space: Space): Rows {
  const rows = space.regions;
  return {
    page: doc.numbers(rows, "page"),
    pages: doc.numbers(rows, "pages"),
    mapped: doc.numbers(rows, "mapped"),
    pa: doc.numbers(rows, "pa"),
    meaning: doc.numbers(rows, "meaning"),
    descriptors: doc.numbers(rows, "descriptors"),
    levels: (row) => doc.text(rows, "levels", row) ?? "",
  };
}

export class SpaceView {
  readonly page: Float64Array;
  readonly pages: Float64Array;
  readonly mapped: Float64Array;
  readonly pa: Float64Array;
  readonly meaning: Float64Array;
  readonly regime: Regime;
  /** The first page that the root translates, and the first after the last. */
  readonly low: number;
  readonly high: number;

  /** `fine`: the pages [low, high) of which the rows are all that there is. */
  constructor(
    readonly doc: Doc,
    readonly machine: Machine,
    readonly space: Space,
    private readonly rows: Rows = rowsIn(doc, space),
    private readonly fine: readonly [number, number] | null = null,
  ) {
    this.page = rows.page;
    this.pages = rows.pages;
    this.mapped = rows.mapped;
    this.pa = rows.pa;
    this.meaning = rows.meaning;
    this.regime = doc.head.regimes[space.regime] as Regime;
    this.low = pageOf(BigInt(this.regime.base));
    this.high = this.low + 2 ** (this.regime.input_bits - 12);
  }

  /** The same space with all `rows` that touch pages [low, high) in place of coarse ones. */
  refined(rows: Rows, low: number, high: number): SpaceView {
    const count = rows.page.length;
    const first = Math.min(low, rows.page[0] ?? low);
    const last = count - 1;
    const end = Math.max(high, count ? (rows.page[last] as number) + (rows.pages[last] as number) : high);
    let before = 0;
    while (before < this.length && this.end(before) <= first) before++;
    let after = this.length;
    while (after > before && (this.page[after - 1] as number) >= end) after--;
    const joined = (name: "page" | "pages" | "mapped" | "pa" | "meaning" | "descriptors") =>
      Float64Array.from([
        ...this.rows[name].subarray(0, before),
        ...rows[name],
        ...this.rows[name].subarray(after),
      ]);
    const levels = (row: number): string => {
      if (row < before) return this.levels(row);
      return row < before + count ? rows.levels(row - before) : this.levels(row - before - count + after);
    };
    const all: Rows = {
      page: joined("page"),
      pages: joined("pages"),
      mapped: joined("mapped"),
      pa: joined("pa"),
      meaning: joined("meaning"),
      descriptors: joined("descriptors"),
      levels,
    };
    return new SpaceView(this.doc, this.machine, this.space, all, [low, high]);
  }

  /** Why rows in pages [low, high) are coarser than what there is; null where they are not. */
  cut(low: number, high: number): string | null {
    const { fine } = this;
    return fine !== null && fine[0] <= low && high <= fine[1] ? null : this.space.cut;
  }

  get length(): number {
    return this.page.length;
  }

  get digits(): number {
    return this.machine.arch === "arm64" ? 16 : 8;
  }

  meaningOf(row: number): Meaning | null {
    return this.doc.head.meanings[this.meaning[row] ?? -1] ?? null;
  }

  levels(row: number): string {
    return this.rows.levels(row);
  }

  descriptors(row: number): number {
    return this.rows.descriptors[row] ?? 0;
  }

  end(row: number): number {
    return (this.page[row] as number) + (this.pages[row] as number);
  }

  /** The row that maps a page; −1 for none. */
  at(page: number): number {
    const row = lastAtMost(this.page, page);
    return row >= 0 && page < this.end(row) ? row : -1;
  }

  /** The rows that touch pages [low, high). */
  within(low: number, high: number): [number, number] {
    const first = lastAtMost(this.page, low);
    const start = first >= 0 && low < this.end(first) ? first : first + 1;
    return [start, lastAtMost(this.page, high - 1) + 1];
  }

  /** Where an address leads by the regions; null where nothing maps it, or only coarse rows do. */
  physical(va: bigint): number | null {
    const page = pageOf(va);
    const row = this.at(page);
    if (row < 0 || !this.exact(row)) return null;
    return (this.pa[row] as number) + (page - (this.page[row] as number)) * UNIT + Number(va & 0xfffn);
  }

  /** Whether a row is one piece of physical memory. */
  exact(row: number): boolean {
    return this.cut(this.page[row] as number, this.end(row)) === null && this.mapped[row] === this.pages[row];
  }

  /** Every virtual address that maps a physical one, by the regions. */
  *mapping(pa: number): Generator<bigint> {
    if (this.cut(this.low, this.high) !== null) return;
    for (let row = 0; row < this.length; row++) {
      const offset = pa - (this.pa[row] as number);
      if (offset >= 0 && offset < (this.pages[row] as number) * UNIT) {
        yield vaOf(this.page[row] as number) + BigInt(offset);
      }
    }
  }
}
