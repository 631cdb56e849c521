/** The words of the page, in the language of the user; all of them are in `strings.json`. */

import strings from "./strings.json";
import { LANGUAGES, type Language } from "./state";

export type Key = keyof typeof strings;

let column = 0;

export function setLanguage(language: Language): void {
  column = LANGUAGES.indexOf(language);
}

/** A text; `{name}` in it stands for a value. */
export function t(key: Key, values: { readonly [name: string]: string | number } = {}): string {
  const text = strings[key][column] ?? strings[key][0] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** A text whose key is made of a value; the value itself where there is none. */
export function named(prefix: string, value: string): string {
  const key = `${prefix}.${value}`;
  return Object.hasOwn(strings, key) ? t(key as Key) : value;
}
