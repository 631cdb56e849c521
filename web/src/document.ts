/**
 * The document that the page shows, version 1: what `ttbr.report.view` writes, field by field.
 *
 * It is one zlib stream: four bytes (little-endian) with the length of the head, the head (JSON, a
 * `Head`), and the body, the bytes that columns of numbers lie in. `ttbr view` has it in the page as
 * base64; `ttbr serve` gives it at `api/document`.
 *
 * Physical addresses and sizes in bytes are below 2^53 and numbers. Virtual addresses are given as
 * `page`: in units of 4 KiB, which a number holds exactly. Single addresses and words are strings
 * in hexadecimal with 0x. `last` and `end` are inclusive.
 */

export const VERSION = 1;

export type Hex = string;

/**
 * A column. `int`: a whole number that a float holds; `word`: 64 bits; `flag`: 0 or 1; `code`: an
 * index into `values` (below 0: nothing); `text`: the strings are here, null for what is not known.
 * `at`, `width`: where in the body the differences of the rows lie (see `columns.ts`). `known`: where
 * in the body a bit for each row says whether its value is known (lowest bit first).
 */
export interface Column {
  readonly is: "int" | "word" | "flag" | "code" | "text";
  readonly at?: number;
  readonly width?: number;
  readonly values?: readonly (string | null)[];
  readonly known?: number;
  readonly meaning?: string;
}

/** Columns of one length. `C` names them. */
export interface Table<C extends string = string> {
  readonly rows: number;
  readonly columns: { readonly [name in C]: Column };
  readonly meaning?: string;
}

export interface Head {
  readonly version: number;
  readonly ttbr: string;
  readonly subjects: readonly Subject[];
  readonly machines: readonly Machine[];
  readonly comparisons: readonly Comparison[];
  readonly layouts: readonly Layout[];
  readonly regimes: readonly Regime[];
  readonly meanings: readonly Meaning[];
}

/** What the user named: a board that was booted, or an image. `machines` index `Head.machines`. */
export interface Subject {
  readonly name: string;
  readonly kind: "boot" | "image";
  readonly machines: readonly number[];
  readonly findings: readonly Finding[];
  /** Of a boot; null where none began. */
  readonly boot?: Boot | null;
  /** Of an image: tasks, vmas, zones, memblock, vmalloc, meminfo, symbols; those that it holds. */
  readonly relations?: { readonly [name: string]: Table };
  /** Of an image: Linux's own entries by the root of a process. */
  readonly entries?: { readonly [root: Hex]: Table<EntryColumn> };
  /** Names of the bits of the entries' `flags`, lowest first. */
  readonly flags?: readonly string[];
  readonly notes?: readonly string[];
}

/** Runs of entries: `unit` is what one stands for (4 KiB), `pa` 0 without a page. */
export type EntryColumn = "page" | "pages" | "pa" | "unit" | "kind" | "flags";

export interface Boot {
  readonly board: string | null;
  readonly kernel: string;
  readonly release: string;
  readonly loader: string;
  readonly command_line: string;
  readonly events: Table<"start" | "end" | "kind" | "function" | "stage" | "detail">;
  readonly messages: Table<"after" | "text" | "stage">;
  readonly failure: string | null;
  readonly unknown: readonly string[];
}

/** A machine at one moment. */
export interface Machine {
  readonly arch: "arm64" | "arm";
  readonly stage: string | null;
  readonly release: string | null;
  readonly page_offset: Hex | null;
  readonly registers: readonly { name: string; value: Hex; layout: number | null }[];
  readonly roots: { readonly [name: string]: Hex };
  /** Symbols that came with the image; an image's own are a relation. */
  readonly symbols: { readonly [name: string]: Hex };
  readonly banks: Table<"start" | "size">;
  readonly spaces: readonly Space[];
  readonly pool: Pool;
  /** The regions of the kernel's layout; `start` and `last` are words. */
  readonly virtual: Table<"start" | "last" | "mapped" | "name">;
  readonly physical: Table<"layer" | "start" | "size" | "what">;
  readonly free: Table<"pa" | "order"> | null;
  readonly unknown: readonly string[];
}

/** An address space by the name that `--root` takes; `owners`: numbers of its tasks. */
export interface Space {
  readonly name: string;
  readonly root: Hex;
  readonly regime: number;
  readonly owners: readonly number[];
  readonly mapped_bytes: Hex;
  readonly descriptors: number;
  /** `pages` from `page` on, of which `mapped` are; `meaning` of the first, −1 if unknown. */
  readonly regions: Table<RegionColumn>;
  /** What the regions don't show; null if they are all there is. */
  readonly cut: string | null;
  readonly truncated: string | null;
  readonly misdirected: number;
  readonly tables: Table<"pa" | "level" | "page" | "entries"> & { readonly left_out: number };
  readonly unreadable: Table<"pa" | "level" | "page">;
  readonly shared: Table<"pa" | "level" | "reached">;
}

export type RegionColumn = "page" | "pages" | "mapped" | "pa" | "meaning" | "levels" | "descriptors";

/** Tables by physical address; of each, `used` words that are not 0, one table after the other. */
export interface Pool {
  readonly entry_size: number;
  readonly left_out: number;
  readonly tables: Table<"pa" | "entries" | "used">;
  readonly words: Table<"index" | "word">;
}

/** How one TTBR's tables are walked; see `ttbr.arch.translation_regime`. */
export interface Regime {
  readonly format: "vmsav8-64" | "vmsav8-64-stage2" | "lpae" | "short";
  readonly entry_size: number;
  readonly ttbr: number;
  readonly root_register: string;
  readonly base: Hex;
  readonly first: Hex;
  readonly last: Hex;
  readonly input_bits: number;
  readonly output_bits: number;
  readonly fault_level: number;
  readonly tbi: boolean;
  readonly exception_levels: readonly number[];
  readonly hpd: boolean;
  readonly unknown: readonly string[];
  readonly levels: readonly Level[];
  /** [attribute bits, level, limits, number of the meaning, bytes of the mapping]. */
  readonly attributes: readonly (readonly [Hex, number, number, number, number])[];
}

export interface Level {
  readonly number: number;
  readonly shift: number;
  readonly bits: number;
  /** The first whose `mask` of a descriptor gives `value` is its form. */
  readonly forms: readonly Form[];
  /** [bit of a table descriptor, bit of the limits that it sets]. */
  readonly limits: readonly (readonly [number, Hex])[];
}

export interface Form {
  readonly mask: Hex;
  readonly value: Hex;
  readonly kind: "invalid" | "table" | "block" | "page" | "reserved";
  readonly layout: number;
  /** Of leaves: bits of the virtual address that go on into the physical one. */
  readonly offset_mask?: Hex;
  /** Of leaves: bits that say what the attributes are. */
  readonly attribute_mask?: Hex;
}

/** A field table; `address`: [field, lowest bit of the address that it holds]. */
export interface Layout {
  readonly name: string;
  readonly width: number;
  readonly source: string;
  readonly fields: readonly Field[];
  readonly address: readonly (readonly [string, number])[];
}

export interface Field {
  readonly name: string;
  readonly high: number;
  readonly low: number;
  readonly meaning: string;
  readonly values: { readonly [value: string]: string };
}

/** Effective attributes; `permissions` by exception level, the privileged one first. */
export interface Meaning {
  readonly summary: string;
  readonly exception_levels: readonly number[];
  readonly permissions: readonly string[];
  readonly memory: string;
  readonly inner: string;
  readonly outer: string;
  readonly shareability: string;
  readonly access_flag: boolean;
  readonly dirty_managed: boolean;
  readonly non_global: boolean;
  readonly contiguous: boolean;
  readonly guarded: boolean;
  readonly non_secure: boolean;
  readonly domain: number | null;
  readonly attr_index: number;
  readonly software: number;
  /** el1_read and so on, by the exception levels. */
  readonly [permission: string]: unknown;
}

/** A finding as `ttbr check --json` and `ttbr audit --json` have it. */
export interface Finding {
  readonly code: string;
  readonly severity: "note" | "warning" | "error";
  readonly title: string;
  readonly why: string;
  readonly message: string;
  readonly kernel: readonly string[];
  readonly numbers: { readonly [name: string]: number };
  /** Physical ranges by what they are. */
  readonly ranges: { readonly [name: string]: { readonly start: Hex; readonly last: Hex } };
  readonly change: readonly { readonly [what: string]: string }[];
  readonly fix: string;
  readonly mapped?: readonly Mapped[];
  readonly more?: number;
}

export interface Mapped {
  readonly owner: string;
  readonly root: Hex;
  readonly va: Hex;
  readonly last: Hex;
  readonly pa: Hex;
  readonly pa_last: Hex;
  readonly level: number;
  readonly descriptors: number;
  readonly place: Hex;
  readonly descriptor: Hex | null;
}

/** What machines `a` and `b` (of `Head.machines`) map differently. */
export interface Comparison {
  readonly a: number;
  readonly b: number;
  readonly roots: readonly RootComparison[];
}

export interface RootComparison {
  readonly root: string;
  readonly table_a: Hex;
  readonly table_b: Hex;
  readonly cut: readonly string[];
  readonly differences: Table<
    "page" | "pages" | "change" | "pa_a" | "pa_b" | "meaning_a" | "meaning_b"
  >;
}
