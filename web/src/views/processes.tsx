/** Processes: who shares what; copy-on-write and huge pages. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { hex, size, UNIT, vaOf } from "../address";
import { useGiven } from "../context";
import { t } from "../i18n";
import type { MachineView } from "../model";
import { DataTable, Legend, Pa, Picture, Va } from "../parts";
import { type Process, sharingOf } from "../sharing";
import { useWidth } from "../width";

const ROW = 22;
const PARTS = [
  { key: "own", colour: "#56b4e9" },
  { key: "shared", colour: "#e69f00" },
] as const;
const OVERLAYS = [
  { key: "huge", colour: "#009e73" },
  { key: "copied", colour: "#cc79a7" },
  { key: "hidden", colour: "#d55e00" },
  { key: "swapped", colour: "#0072b2" },
] as const;

export function ProcessesView(): JSX.Element {
  const { machine } = useGiven();
  if (machine === null || machine.subject.relations?.["tasks"] === undefined) {
    return <p>{t("processes.none")}</p>;
  }
  return <Processes machine={machine} />;
}

function Processes({ machine }: { machine: MachineView }): JSX.Element {
  const sharing = useMemo(() => sharingOf(machine), [machine]);
  return (
    <div class="processes">
      <Bars processes={sharing.processes} />
      <Legend
        entries={[...PARTS, ...OVERLAYS].map(({ key, colour }) => ({
          key, colour, label: t(`processes.${key}`),
        }))}
      />
      <Matrix machine={machine} />
      <Tasks machine={machine} />
      <Entries machine={machine} />
      <Areas machine={machine} />
    </div>
  );
}

function label(process: Process): string {
  return `${process.pid} ${process.name}`;
}

function Bars({ processes }: { processes: readonly Process[] }): JSX.Element {
  const { go } = useGiven();
  const [holder, width] = useWidth<HTMLDivElement>();
  const names = Math.min(150, width * 0.32);
  const most = Math.max(1, ...processes.map((each) => each.resident + each.swapped));
  const scale = (width - names - 70) / most;
  return (
    <div ref={holder}>
      <Picture name="processes" label={t("processes.bars")} width={width} height={processes.length * ROW + 6}>
        {processes.map((process, at) => {
          const y = at * ROW + 4;
          let x = names;
          return (
            <g key={process.root} class="process" onClick={() => go({ root: process.space, view: "map", zoom: null })}>
              <rect class="hit" x={0} y={y - 2} width={width} height={ROW} />
              <text x={names - 6} y={y + 11} text-anchor="end">
                {label(process)}
              </text>
              {PARTS.map(({ key, colour }) => {
                const from = x;
                x += process[key] * scale;
                return <rect key={key} x={from} y={y} width={Math.max(0, process[key] * scale)} height={9} fill={colour} />;
              })}
              {OVERLAYS.map(({ key, colour }, row) =>
                process[key] > 0 ? (
                  <rect key={key} x={names} y={y + 10 + row * 2} width={Math.max(1, process[key] * scale)} height={2} fill={colour} />
                ) : null,
              )}
              <text x={x + 5} y={y + 10} class="small-label">
                {size(process.resident)}
              </text>
            </g>
          );
        })}
      </Picture>
    </div>
  );
}

const CELL = 26;
const MOST_CELLS = 40;

/** How much each pair of processes has in common. */
function Matrix({ machine }: { machine: MachineView }): JSX.Element | null {
  const { processes, common } = sharingOf(machine);
  const [holder, width] = useWidth<HTMLDivElement>();
  if (processes.length < 2 || processes.length > MOST_CELLS) return null;
  const names = Math.min(130, width * 0.3);
  const cell = Math.max(8, Math.min(CELL, (width - names) / processes.length));
  const most = Math.max(1, ...common.flatMap((row, a) => row.filter((_, b) => a !== b)));
  return (
    <section>
      <h3>{t("processes.common")}</h3>
      <div ref={holder}>
        <Picture
          name="sharing"
          label={t("processes.common")}
          width={width}
          height={processes.length * cell + 44}
        >
          {processes.map((process, a) => (
            <g key={process.root}>
              <text x={names - 6} y={44 + a * cell + cell / 2 + 4} text-anchor="end">
                {label(process)}
              </text>
              <text
                class="small-label"
                transform={`translate(${names + a * cell + cell / 2 + 3} 40) rotate(-60)`}
              >
                {process.pid}
              </text>
              {processes.map((other, b) => {
                const bytes = common[a]?.[b] ?? 0;
                const strength = a === b ? 0 : Math.sqrt(bytes / most);
                return (
                  <rect
                    key={other.root}
                    class={a === b ? "cell self" : "cell"}
                    x={names + b * cell}
                    y={44 + a * cell}
                    width={cell - 1}
                    height={cell - 1}
                    fill="#e69f00"
                    fill-opacity={a === b ? 0 : strength}
                  >
                    <title>{`${label(process)} · ${label(other)}: ${size(bytes)}`}</title>
                  </rect>
                );
              })}
            </g>
          ))}
        </Picture>
      </div>
    </section>
  );
}

function Tasks({ machine }: { machine: MachineView }): JSX.Element {
  const { go } = useGiven();
  const { processes } = sharingOf(machine);
  const columns = ["resident", "own", "shared", "huge", "copied", "hidden", "swapped"] as const;
  return (
    <DataTable
      name="processes"
      caption={t("processes.list")}
      columns={[
        { key: "pid", label: "PID", number: true },
        { key: "name", label: t("processes.name") },
        { key: "root", label: t("processes.root") },
        ...columns.map((key) => ({ key, label: t(`processes.${key}`), number: true })),
        { key: "tables", label: t("processes.tables"), number: true },
      ]}
      rows={processes.length}
      cell={(row, column) => {
        const process = processes[row] as Process;
        if (column === "pid") return { text: String(process.pid) };
        if (column === "name") {
          return {
            text: process.name,
            shown: (
              <button type="button" class="address" onClick={() => go({ root: process.space, view: "map", zoom: null })}>
                {process.name || "?"}
              </button>
            ),
          };
        }
        if (column === "root") return { text: process.root, shown: <Pa pa={BigInt(process.root)} /> };
        if (column === "tables") {
          return { text: String(machine.space(process.space)?.space.tables.rows ?? 0) };
        }
        const bytes = process[column as (typeof columns)[number]];
        return { text: String(bytes), shown: bytes === 0 ? "–" : size(bytes) };
      }}
    />
  );
}

/** Linux's own entries of the process that is shown. */
function Entries({ machine }: { machine: MachineView }): JSX.Element | null {
  const { space } = useGiven();
  const { processes, runs } = sharingOf(machine);
  const at = processes.findIndex((each) => each.space === space?.space.name);
  const process = processes[at];
  if (process === undefined) return <p class="note">{t("processes.choose")}</p>;
  const own = runs.filter((run) => run.process === at);
  return (
    <DataTable
      name={`entries-${process.pid}`}
      caption={t("processes.entries", { who: label(process) })}
      columns={[
        { key: "va", label: t("column.va") },
        { key: "bytes", label: t("column.size"), number: true },
        { key: "pa", label: t("column.pa") },
        { key: "kind", label: t("walk.kind") },
        { key: "page", label: t("processes.page"), number: true },
        { key: "shared", label: t("processes.with") },
        { key: "copied", label: t("processes.copied") },
      ]}
      rows={own.length}
      cell={(row, column) => {
        const run = own[row] as (typeof own)[number];
        switch (column) {
          case "va":
            return { text: hex(vaOf(run.page)), shown: <Va va={vaOf(run.page)} root={process.space} /> };
          case "bytes":
            return { text: String(run.pages * UNIT), shown: size(run.pages * UNIT) };
          case "pa":
            return { text: hex(run.pa), shown: <Pa pa={run.pa} /> };
          case "kind":
            return { text: run.kind };
          case "page":
            return { text: String(run.unit * UNIT), shown: <span class={run.huge ? "huge" : ""}>{size(run.unit * UNIT)}</span> };
          case "copied":
            return { text: run.copied ? "1" : "0", shown: run.copied ? <span class="cow">{t("yes")}</span> : "" };
          default: {
            const end = run.pa + run.pages * UNIT;
            const others = new Set(
              runs
                .filter((other) => other.process !== at && other.pa < end && run.pa < other.pa + other.pages * UNIT)
                .map((other) => processes[other.process]?.pid ?? 0),
            );
            const text = [...others].join(" ");
            return { text, shown: <span class="line">{text}</span> };
          }
        }
      }}
    />
  );
}

function Areas({ machine }: { machine: MachineView }): JSX.Element | null {
  const { space } = useGiven();
  const { doc, subject } = machine;
  const vmas = subject.relations?.["vmas"];
  const { processes } = sharingOf(machine);
  const process = processes.find((each) => each.space === space?.space.name);
  if (vmas === undefined || process === undefined) return null;
  const pid = doc.numbers(vmas, "pid");
  const rows = [...pid.keys()].filter((row) => pid[row] === process.pid);
  const columns = ["start", "last", "permissions", "name", "present", "prot_none", "old", "swapped"];
  return (
    <DataTable
      name={`areas-${process.pid}`}
      caption={t("processes.areas", { who: label(process) })}
      columns={columns.map((key) => ({ key, label: key }))}
      rows={rows.length}
      cell={(at, column) => {
        const text = doc.cell(vmas, column, rows[at] as number);
        if (text !== null && (column === "start" || column === "last")) {
          return { text, shown: <Va va={BigInt(text)} root={process.space} /> };
        }
        return { text };
      }}
    />
  );
}
