/** The words of a machine's translation tables, and whether memory holds an address. */

import type { Doc } from "./columns";
import type { Machine } from "./document";
import { lastAtMost } from "./find";

/** A table's words that are not zero: rows `first` to `end` of the pool's columns. */
export interface TableWords {
  readonly pa: number;
  readonly entries: number;
  readonly first: number;
  readonly end: number;
}

export class Pool {
  readonly index: Float64Array;
  readonly word: BigUint64Array;
  readonly entrySize: number;
  private readonly tables = new Map<number, TableWords>();
  /** Words that a server told, of tables that the page does not have. */
  private readonly told = new Map<string, bigint>();
  private readonly bankStart: Float64Array;
  private readonly bankSize: Float64Array;

  constructor(doc: Doc, machine: Machine) {
    const { pool } = machine;
    this.entrySize = pool.entry_size;
    this.index = doc.numbers(pool.words, "index");
    this.word = doc.words(pool.words, "word");
    const pa = doc.numbers(pool.tables, "pa");
    const entries = doc.numbers(pool.tables, "entries");
    const used = doc.numbers(pool.tables, "used");
    let first = 0;
    for (let row = 0; row < pa.length; row++) {
      const end = first + (used[row] as number);
      this.tables.set(pa[row] as number, {
        pa: pa[row] as number,
        entries: entries[row] as number,
        first,
        end,
      });
      first = end;
    }
    this.bankStart = doc.numbers(machine.banks, "start");
    this.bankSize = doc.numbers(machine.banks, "size");
  }

  table(pa: number): TableWords | null {
    return this.tables.get(pa) ?? null;
  }

  /** The word at an index of a table; null where the page does not have the table. */
  read(pa: number, index: number): bigint | null {
    const table = this.tables.get(pa);
    if (table === undefined) return this.told.get(`${pa}/${index}`) ?? null;
    let low = table.first;
    let high = table.end;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.index[middle] as number) < index) low = middle + 1;
      else high = middle;
    }
    return low < table.end && this.index[low] === index ? (this.word[low] as bigint) : 0n;
  }

  /** Keep a word of a table that the page does not have. */
  learn(pa: number, index: number, word: bigint): void {
    this.told.set(`${pa}/${index}`, word);
  }

  /** Whether memory holds `size` bytes at a physical address. */
  holds(pa: number, size: number): boolean {
    const bank = lastAtMost(this.bankStart, pa);
    if (bank < 0) return false;
    return pa + size <= (this.bankStart[bank] as number) + (this.bankSize[bank] as number);
  }
}
