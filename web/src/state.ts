/** What the user looks at, kept in the URL's hash: a link to the page leads to the same place. */

export const VIEWS = [
  "map",
  "walk",
  "tables",
  "boot",
  "processes",
  "findings",
  "compare",
  "machine",
] as const;
export type View = (typeof VIEWS)[number];
export const COLOURS = ["purpose", "permission", "memory"] as const;
export type Colour = (typeof COLOURS)[number];
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];
export const LANGUAGES = ["en", "zh"] as const;
export type Language = (typeof LANGUAGES)[number];

export interface State {
  readonly view: View;
  /** Index into the document's machines. */
  readonly machine: number;
  /** The name of a space. */
  readonly root: string;
  readonly va: bigint | null;
  readonly pa: number | null;
  /** What the map shows, in pages [low, high); null for all. */
  readonly zoom: readonly [number, number] | null;
  /** The same of physical memory, in bytes. */
  readonly zoomPhysical: readonly [number, number] | null;
  readonly colour: Colour;
  /** A condition on attributes. */
  readonly filter: string;
  /** How many events of the boot have happened; null for all. */
  readonly event: number | null;
  readonly comparison: number;
  readonly theme: Theme;
  readonly language: Language;
}

export function initial(): State {
  return {
    view: "map",
    machine: 0,
    root: "kernel",
    va: null,
    pa: null,
    zoom: null,
    zoomPhysical: null,
    colour: "purpose",
    filter: "",
    event: null,
    comparison: 0,
    theme: "auto",
    language: navigator.language.startsWith("zh") ? "zh" : "en",
  };
}

export function toHash(state: State): string {
  const from = initial();
  const found = new URLSearchParams();
  found.set("view", state.view);
  found.set("machine", String(state.machine));
  if (state.root !== from.root) found.set("root", state.root);
  if (state.va !== null) found.set("va", "0x" + state.va.toString(16));
  if (state.pa !== null) found.set("pa", "0x" + state.pa.toString(16));
  if (state.zoom !== null) found.set("zoom", state.zoom.join("-"));
  if (state.zoomPhysical !== null) found.set("physical", state.zoomPhysical.join("-"));
  if (state.colour !== from.colour) found.set("colour", state.colour);
  if (state.filter) found.set("where", state.filter);
  if (state.event !== null) found.set("event", String(state.event));
  if (state.comparison !== 0) found.set("comparison", String(state.comparison));
  if (state.theme !== from.theme) found.set("theme", state.theme);
  found.set("lang", state.language);
  return "#" + found.toString();
}

export function fromHash(hash: string): State {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const from = initial();
  const number = (name: string): number | null => {
    const text = asked.get(name);
    const value = text === null || text === "" ? NaN : Number(text);
    return Number.isFinite(value) && value >= 0 ? value : null;
  };
  const big = (name: string): bigint | null => {
    const text = asked.get(name) ?? "";
    return /^0x[0-9a-f]{1,16}$/.test(text) ? BigInt(text) : null;
  };
  const range = (name: string): [number, number] | null => {
    const [low, high] = (asked.get(name) ?? "").split("-").map(Number);
    if (low === undefined || high === undefined || !(low < high) || low < 0) return null;
    return [low, high];
  };
  return {
    view: oneOf(VIEWS, asked.get("view")) ?? from.view,
    machine: number("machine") ?? from.machine,
    root: asked.get("root") ?? from.root,
    va: big("va"),
    pa: number("pa"),
    zoom: range("zoom"),
    zoomPhysical: range("physical"),
    colour: oneOf(COLOURS, asked.get("colour")) ?? from.colour,
    filter: asked.get("where") ?? "",
    event: number("event"),
    comparison: number("comparison") ?? 0,
    theme: oneOf(THEMES, asked.get("theme")) ?? from.theme,
    language: oneOf(LANGUAGES, asked.get("lang")) ?? from.language,
  };
}

function oneOf<T extends string>(known: readonly T[], text: string | null): T | null {
  return known.find((each) => each === text) ?? null;
}
