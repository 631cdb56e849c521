/** Addresses and sizes: how they are written and read. Virtual ones are BigInt, or pages of 4 KiB. */

export const UNIT = 4096;
const ALL = (1n << 64n) - 1n;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const SUFFIX: { [letter: string]: number } = { k: 10, m: 20, g: 30, t: 40, p: 50 };

/** With all its digits: 0xffff000000000000, 0xc0000000. */
export function hex(value: bigint | number, digits = 0): string {
  return "0x" + BigInt(value).toString(16).padStart(digits, "0");
}

export function pageOf(va: bigint): number {
  return Number(va >> 12n);
}

export function vaOf(page: number): bigint {
  return (BigInt(Math.floor(page)) << 12n) & ALL;
}

/** A size for reading: 1.213 GiB. */
export function size(bytes: number): string {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${Number(bytes.toPrecision(4))} ${UNITS[unit]}`;
}

/** A number: hexadecimal with or without 0x (`hexadecimal`), decimal, with K, M, G, T. */
export function parse(text: string, hexadecimal = false): bigint | null {
  const plain = text.trim().toLowerCase().replaceAll("_", "");
  let found: bigint | null = null;
  const sized = /^(0x[0-9a-f]+|\d+)([kmgtp]?)(i?b)?$/.exec(plain);
  if (sized?.[1] !== undefined) {
    found = BigInt(sized[1]) << BigInt(SUFFIX[sized[2] ?? ""] ?? 0);
  }
  if ((hexadecimal && /^[0-9a-f]{5,16}$/.test(plain)) || (found === null && /^[0-9a-f]{5,16}$/.test(plain))) {
    found = BigInt("0x" + plain);
  }
  return found !== null && found <= ALL ? found : null;
}
