/** Search: an address, a range, a symbol, or a condition on attributes. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { hex, pageOf, parse, size, UNIT, vaOf } from "./address";
import { useGiven } from "./context";
import { t } from "./i18n";
import type { MachineView } from "./model";
import type { State } from "./state";
import { parseWhere } from "./where";

interface Hit {
  readonly label: string;
  readonly note: string;
  readonly change: Partial<State>;
}

const MOST = 12;

/** What a text can mean in a machine. */
export function search(machine: MachineView, text: string, root: string): Hit[] {
  const found: Hit[] = [];
  const plain = text.trim();
  if (!plain) return found;
  const range = /^(\S+?)\s*(?:\.\.|–|-|\+)\s*(\S+)$/.exec(plain);
  if (range !== null) {
    const low = parse(range[1] ?? "");
    const second = parse(range[2] ?? "");
    if (low !== null && second !== null) {
      const high = plain.includes("+") ? low + second : second;
      if (high > low) {
        const view = machine.spaceOf(low, root);
        found.push({
          label: `${hex(low)} – ${hex(high)}`,
          note: t("search.range"),
          change: {
            view: "map", va: low, pa: null, zoom: [pageOf(low), Math.max(pageOf(low) + 1, Math.ceil(Number(high) / UNIT))],
            ...(view === null ? {} : { root: view.space.name }),
          },
        });
      }
    }
  }
  const address = parse(plain);
  if (address !== null) {
    const view = machine.spaceOf(address, root);
    found.push({
      label: hex(address),
      note: t("search.virtual", { root: view?.space.name ?? "" }),
      change: { va: address, pa: null, ...(view === null ? {} : { root: view.space.name }) },
    });
    if (address < 1n << 52n) {
      found.push({ label: hex(address), note: t("search.physical"), change: { pa: Number(address), va: null } });
    }
  }
  const test = parseWhere(plain);
  if (test !== null) {
    let rows = 0;
    let bytes = 0;
    const view = machine.space(root);
    for (let row = 0; view !== null && row < view.length; row++) {
      const meaning = view.meaningOf(row);
      if (meaning !== null && test({ meaning, levels: view.levels(row).split("/").map(Number) })) {
        rows++;
        bytes += (view.mapped[row] as number) * UNIT;
      }
    }
    found.push({
      label: plain,
      note: t("search.condition", { n: rows, size: size(bytes) }),
      change: { view: "map", filter: plain },
    });
  }
  for (const band of machine.bands) {
    if (band.name && band.name.toLowerCase().includes(plain.toLowerCase())) {
      found.push({
        label: band.name,
        note: t("search.layout"),
        change: { view: "map", zoom: [band.low, band.high], va: vaOf(band.low), pa: null },
      });
    }
  }
  for (const { name, address: at } of machine.symbols.named(plain, MOST)) {
    found.push({ label: name, note: hex(at), change: { va: at, pa: null, root: "kernel" } });
  }
  return found.slice(0, MOST);
}

export function Search(): JSX.Element {
  const { machine, state, go } = useGiven();
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) {
        event.preventDefault();
        input.current?.focus();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  const hits = machine === null || !open ? [] : search(machine, text, state.root);
  const take = (hit: Hit | undefined): void => {
    if (hit === undefined) return;
    go(hit.change);
    setOpen(false);
  };
  return (
    <div class="search" role="search">
      <input
        ref={input}
        id="search"
        type="text"
        role="combobox"
        aria-label={t("search")}
        aria-expanded={open && hits.length > 0}
        aria-controls="hits"
        aria-autocomplete="list"
        {...(open && hits.length > 0 ? { "aria-activedescendant": `hit-${at}` } : {})}
        placeholder={t("search.hint")}
        value={text}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
          setOpen(true);
        }}
        onFocus={() => setOpen(true)}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onKeyDown={(event) => {
          if (event.key === "Enter") take(hits[at]);
          else if (event.key === "Escape") setOpen(false);
          else if (event.key === "ArrowDown") setAt(Math.min(hits.length - 1, at + 1));
          else if (event.key === "ArrowUp") setAt(Math.max(0, at - 1));
          else return;
          event.preventDefault();
        }}
      />
      <ul id="hits" role="listbox" aria-label={t("search.hits")} hidden={!open || hits.length === 0}>
        {hits.map((hit, number) => (
          <li
            key={number}
            id={`hit-${number}`}
            role="option"
            aria-selected={number === at}
            onMouseDown={(event) => {
              event.preventDefault();
              take(hit);
            }}
          >
            <code>{hit.label}</code> <span>{hit.note}</span>
          </li>
        ))}
      </ul>
      {open && text && hits.length === 0 && <p class="nothing">{t("search.nothing")}</p>}
    </div>
  );
}
