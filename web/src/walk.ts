/**
 * A walk through translation tables, word by word, as `ttbr translate` does it.
 *
 * Nothing about a format is written here: what a descriptor is, where its address lies, what it
 * limits and what it says comes with the document, from the same declarations.
 */

import type { Doc } from "./columns";
import type { Form, Layout, Level, Meaning, Regime, Space } from "./document";
import { hex } from "./address";
import type { Pool } from "./pool";

export interface FieldText {
  readonly name: string;
  readonly high: number;
  readonly low: number;
  readonly value: bigint;
  readonly text: string;
}

export interface Step {
  readonly level: number;
  readonly table: number;
  readonly index: number;
  readonly address: number;
  readonly descriptor: bigint;
  readonly kind: Form["kind"];
  readonly fields: readonly FieldText[];
  /** What all tables down to this one limit together. */
  readonly limits: number;
  readonly layout: Layout;
}

export type FaultKind = "translation" | "address size" | "external abort on table walk";

export interface Walk {
  readonly va: bigint;
  readonly steps: readonly Step[];
  readonly pa: bigint | null;
  readonly level: number;
  readonly size: number;
  readonly meaning: Meaning | null;
  readonly fault: { readonly kind: FaultKind; readonly level: number; readonly text: string } | null;
  /** The table that the document does not hold, where the walk had to end for that. */
  readonly missing: number | null;
}

/** Every field of a word, highest first (`Layout.explain`). */
export function explain(layout: Layout, word: bigint): FieldText[] {
  return layout.fields.map(({ name, high, low, meaning, values }) => {
    const value = (word >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
    const said = values[value.toString()];
    return { name, high, low, value, text: said ? `${meaning}: ${said}` : meaning };
  });
}

/** The address that a word holds (`Layout.address`). */
export function addressIn(layout: Layout, word: bigint): bigint {
  let found = 0n;
  for (const [name, lowest] of layout.address) {
    const field = layout.fields.find((each) => each.name === name);
    if (field === undefined) continue;
    const mask = (1n << BigInt(field.high - field.low + 1)) - 1n;
    found |= ((word >> BigInt(field.low)) & mask) << BigInt(lowest);
  }
  return found;
}

export function formOf(level: Level, word: bigint): Form {
  const found = level.forms.find((form) => (word & BigInt(form.mask)) === BigInt(form.value));
  return found ?? (level.forms[0] as Form);
}

export function limitsOf(level: Level, word: bigint): number {
  let limits = 0;
  for (const [bit, limit] of level.limits) {
    if ((word >> BigInt(bit)) & 1n) limits |= Number(limit);
  }
  return limits;
}

/** The address without the tag that TBI ignores. */
export function canonical(regime: Regime, va: bigint): bigint {
  if (!regime.tbi) return va;
  const tag = 0xffn << 56n;
  return (va >> 55n) & 1n ? va | tag : va & ~tag;
}

/** What the attribute bits of a leaf mean below tables with some limits. */
export class Meanings {
  private readonly rows = new Map<string, readonly [Meaning | null, number]>();

  constructor(doc: Doc, regime: Regime) {
    for (const [bits, level, limits, meaning, span] of regime.attributes) {
      this.rows.set(`${bits}/${level}/${limits}`, [doc.head.meanings[meaning] ?? null, span]);
    }
  }

  of(bits: bigint, level: number, limits: number): readonly [Meaning | null, number] {
    return this.rows.get(`${hex(bits)}/${level}/${limits}`) ?? [null, 0];
  }
}

export function walk(doc: Doc, pool: Pool, space: Space, meanings: Meanings, va: bigint): Walk {
  const regime = doc.head.regimes[space.regime] as Regime;
  const address = canonical(regime, va) - BigInt(regime.base);
  const steps: Step[] = [];
  const failed = (kind: FaultKind, level: number, text: string): Walk => {
    return { va, steps, pa: null, level, size: 0, meaning: null, fault: { kind, level, text }, missing: null };
  };
  if (address < 0n || address >= 1n << BigInt(regime.input_bits)) {
    const text = `outside the ${regime.input_bits} bits that ${regime.root_register} translates`;
    return failed("translation", regime.fault_level, text);
  }
  const root = BigInt(space.root);
  if (root >> BigInt(regime.output_bits)) {
    return failed("address size", 0, `the root table's address has more than ${regime.output_bits} bits`);
  }
  let table = Number(root);
  let limits = 0;
  for (const level of regime.levels) {
    const index = Number((address >> BigInt(level.shift)) & ((1n << BigInt(level.bits)) - 1n));
    const place = table + index * regime.entry_size;
    if (!pool.holds(place, regime.entry_size)) {
      return failed(
        "external abort on table walk",
        level.number,
        `the table at ${hex(table)} is outside memory`,
      );
    }
    const word = pool.read(table, index);
    if (word === null) {
      return {
        va, steps, pa: null, level: level.number, size: 0, meaning: null, fault: null, missing: table,
      };
    }
    const form = formOf(level, word);
    const layout = doc.head.layouts[form.layout] as Layout;
    if (form.kind === "table") limits |= limitsOf(level, word);
    steps.push({
      level: level.number,
      table,
      index,
      address: place,
      descriptor: word,
      kind: form.kind,
      fields: explain(layout, word),
      limits,
      layout,
    });
    if (form.kind === "table") {
      const next = addressIn(layout, word);
      if (next >> BigInt(regime.output_bits)) {
        const text = `the next table's address has more than ${regime.output_bits} bits`;
        return failed("address size", level.number, text);
      }
      table = Number(next);
      continue;
    }
    if (form.kind === "invalid" || form.kind === "reserved") {
      return failed("translation", level.number, `descriptor ${hex(word)} is ${form.kind}`);
    }
    const pa = addressIn(layout, word) | (canonical(regime, va) & BigInt(form.offset_mask ?? 0));
    if (pa >> BigInt(regime.output_bits)) {
      return failed("address size", level.number, `the output address has more than ${regime.output_bits} bits`);
    }
    const bits = word & BigInt(form.attribute_mask ?? 0);
    const [meaning, span] = meanings.of(bits, level.number, limits);
    return { va, steps, pa, level: level.number, size: span, meaning, fault: null, missing: null };
  }
  throw new Error("the last level of a regime has no tables");
}
