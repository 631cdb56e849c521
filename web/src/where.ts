/** Conditions on attributes in the words of `--where`: `w and x`, `device and not level == 3`. */

import type { Meaning } from "./document";

/** What a condition is asked about: attributes, and the levels of the leaves. */
export interface Asked {
  readonly meaning: Meaning;
  readonly levels: readonly number[];
}

export type Test = (asked: Asked) => boolean;

const allowed = (privileged: boolean, letter: string) => ({ meaning }: Asked): boolean => {
  const words = meaning.permissions;
  return ((privileged ? words[0] : words[1]) ?? "").includes(letter);
};

const FLAGS: { readonly [name: string]: Test } = {
  r: allowed(true, "r"),
  w: allowed(true, "w"),
  x: allowed(true, "x"),
  ur: allowed(false, "r"),
  uw: allowed(false, "w"),
  ux: allowed(false, "x"),
  user: ({ meaning }) => /[rwx]/.test(meaning.permissions[1] ?? ""),
  normal: ({ meaning }) => meaning.memory.startsWith("Normal"),
  device: ({ meaning }) => /^(Device|Strongly-ordered)/.test(meaning.memory),
  cached: ({ meaning }) => /^W[BT]/.test(meaning.inner),
  shared: ({ meaning }) => meaning.shareability === "inner" || meaning.shareability === "outer",
  af: ({ meaning }) => meaning.access_flag,
  dbm: ({ meaning }) => meaning.dirty_managed,
  contiguous: ({ meaning }) => meaning.contiguous,
  guarded: ({ meaning }) => meaning.guarded,
  global: ({ meaning }) => !meaning.non_global,
  nonglobal: ({ meaning }) => meaning.non_global,
};

const NUMBERS: { readonly [name: string]: (asked: Asked) => readonly number[] } = {
  level: ({ levels }) => levels,
  domain: ({ meaning }) => (meaning.domain === null ? [] : [meaning.domain]),
  attrindx: ({ meaning }) => [meaning.attr_index],
  software: ({ meaning }) => [meaning.software],
};

const COMPARE: { readonly [sign: string]: (a: number, b: number) => boolean } = {
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};

const LONGEST = 1000;

/** The condition, or null if the text is none. */
export function parseWhere(text: string): Test | null {
  if (text.length > LONGEST) return null;
  const tokens = text.match(/[a-z_]+|-?(?:0x[0-9a-f]+|\d+)|[=!<>]=|[<>()]|\S/gi) ?? [];
  let at = 0;
  const next = (wanted: string): boolean => tokens[at] === wanted && ++at > 0;

  const either = (): Test | null => {
    let left = both();
    while (left !== null && next("or")) {
      const a: Test = left;
      const b = both();
      left = b === null ? null : (asked) => a(asked) || b(asked);
    }
    return left;
  };
  const both = (): Test | null => {
    let left = one();
    while (left !== null && next("and")) {
      const a: Test = left;
      const b = one();
      left = b === null ? null : (asked) => a(asked) && b(asked);
    }
    return left;
  };
  const one = (): Test | null => {
    if (next("not")) {
      const inner = one();
      return inner && ((asked) => !inner(asked));
    }
    if (next("(")) {
      const inner = either();
      return next(")") ? inner : null;
    }
    const name = tokens[at++] ?? "";
    const numbers = Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined;
    if (numbers === undefined) return (Object.hasOwn(FLAGS, name) && FLAGS[name]) || null;
    const compare = COMPARE[tokens[at++] ?? ""];
    const wanted = Number(tokens[at++]);
    if (compare === undefined || !Number.isInteger(wanted)) return null;
    return (asked) => numbers(asked).some((number) => compare(number, wanted));
  };
  const found = either();
  return at === tokens.length ? found : null;
}
