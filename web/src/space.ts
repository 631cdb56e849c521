/** An address space as columns, and what is where in it. */

import type { Doc } from "./columns";
import type { Machine, Meaning, Regime, Space } from "./document";
import { pageOf, UNIT, vaOf } from "./address";
import { lastAtMost } from "./find";

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

  constructor(
    readonly doc: Doc,
    readonly machine: Machine,
    readonly space: Space,
  ) {
    const rows = space.regions;
    this.page = doc.numbers(rows, "page");
    this.pages = doc.numbers(rows, "pages");
    this.mapped = doc.numbers(rows, "mapped");
    this.pa = doc.numbers(rows, "pa");
    this.meaning = doc.numbers(rows, "meaning");
    this.regime = doc.head.regimes[space.regime] as Regime;
    this.low = pageOf(BigInt(this.regime.base));
    this.high = this.low + 2 ** (this.regime.input_bits - 12);
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
    return this.doc.text(this.space.regions, "levels", row) ?? "";
  }

  descriptors(row: number): number {
    return this.doc.numbers(this.space.regions, "descriptors")[row] ?? 0;
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
    return this.space.cut === null && this.mapped[row] === this.pages[row];
  }

  /** Every virtual address that maps a physical one, by the regions. */
  *mapping(pa: number): Generator<bigint> {
    if (this.space.cut !== null) return;
    for (let row = 0; row < this.length; row++) {
      const offset = pa - (this.pa[row] as number);
      if (offset >= 0 && offset < (this.pages[row] as number) * UNIT) {
        yield vaOf(this.page[row] as number) + BigInt(offset);
      }
    }
  }
}
