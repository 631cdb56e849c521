/** The document as the views ask for it; what is computed is kept. */

import { pageOf, UNIT } from "./address";
import type { Doc } from "./columns";
import type { Comparison, Machine, Subject } from "./document";
import { lastAtMost } from "./find";
import { Pool } from "./pool";
import { SpaceView } from "./space";
import { Meanings, type Walk, walk } from "./walk";

export interface Band {
  readonly name: string;
  /** In pages, `high` after the last. */
  readonly low: number;
  readonly high: number;
  readonly mapped: number;
}

export interface Place {
  readonly layer: string;
  readonly what: string;
  readonly start: number;
  readonly end: number;
}

/** Symbols by address. */
export class Symbols {
  private readonly order: Uint32Array;
  private readonly sorted: BigUint64Array;

  constructor(
    readonly address: BigUint64Array,
    readonly name: (row: number) => string,
  ) {
    this.order = Uint32Array.from(address, (_, row) => row);
    this.order.sort((a, b) => {
      const left = address[a] as bigint;
      const right = address[b] as bigint;
      return left < right ? -1 : left > right ? 1 : a - b;
    });
    this.sorted = BigUint64Array.from(this.order, (row) => address[row] as bigint);
  }

  /** `name+0x10` of the symbol at or before an address, if it is near. */
  nearest(va: bigint): string | null {
    let low = 0;
    let high = this.sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.sorted[middle] as bigint) <= va) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return null;
    const offset = va - (this.sorted[low - 1] as bigint);
    if (offset >= 1n << 24n) return null;
    const name = this.name(this.order[low - 1] as number);
    return offset === 0n ? name : `${name}+0x${offset.toString(16)}`;
  }

  /** Symbols whose name holds a text, those that begin with it first. */
  named(text: string, most: number): { name: string; address: bigint }[] {
    const wanted = text.toLowerCase();
    const found: { name: string; address: bigint; rank: number }[] = [];
    for (let row = 0; row < this.address.length; row++) {
      const name = this.name(row);
      const at = name.toLowerCase().indexOf(wanted);
      if (at < 0) continue;
      const rank = name === text ? 0 : at === 0 ? 1 : 2;
      found.push({ name, address: this.address[row] as bigint, rank });
      if (found.length > 20000) break;
    }
    found.sort((a, b) => a.rank - b.rank || a.name.length - b.name.length);
    return found.slice(0, most);
  }
}

/** An entry that Linux has for a page: its kind, the physical address of the page, flags by name. */
export interface LinuxEntry {
  readonly kind: string;
  readonly pa: number | null;
  readonly flags: readonly string[];
}

export class MachineView {
  readonly spaces: readonly SpaceView[];
  readonly bands: readonly Band[];
  readonly places: readonly Place[];
  private poolMade: Pool | null = null;
  private symbolsMade: Symbols | null = null;
  private usersMade: Map<number, number> | null = null;
  private readonly areasMade = new Map<SpaceView, Band[]>();
  private readonly meaningsMade = new Map<number, Meanings>();

  constructor(
    readonly doc: Doc,
    readonly number: number,
    readonly machine: Machine,
    readonly subject: Subject,
  ) {
    this.spaces = machine.spaces.map((space) => new SpaceView(doc, machine, space));
    const starts = doc.words(machine.virtual, "start");
    const lasts = doc.words(machine.virtual, "last");
    const mapped = doc.numbers(machine.virtual, "mapped");
    this.bands = Array.from(starts, (start, row) => ({
      name: doc.text(machine.virtual, "name", row) ?? "",
      low: pageOf(start),
      high: pageOf(lasts[row] as bigint) + 1,
      mapped: mapped[row] as number,
    }));
    const from = doc.numbers(machine.physical, "start");
    const size = doc.numbers(machine.physical, "size");
    this.places = Array.from(from, (start, row) => ({
      layer: doc.text(machine.physical, "layer", row) ?? "",
      what: doc.text(machine.physical, "what", row) ?? "",
      start,
      end: start + (size[row] as number),
    }));
  }

  get pool(): Pool {
    this.poolMade ??= new Pool(this.doc, this.machine);
    return this.poolMade;
  }

  get symbols(): Symbols {
    if (this.symbolsMade === null) {
      const relation = this.subject.relations?.["symbols"];
      if (relation !== undefined) {
        const values = relation.columns["name"]?.values ?? [];
        const address = this.doc.words(relation, "address");
        this.symbolsMade = new Symbols(address, (row) => values[row] ?? "");
      } else {
        const known = Object.entries(this.machine.symbols);
        const address = BigUint64Array.from(known, ([, va]) => BigInt(va));
        this.symbolsMade = new Symbols(address, (row) => known[row]?.[0] ?? "");
      }
    }
    return this.symbolsMade;
  }

  space(name: string): SpaceView | null {
    return this.spaces.find((each) => each.space.name === name) ?? this.spaces[0] ?? null;
  }

  band(page: number): Band | null {
    const at = lastAtMost(
      this.bands.map((band) => band.low),
      page,
    );
    const found = this.bands[at];
    return found !== undefined && page < found.high ? found : null;
  }

  /** What lies where in a space by name: the areas of a process, else the kernel's layout. */
  bandsOf(view: SpaceView): readonly Band[] {
    const vmas = this.subject.relations?.["vmas"];
    const [pid] = view.space.owners;
    if (vmas === undefined || pid === undefined) return this.bands;
    let found = this.areasMade.get(view);
    if (found === undefined) {
      const pids = this.doc.numbers(vmas, "pid");
      const start = this.doc.words(vmas, "start");
      const last = this.doc.words(vmas, "last");
      const present = this.doc.numbers(vmas, "present");
      found = [];
      for (let row = 0; row < pids.length; row++) {
        if (pids[row] !== pid) continue;
        const name = this.doc.text(vmas, "name", row) || this.doc.text(vmas, "permissions", row);
        found.push({
          name: name ?? "",
          low: pageOf(start[row] as bigint),
          high: pageOf(last[row] as bigint) + 1,
          mapped: present[row] as number,
        });
      }
      found.sort((a, b) => a.low - b.low);
      this.areasMade.set(view, found);
    }
    return found;
  }

  /** Linux's own entry for an address of a process; null where it has none. */
  linuxEntry(view: SpaceView, va: bigint): LinuxEntry | null {
    const entries = this.subject.entries?.[view.space.root];
    if (entries === undefined) return null;
    const page = this.doc.numbers(entries, "page");
    const row = lastAtMost(page, pageOf(va));
    if (row < 0) return null;
    const offset = pageOf(va) - (page[row] as number);
    if (offset >= (this.doc.numbers(entries, "pages")[row] as number)) return null;
    const pa = this.doc.numbers(entries, "pa")[row] as number;
    const bits = this.doc.numbers(entries, "flags")[row] as number;
    return {
      kind: this.doc.text(entries, "kind", row) ?? "",
      pa: pa === 0 ? null : pa + offset * UNIT + Number(va & 0xfffn),
      flags: (this.subject.flags ?? []).filter((_, at) => (bits >> at) & 1),
    };
  }

  /** In how many spaces a table is used. */
  get spacesOfTable(): ReadonlyMap<number, number> {
    if (this.usersMade === null) {
      this.usersMade = new Map();
      for (const { space } of this.spaces) {
        for (const pa of new Set(this.doc.numbers(space.tables, "pa"))) {
          this.usersMade.set(pa, (this.usersMade.get(pa) ?? 0) + 1);
        }
      }
    }
    return this.usersMade;
  }

  translate(view: SpaceView, va: bigint): Walk {
    let meanings = this.meaningsMade.get(view.space.regime);
    if (meanings === undefined) {
      meanings = new Meanings(this.doc, view.regime);
      this.meaningsMade.set(view.space.regime, meanings);
    }
    return walk(this.doc, this.pool, view.space, meanings, va);
  }

  /** The space that an address belongs to: the wanted one if it translates it. */
  spaceOf(va: bigint, wanted: string): SpaceView | null {
    const page = pageOf(va);
    const inside = (view: SpaceView): boolean => page >= view.low && page < view.high;
    const first = this.space(wanted);
    if (first !== null && inside(first)) return first;
    return this.spaces.find(inside) ?? first;
  }

  /** What lies at a physical address, the smallest range first. */
  at(pa: number): Place[] {
    return this.places
      .filter((place) => pa >= place.start && pa < place.end)
      .sort((a, b) => a.end - a.start - (b.end - b.start));
  }

  /** The free block with a physical address: its order, or null. */
  freeBlock(pa: number): { pa: number; order: number } | null {
    const free = this.machine.free;
    if (free === null) return null;
    const starts = this.doc.numbers(free, "pa");
    const row = lastAtMost(starts, pa);
    if (row < 0) return null;
    const order = this.doc.numbers(free, "order")[row] as number;
    const start = starts[row] as number;
    return pa < start + this.pageSize * 2 ** order ? { pa: start, order } : null;
  }

  /** Bytes of a page of this machine's tables. */
  get pageSize(): number {
    const regime = this.spaces[0]?.regime;
    return regime === undefined ? UNIT : 2 ** (regime.levels.at(-1)?.shift ?? 12);
  }

  /** Every address of every space that maps a physical one; at most `most`. */
  mapping(pa: number, most: number): { space: SpaceView; va: bigint }[] {
    const found: { space: SpaceView; va: bigint }[] = [];
    for (const space of this.spaces) {
      for (const va of space.mapping(pa)) {
        found.push({ space, va });
        if (found.length >= most) return found;
      }
    }
    return found;
  }
}

export class Model {
  private readonly views = new Map<number, MachineView>();

  constructor(readonly doc: Doc) {}

  get count(): number {
    return this.doc.head.machines.length;
  }

  machine(number: number): MachineView | null {
    const machine = this.doc.head.machines[number];
    const subject = this.subjectOf(number);
    if (machine === undefined || subject === null) return null;
    let view = this.views.get(number);
    if (view === undefined) {
      view = new MachineView(this.doc, number, machine, subject);
      this.views.set(number, view);
    }
    return view;
  }

  subjectOf(number: number): Subject | null {
    return this.doc.head.subjects.find((each) => each.machines.includes(number)) ?? null;
  }

  comparisons(): readonly Comparison[] {
    return this.doc.head.comparisons;
  }
}
