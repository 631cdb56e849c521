/** Two machines side by side: what they map differently, on the map and as a list. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { hex, size, UNIT, vaOf } from "../address";
import { changeColour, Fills } from "../colours";
import { useGiven } from "../context";
import type { Comparison, RootComparison } from "../document";
import { boxes } from "../draw";
import { named, t } from "../i18n";
import type { Model } from "../model";
import { DataTable, Legend, Pa, Picture, Va } from "../parts";
import { merged } from "../physical";
import { makeScale } from "../scale";
import { useWidth } from "../width";

const HEIGHT = 520;
const TOP = 22;

export function CompareView(): JSX.Element {
  const { model, state, go } = useGiven();
  const all = model.comparisons();
  const comparison = all[Math.min(state.comparison, all.length - 1)];
  if (comparison === undefined) return <p>{t("compare.none")}</p>;
  return (
    <div class="compare">
      {all.length > 1 && (
        <label>
          {t("compare.which")}{" "}
          <select
            value={String(Math.min(state.comparison, all.length - 1))}
            onChange={(event) => go({ comparison: Number(event.currentTarget.value) })}
          >
            {all.map((each, at) => (
              <option key={at} value={String(at)}>
                {machineName(model, each.a)} – {machineName(model, each.b)}
              </option>
            ))}
          </select>
        </label>
      )}
      <ComparisonOf comparison={comparison} />
    </div>
  );
}

export function machineName(model: Model, number: number): string {
  const machine = model.doc.head.machines[number];
  const subject = model.subjectOf(number);
  const many = (subject?.machines.length ?? 0) > 1;
  return `${subject?.name ?? "?"}${many && machine?.stage ? ` · ${machine.stage}` : ""}`;
}

export function ComparisonOf({ comparison }: { comparison: Comparison }): JSX.Element {
  const { model } = useGiven();
  return (
    <>
      <p>
        A: {machineName(model, comparison.a)}; B: {machineName(model, comparison.b)}
      </p>
      {comparison.roots.map((root) => (
        <Root key={root.root} comparison={comparison} root={root} />
      ))}
    </>
  );
}

function Root({ comparison, root }: { comparison: Comparison; root: RootComparison }): JSX.Element {
  const { model } = useGiven();
  const { doc } = model;
  const d = root.differences;
  const page = doc.numbers(d, "page");
  const pages = doc.numbers(d, "pages");
  const column = (name: "pa_a" | "pa_b" | "meaning_a" | "meaning_b"): Float64Array => doc.numbers(d, name);
  return (
    <section data-root={root.root}>
      <h3>
        {t("compare.root", { root: root.root })}:{" "}
        {d.rows === 0 ? t("compare.same") : t("compare.differ", { n: d.rows })}
      </h3>
      {root.cut.map((line) => (
        <p key={line} class="note">
          {line}
        </p>
      ))}
      {d.rows > 0 && (
        <>
          <Side comparison={comparison} root={root} />
          <DataTable
            name={`differences-${root.root}`}
            caption={t("compare.list")}
            columns={[
              { key: "va", label: t("column.va") },
              { key: "bytes", label: t("column.size"), number: true },
              { key: "change", label: t("compare.change") },
              { key: "pa_a", label: "A" },
              { key: "a", label: t("compare.attributes", { side: "A" }) },
              { key: "pa_b", label: "B" },
              { key: "b", label: t("compare.attributes", { side: "B" }) },
            ]}
            rows={d.rows}
            cell={(row, name) => {
              switch (name) {
                case "va": {
                  const va = vaOf(page[row] as number);
                  return { text: hex(va), shown: <Va va={va} root={root.root} /> };
                }
                case "bytes": {
                  const bytes = (pages[row] as number) * UNIT;
                  return { text: String(bytes), shown: size(bytes) };
                }
                case "change": {
                  const change = doc.text(d, "change", row) ?? "";
                  return {
                    text: change,
                    shown: (
                      <>
                        <span class="swatch" style={{ background: changeColour(change) }} /> {named("change", change)}
                      </>
                    ),
                  };
                }
                case "pa_a":
                case "pa_b": {
                  const meaning = column(name === "pa_a" ? "meaning_a" : "meaning_b")[row] as number;
                  if (meaning < 0) return { text: "", shown: "–" };
                  const pa = column(name)[row] as number;
                  return { text: hex(pa), shown: <Pa pa={pa} /> };
                }
                default: {
                  const meaning = column(name === "a" ? "meaning_a" : "meaning_b")[row] as number;
                  return { text: doc.head.meanings[meaning]?.summary ?? "", shown: doc.head.meanings[meaning]?.summary ?? "–" };
                }
              }
            }}
          />
        </>
      )}
    </section>
  );
}

/** A, what differs, and B on one scale. */
function Side({ comparison, root }: { comparison: Comparison; root: RootComparison }): JSX.Element {
  const { model, go } = useGiven();
  const { doc } = model;
  const [holder, width] = useWidth<HTMLDivElement>();
  const [a, b] = [comparison.a, comparison.b].map((number) => {
    const machine = model.machine(number);
    const view = machine?.spaces.find((each) => each.space.name === root.root) ?? machine?.spaces[0] ?? null;
    return { machine, view };
  }) as [Sided, Sided];
  const d = root.differences;
  const page = doc.numbers(d, "page");
  const pages = doc.numbers(d, "pages");
  const fills = useMemo(() => new Fills("purpose", doc.head.meanings), []);
  const scale = useMemo(() => {
    const ranges: [number, number][] = [];
    for (let row = 0; row < d.rows; row++) {
      ranges.push([page[row] as number, (page[row] as number) + (pages[row] as number)]);
    }
    for (const { view } of [a, b]) {
      for (let row = 0; view !== null && row < view.length; row++) {
        ranges.push([view.page[row] as number, view.end(row)]);
      }
    }
    const rows = merged(ranges);
    const view = a.view ?? b.view;
    return makeScale(rows, view?.low ?? 0, view?.high ?? 1, HEIGHT);
  }, [comparison, root]);
  const address = width < 620 ? 122 : 126;
  const column = Math.min(190, (width - address) / 3.2);
  const at = [address, address + column + 6, address + 2 * (column + 6)] as const;
  const changes = [...new Set(Array.from({ length: d.rows }, (_, row) => doc.text(d, "change", row) ?? ""))];
  let labelled = Infinity;
  return (
    <div ref={holder}>
      <Picture
        name={`compare-${root.root}`}
        label={t("compare.picture", { root: root.root })}
        width={Math.max(width, at[2] + column)}
        height={scale.height + TOP + 6}
      >
        <g class="headings">
          <text x={at[0] + 4} y={12}>A</text>
          <text x={at[1] + 4} y={12}>{t("compare.change")}</text>
          <text x={at[2] + 4} y={12}>B</text>
        </g>
        <g transform={`translate(0 ${TOP})`}>
          {at.map((x) => (
            <rect key={x} class="frame" x={x} y={0} width={column} height={scale.height} />
          ))}
          {([[a, at[0]], [b, at[2]]] as const).map(([side, x]) =>
            side.view === null || side.machine === null
              ? null
              : boxes(side.view, scale, {
                  machine: side.machine, fills, faint: () => false, fresh: () => false,
                }).map((box) => (
                  <rect key={`${x}/${box.row}/${box.top}`} class="run" x={x + 1} y={box.top} width={column - 2}
                    height={Math.max(0.8, box.bottom - box.top)} fill={box.fill.colour} />
                )),
          )}
          {Array.from(page, (low, row) => {
            const top = scale.y(Math.min(scale.high, low + (pages[row] as number)));
            const bottom = scale.y(Math.max(scale.low, low));
            return (
              <rect key={row} class="difference" x={at[1] + 1} y={top} width={column - 2}
                height={Math.max(1.5, bottom - top)} fill={changeColour(doc.text(d, "change", row) ?? "")}
                onClick={() => go({ va: vaOf(low), root: root.root, pa: null })} />
            );
          })}
          {scale.pieces.filter((piece) => piece.gap).map((piece) => (
            <text key={piece.low} class="edge" x={at[1] + column / 2} y={(piece.top + piece.bottom) / 2 + 4} text-anchor="middle">
              {size((piece.high - piece.low) * UNIT)}
            </text>
          ))}
          {[...scale.pieces].reverse().map((piece) => {
            const y = scale.y(piece.low);
            if (labelled !== Infinity && Math.abs(y - labelled) < 11) return null;
            labelled = y;
            return (
              <text key={piece.low} class="edge" x={address - 4} y={y} text-anchor="end">
                {hex(vaOf(piece.low), a.view?.digits ?? 16)}
              </text>
            );
          })}
        </g>
      </Picture>
      <Legend entries={changes.map((key) => ({ key, label: named("change", key), colour: changeColour(key) }))} />
    </div>
  );
}

interface Sided {
  readonly machine: NonNullable<ReturnType<Model["machine"]>> | null;
  readonly view: NonNullable<ReturnType<Model["machine"]>>["spaces"][number] | null;
}
