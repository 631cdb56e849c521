/** What is known of the address that is selected, with ways to everything about it. */

import type { JSX } from "preact";
import { pageOf, size, UNIT, vaOf } from "./address";
import { useGiven } from "./context";
import { named, t } from "./i18n";
import type { MachineView } from "./model";
import { Pa, Va } from "./parts";
import type { SpaceView } from "./space";

const MOST_ALIASES = 24;

export function Details(): JSX.Element {
  const { machine, state, go } = useGiven();
  if (machine === null || (state.va === null && state.pa === null)) {
    return (
      <aside class="details" aria-label={t("details")}>
        <p class="hint">{t("details.hint")}</p>
      </aside>
    );
  }
  const space = state.va === null ? null : machine.spaceOf(state.va, state.root);
  const pa = state.pa ?? (state.va === null || space === null ? null : translated(machine, space, state.va));
  return (
    <aside class="details" aria-label={t("details")}>
      <div class="bar">
        <h2>{t("details")}</h2>
        <button type="button" class="small" onClick={() => go({ va: null, pa: null })} aria-label={t("details.close")}>
          ×
        </button>
      </div>
      {state.va !== null && space !== null && <Virtual machine={machine} view={space} va={state.va} />}
      {pa !== null && <Physical machine={machine} pa={pa} />}
      <p class="bar">
        <button type="button" onClick={() => go({ view: "map" })}>
          {t("view.map")}
        </button>
        <button type="button" disabled={state.va === null} onClick={() => go({ view: "walk" })}>
          {t("view.walk")}
        </button>
        <button type="button" disabled={state.va === null} onClick={() => go({ view: "tables" })}>
          {t("view.tables")}
        </button>
      </p>
    </aside>
  );
}

/** The name of what lies at a page: of the process's area, or the region of the layout. */
function bandName(machine: MachineView, view: SpaceView, page: number): string {
  return machine.bandsOf(view).find((band) => page >= band.low && page < band.high)?.name ?? "";
}

function translated(machine: MachineView, view: SpaceView, va: bigint): number | null {
  const found = machine.translate(view, va);
  if (found.pa !== null) return Number(found.pa);
  return found.missing === null ? null : view.physical(va);
}

function Virtual({ machine, view, va }: { machine: MachineView; view: SpaceView; va: bigint }): JSX.Element {
  const { go } = useGiven();
  const page = pageOf(va);
  const row = view.at(page);
  const symbol = machine.symbols.nearest(va);
  const entry = machine.linuxEntry(view, va);
  const findings = machine.subject.findings.filter((finding) =>
    finding.mapped?.some((one) => one.root === view.space.root && va >= BigInt(one.va) && va <= BigInt(one.last)),
  );
  return (
    <dl>
      <dt>{t("column.va")}</dt>
      <dd>
        <Va va={va} root={view.space.name} />
        {symbol !== null && <code class="symbol"> {symbol}</code>}
      </dd>
      <dt>{t("details.space")}</dt>
      <dd>
        {view.space.name} {bandName(machine, view, page)}
      </dd>
      <dt>{t("details.mapping")}</dt>
      {row < 0 ? (
        <dd>{t("unmapped")}</dd>
      ) : (
        <dd>
          <Va va={vaOf(view.page[row] as number)} root={view.space.name} /> {size((view.pages[row] as number) * UNIT)},{" "}
          {t("details.descriptors", { n: view.descriptors(row), levels: view.levels(row) })}
          <br />
          <code>{view.meaningOf(row)?.summary ?? "?"}</code>
        </dd>
      )}
      {entry !== null && (
        <>
          <dt>{t("details.linux")}</dt>
          <dd>
            {entry.kind}
            {entry.pa !== null && (
              <>
                {" "}
                <Pa pa={entry.pa} />
              </>
            )}{" "}
            <code>{entry.flags.join(" ")}</code>
          </dd>
        </>
      )}
      {findings.map((finding) => (
        <dd key={finding.code + finding.message}>
          <button type="button" class="small" onClick={() => go({ view: "findings" })}>
            {named("severity", finding.severity)}: {finding.title}
          </button>
        </dd>
      ))}
    </dl>
  );
}

function Physical({ machine, pa }: { machine: MachineView; pa: number }): JSX.Element {
  const places = machine.at(pa);
  const free = machine.freeBlock(pa);
  const aliases = machine.mapping(pa, MOST_ALIASES);
  const table = [...tableAt(machine, pa)];
  return (
    <dl>
      <dt>{t("column.pa")}</dt>
      <dd>
        <Pa pa={pa} />
      </dd>
      {places.length > 0 && <dt>{t("details.lies")}</dt>}
      {places.map((place) => (
        <dd key={`${place.layer}/${place.start}/${place.end}`}>
          {named("layer", place.layer)} {place.what !== "RAM" && place.what} <Pa pa={place.start} />{" "}
          {size(place.end - place.start)}
        </dd>
      ))}
      {table.map((name) => (
        <dd key={name}>{name}</dd>
      ))}
      {free !== null && (
        <dd>
          {t("details.free", { order: free.order })} <Pa pa={free.pa} />
        </dd>
      )}
      <dt>{t("details.aliases")}</dt>
      {aliases.length === 0 && <dd>{t("unmapped.pa")}</dd>}
      {aliases.map(({ space, va }) => (
        <dd key={`${space.space.name}/${va}`}>
          <Va va={va} root={space.space.name} /> {space.space.name}
          {space.space.owners.length > 0 && ` (PID ${space.space.owners.slice(0, 3).join(", ")})`}
        </dd>
      ))}
      {aliases.length >= MOST_ALIASES && <dd>…</dd>}
    </dl>
  );
}

/** Which translation table a physical address lies in. */
function* tableAt(machine: MachineView, pa: number): Generator<string> {
  for (const view of machine.spaces) {
    const rows = view.space.tables;
    const at = machine.doc.numbers(rows, "pa");
    const entries = machine.doc.numbers(rows, "entries");
    const level = machine.doc.numbers(rows, "level");
    for (let row = 0; row < at.length; row++) {
      const start = at[row] as number;
      if (pa >= start && pa < start + (entries[row] as number) * view.regime.entry_size) {
        yield t("details.table", { root: view.space.name, n: level[row] as number });
        break;
      }
    }
  }
}
