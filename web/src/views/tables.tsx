/** The tree of translation tables: what each covers, how full it is, who shares it, what it costs. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { hex, size, UNIT, vaOf } from "../address";
import { useGiven } from "../context";
import { lastAtMost } from "../find";
import { named, t } from "../i18n";
import type { MachineView } from "../model";
import { DataTable, Pa, Va } from "../parts";
import { saveCsv } from "../save";
import type { SpaceView } from "../space";
import { formOf } from "../walk";

interface Node {
  readonly row: number;
  readonly pa: number;
  readonly level: number;
  readonly page: number;
  readonly entries: number;
  readonly children: readonly Node[];
}

/** The tables as a tree, by the addresses that they translate. */
function tree(view: SpaceView): Node[] {
  const { doc } = view;
  const rows = view.space.tables;
  const [pa, level, page, entries] = (["pa", "level", "page", "entries"] as const).map((name) =>
    doc.numbers(rows, name),
  ) as [Float64Array, Float64Array, Float64Array, Float64Array];
  const made = new Map<number, { node: Node; children: Node[] }[]>();
  const roots: Node[] = [];
  for (let row = 0; row < rows.rows; row++) {
    const children: Node[] = [];
    const number = level[row] as number;
    const node: Node = {
      row, children, level: number, pa: pa[row] as number,
      page: page[row] as number, entries: entries[row] as number,
    };
    const above = made.get(number - 1);
    if (above === undefined) {
      roots.push(node);
    } else {
      const at = lastAtMost(above.map((each) => each.node.page), node.page);
      (above[Math.max(0, at)]?.children ?? roots).push(node);
    }
    const level_ = made.get(number) ?? [];
    level_.push({ node, children });
    made.set(number, level_);
  }
  return roots;
}

/** Of a table: words by kind; null where the page does not have them. */
function fill(machine: MachineView, view: SpaceView, node: Node): Map<string, number> | null {
  const table = machine.pool.table(node.pa);
  const level = view.regime.levels.find((each) => each.number === node.level);
  if (table === null || level === undefined) return null;
  const kinds = new Map<string, number>();
  for (let at = table.first; at < table.end; at++) {
    const { kind } = formOf(level, machine.pool.word[at] as bigint);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return kinds;
}

const KIND_COLOURS: { readonly [kind: string]: string } = {
  table: "#0072b2",
  block: "#009e73",
  page: "#56b4e9",
  invalid: "#e69f00",
  reserved: "#d55e00",
};

export function TablesView(): JSX.Element {
  const { machine, space } = useGiven();
  if (machine === null || space === null) return <p>{t("map.none")}</p>;
  return <Tables machine={machine} view={space} />;
}

function Tables({ machine, view }: { machine: MachineView; view: SpaceView }): JSX.Element {
  const roots = useMemo(() => tree(view), [view]);
  const { doc } = view;
  const reached = useMemo(() => {
    const found = new Map<string, number>();
    const { shared } = view.space;
    const pa = doc.numbers(shared, "pa");
    const level = doc.numbers(shared, "level");
    const count = doc.numbers(shared, "reached");
    for (let row = 0; row < pa.length; row++) found.set(`${pa[row]}/${level[row]}`, count[row] as number);
    return found;
  }, [view]);
  const levels = useMemo(() => {
    const counts = new Map<number, { tables: number; bytes: number }>();
    const seen = new Set<string>();
    const level = doc.numbers(view.space.tables, "level");
    const entries = doc.numbers(view.space.tables, "entries");
    const pa = doc.numbers(view.space.tables, "pa");
    for (let row = 0; row < level.length; row++) {
      const key = `${pa[row]}/${level[row]}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const found = counts.get(level[row] as number) ?? { tables: 0, bytes: 0 };
      found.tables++;
      found.bytes += (entries[row] as number) * view.regime.entry_size;
      counts.set(level[row] as number, found);
    }
    return [...counts.entries()];
  }, [view]);
  function* all(): Generator<(string | null)[]> {
    yield ["level", "pa", "va", "covers_bytes", "entries", "used", "reached", "spaces"];
    const walk = function* (nodes: readonly Node[]): Generator<(string | null)[]> {
      for (const node of nodes) {
        const table = machine.pool.table(node.pa);
        yield [
          String(node.level),
          hex(node.pa),
          hex(vaOf(node.page)),
          String(covers(view, node) * UNIT),
          String(node.entries),
          table === null ? null : String(table.end - table.first),
          String(reached.get(`${node.pa}/${node.level}`) ?? 1),
          String(machine.spacesOfTable.get(node.pa) ?? 1),
        ];
        yield* walk(node.children);
      }
    };
    yield* walk(roots);
  }
  return (
    <div class="tables">
      <DataTable
        name={`levels-${view.space.name}`}
        caption={t("tables.cost")}
        columns={[
          { key: "level", label: t("tables.level"), number: true },
          { key: "tables", label: t("tables.count"), number: true },
          { key: "bytes", label: t("tables.bytes"), number: true },
        ]}
        rows={levels.length}
        cell={(row, column) => {
          const [number, { tables, bytes }] = levels[row] as (typeof levels)[number];
          if (column === "level") return { text: String(number) };
          if (column === "tables") return { text: String(tables) };
          return { text: String(bytes), shown: size(bytes) };
        }}
      />
      {view.space.tables.left_out > 0 && <p class="note">{t("tables.cut", { n: view.space.tables.left_out })}</p>}
      {machine.machine.pool.left_out > 0 && (
        <p class="note">{t("tables.words_cut", { n: machine.machine.pool.left_out })}</p>
      )}
      <div class="bar">
        <h3>{t("tables.tree")}</h3>
        <button type="button" class="small" onClick={() => saveCsv(all(), `tables-${view.space.name}`)}>
          CSV
        </button>
      </div>
      <p class="legend-line">
        {Object.entries(KIND_COLOURS).map(([kind, colour]) => (
          <span key={kind}>
            <span class="swatch" style={{ background: colour }} /> {named("kind", kind)}{" "}
          </span>
        ))}
      </p>
      <ul class="tree">
        {roots.map((node) => (
          <Branch key={node.row} machine={machine} view={view} node={node} reached={reached} open />
        ))}
      </ul>
    </div>
  );
}

function covers(view: SpaceView, node: Node): number {
  const level = view.regime.levels.find((each) => each.number === node.level);
  return node.entries * 2 ** ((level?.shift ?? 12) - 12);
}

const AT_ONCE = 64;

function Branch(props: {
  machine: MachineView;
  view: SpaceView;
  node: Node;
  reached: ReadonlyMap<string, number>;
  open?: boolean;
}): JSX.Element {
  const { machine, view, node, reached } = props;
  const [chosen, setOpen] = useState<boolean | null>(null);
  const [most, setMost] = useState(AT_ONCE);
  const { state } = useGiven();
  const kinds = useMemo(() => fill(machine, view, node), [machine, view, node]);
  const pages = covers(view, node);
  const page = state.va === null ? -1 : Number(state.va >> 12n);
  const here = page >= node.page && page < node.page + pages;
  const open = chosen ?? (props.open === true || here);
  const used = kinds === null ? null : [...kinds.values()].reduce((a, b) => a + b, 0);
  const times = reached.get(`${node.pa}/${node.level}`) ?? 1;
  const spaces = machine.spacesOfTable.get(node.pa) ?? 1;
  return (
    <li>
      <div class={here ? "node here" : "node"}>
        {node.children.length > 0 ? (
          <button
            type="button"
            class="twist"
            aria-expanded={open}
            aria-label={t("tables.open", { n: node.children.length })}
            onClick={() => setOpen(!open)}
          >
            {open ? "▾" : "▸"}
          </button>
        ) : (
          <span class="twist" />
        )}
        <span class="level">{t("walk.level", { n: node.level })}</span>
        <Pa pa={node.pa} />
        <Va va={vaOf(node.page)} root={view.space.name} />
        <span class="covers">{size(pages * UNIT)}</span>
        <Fill kinds={kinds} entries={node.entries} />
        <span class="used">
          {used === null ? t("tables.not_here") : t("tables.used", { n: used, all: node.entries })}
        </span>
        {times > 1 && <strong>{t("tables.shared", { n: times })}</strong>}
        {spaces > 1 && <span class="shared">{t("tables.spaces", { n: spaces })}</span>}
      </div>
      {open && node.children.length > 0 && (
        <ul>
          {node.children.slice(0, most).map((child) => (
            <Branch key={child.row} machine={machine} view={view} node={child} reached={reached} />
          ))}
          {node.children.length > most && (
            <li>
              <button type="button" class="small" onClick={() => setMost(most * 4)}>
                {t("more", { n: node.children.length - most })}
              </button>
            </li>
          )}
        </ul>
      )}
    </li>
  );
}

const BAR = 90;

function Fill({ kinds, entries }: { kinds: ReadonlyMap<string, number> | null; entries: number }): JSX.Element {
  let x = 0;
  return (
    <svg width={BAR} height={12} class="fill" aria-hidden="true">
      <rect width={BAR} height={12} class="frame" />
      {[...(kinds ?? [])].map(([kind, count]) => {
        const width = Math.max(1, (count / entries) * BAR);
        const from = x;
        x += width;
        return <rect key={kind} x={from} width={width} height={12} fill={KIND_COLOURS[kind] ?? "#999"} />;
      })}
    </svg>
  );
}
