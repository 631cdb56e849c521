/** How mappings are coloured: by purpose, permission or memory type. */

import type { Meaning } from "./document";
import type { Colour } from "./state";

/** A fill: a colour of the palette, and a pattern on it where colours alone run out. */
export interface Fill {
  readonly key: string;
  readonly colour: string;
  readonly pattern: "plain" | "lines" | "dots";
}

/** Okabe and Ito's palette, told apart with all common forms of colour blindness. */
const PALETTE = {
  orange: "#e69f00",
  sky: "#56b4e9",
  green: "#009e73",
  yellow: "#f0e442",
  blue: "#0072b2",
  vermilion: "#d55e00",
  purple: "#cc79a7",
  grey: "#999999",
} as const;
const ORDER = ["sky", "orange", "green", "purple", "yellow", "vermilion", "blue", "grey"] as const;

const PURPOSES: { readonly [purpose: string]: Fill } = {
  code: { key: "code", colour: PALETTE.vermilion, pattern: "plain" },
  writable_code: { key: "writable_code", colour: PALETTE.vermilion, pattern: "lines" },
  read_only: { key: "read_only", colour: PALETTE.orange, pattern: "plain" },
  data: { key: "data", colour: PALETTE.sky, pattern: "plain" },
  linear: { key: "linear", colour: PALETTE.blue, pattern: "plain" },
  linear_read_only: { key: "linear_read_only", colour: PALETTE.blue, pattern: "lines" },
  memory_map: { key: "memory_map", colour: PALETTE.yellow, pattern: "plain" },
  device: { key: "device", colour: PALETTE.purple, pattern: "plain" },
  none: { key: "none", colour: PALETTE.grey, pattern: "dots" },
  unknown: { key: "unknown", colour: PALETTE.grey, pattern: "plain" },
};

function purpose(meaning: Meaning, band: string): string {
  const permissions = meaning.permissions.join("");
  const linear = band === "Linear Mapping" || band === "Kernel Mapping";
  if (/^(Device|Strongly-ordered)/.test(meaning.memory)) return "device";
  if (!/[rwx]/.test(permissions)) return "none";
  if (permissions.includes("x")) return permissions.includes("w") ? "writable_code" : "code";
  if (linear) return permissions.includes("w") ? "linear" : "linear_read_only";
  if (band === "vmemmap") return "memory_map";
  return permissions.includes("w") ? "data" : "read_only";
}

/** The fills of one colouring; keys that are met first get the first colours. */
export class Fills {
  private readonly made = new Map<string, Fill>();

  constructor(
    readonly colour: Colour,
    meanings: readonly Meaning[],
  ) {
    if (colour === "purpose") return;
    const keys = [...new Set(meanings.map((each) => this.key(each)))].sort();
    const patterns = ["plain", "lines", "dots"] as const;
    keys.forEach((key, at) => {
      const name = ORDER[at % ORDER.length] ?? "grey";
      const pattern = patterns[Math.floor(at / ORDER.length) % patterns.length] ?? "plain";
      this.made.set(key, { key, colour: PALETTE[name], pattern });
    });
  }

  of(meaning: Meaning | null, band: string): Fill {
    const unknown = PURPOSES["unknown"] as Fill;
    if (meaning === null) return unknown;
    if (this.colour === "purpose") return PURPOSES[purpose(meaning, band)] ?? unknown;
    return this.made.get(this.key(meaning)) ?? unknown;
  }

  private key(meaning: Meaning): string {
    if (this.colour === "permission") {
      return meaning.permissions
        .map((words, at) => `EL${meaning.exception_levels[at] ?? "?"} ${words}`)
        .join("  ");
    }
    const cache = meaning.inner === "-" ? "" : ` ${meaning.inner}`;
    return `${meaning.memory}${cache} ${meaning.shareability}`;
  }
}

/** Whether text on a fill has to be light. */
export function dark(fill: Fill): boolean {
  return fill.colour === PALETTE.blue;
}

const LAYERS: { readonly [layer: string]: string } = {
  ram: PALETTE.grey,
  memory: PALETTE.green,
  reserved: PALETTE.orange,
  zone: PALETTE.sky,
  free: PALETTE.yellow,
  tables: PALETTE.vermilion,
  device: PALETTE.purple,
};

export function layerColour(layer: string): string {
  return LAYERS[layer] ?? PALETTE.purple;
}

/** Of what has no colour of its own. */
export const OTHER: string = PALETTE.orange;

/** What lies in physical memory, by its name. */
export function contentColour(what: string): string {
  if (what.startsWith("kernel")) return PALETTE.vermilion;
  if (what === "device tree") return PALETTE.green;
  if (what === "initrd") return PALETTE.purple;
  if (what.startsWith("CMA")) return PALETTE.sky;
  if (what === "translation tables") return PALETTE.blue;
  if (what.includes("struct pages")) return PALETTE.yellow;
  return OTHER;
}

const CHANGES: { readonly [change: string]: string } = {
  only_a: PALETTE.vermilion,
  only_b: PALETTE.blue,
  moved: PALETTE.purple,
  attributes: PALETTE.orange,
  granularity: PALETTE.yellow,
};

export function changeColour(change: string): string {
  return CHANGES[change] ?? PALETTE.grey;
}

export const SEVERITY: { readonly [severity: string]: string } = {
  error: PALETTE.vermilion,
  warning: PALETTE.orange,
  note: PALETTE.sky,
};
