/** What lies over the map: findings, the event, the selected address, what is under the pointer. */

import type { JSX } from "preact";
import { hex, pageOf, size, UNIT, vaOf } from "../address";
import { eventsOf } from "../boot";
import { useGiven } from "../context";
import { named, t } from "../i18n";
import type { MachineView, Place } from "../model";
import type { Scale } from "../scale";
import type { SpaceView } from "../space";
import type { Columns } from "./columns";

export function Findings(props: { machine: MachineView; view: SpaceView; scale: Scale; columns: Columns }): JSX.Element {
  const { machine, view, scale, columns } = props;
  const found = machine.subject.findings.flatMap((finding, number) =>
    (finding.mapped ?? [])
      .filter((one) => one.root === view.space.root)
      .map((one) => ({ finding, number, page: pageOf(BigInt(one.va)) })),
  );
  let before = Infinity;
  return (
    <g class="findings">
      {found.map(({ finding, number, page }) => {
        if (page < scale.low || page >= scale.high) return null;
        const y = scale.y(page);
        if (Math.abs(before - y) < 6) return null;
        before = y;
        return (
          <path
            key={`${number}/${page}`}
            class={finding.severity}
            d={`M${columns.vaAt + columns.va + 2} ${y}l9 -5v10z`}
          >
            <title>{finding.title}</title>
          </path>
        );
      })}
    </g>
  );
}

/** The range of the event that the boot is at. */
export function EventMark(props: {
  view: SpaceView; scale: Scale; physical: Scale; columns: Columns;
}): JSX.Element | null {
  const { model, state, machine } = useGiven();
  const boot = machine?.subject.boot;
  if (state.event === null || !boot) return null;
  const event = eventsOf(model, boot)[state.event - 1];
  if (event === undefined || event.end < event.start) return null;
  const { view, scale, physical, columns } = props;
  const virtual = event.kind === "map";
  const on = virtual ? scale : physical;
  const unit = virtual ? UNIT : 1;
  const low = Number(event.start) / unit;
  const high = (Number(event.end) + 1) / unit;
  if (high <= on.low || low >= on.high || (virtual && Number(event.start) / UNIT < view.low)) return null;
  const top = on.y(Math.min(high, on.high));
  const bottom = on.y(Math.max(low, on.low));
  const x = virtual ? columns.vaAt : columns.physicalAt;
  const width = virtual ? columns.va : columns.labelAt - columns.physicalAt - 6;
  return <rect class="event" x={x} y={top - 1} width={width} height={Math.max(3, bottom - top + 2)} />;
}

/** The selected address, on both sides. */
export function Marks(props: {
  view: SpaceView; machine: MachineView; scale: Scale; physical: Scale; columns: Columns;
}): JSX.Element | null {
  const { state } = useGiven();
  const { view, machine, scale, physical, columns } = props;
  const pa = state.pa ?? (state.va === null ? null : view.physical(state.va));
  const vas = state.va !== null ? [state.va] : pa === null ? [] : machine.mapping(pa, 64).filter((m) => m.space === view).map((m) => m.va);
  const lines = vas.map(pageOf).filter((page) => page >= scale.low && page < scale.high);
  const right = columns.physicalAt - 2;
  const paY = pa !== null && pa >= physical.low && pa < physical.high ? physical.y(pa) : null;
  return (
    <g class="selected">
      {lines.map((page) => (
        <g key={page}>
          <line x1={columns.bandAt - 2} x2={columns.vaAt + columns.va + 2} y1={scale.y(page)} y2={scale.y(page)} />
          {paY !== null && (
            <line x1={columns.vaAt + columns.va + 2} x2={right} y1={scale.y(page)} y2={paY} />
          )}
        </g>
      ))}
      {paY !== null && <line x1={right} x2={columns.labelAt - 6} y1={paY} y2={paY} />}
    </g>
  );
}

export interface Hover {
  readonly va: number | null;
  readonly pa: number | null;
}

/** Lines from what is under the pointer to where it lies on the other side. */
export function Links(props: {
  view: SpaceView; hover: Hover; scale: Scale; physical: Scale; columns: Columns;
}): JSX.Element | null {
  const { view, hover, scale, physical, columns } = props;
  const left = columns.vaAt + columns.va;
  const right = columns.physicalAt - 2;
  const rows: number[] = [];
  if (hover.va !== null) {
    const row = view.at(hover.va);
    if (row >= 0 && view.exact(row)) rows.push(row);
  } else if (hover.pa !== null) {
    for (let row = 0; row < view.length && rows.length < 32; row++) {
      const offset = hover.pa - (view.pa[row] as number);
      if (offset >= 0 && offset < (view.pages[row] as number) * UNIT && view.exact(row)) rows.push(row);
    }
  }
  return (
    <g class="links">
      {rows.map((row) => {
        const start = view.pa[row] as number;
        const end = start + (view.pages[row] as number) * UNIT;
        const clamp = (s: Scale, value: number): number => s.y(Math.max(s.low, Math.min(s.high, value)));
        const points = [
          [left, clamp(scale, view.end(row))],
          [right, clamp(physical, end)],
          [right, clamp(physical, start)],
          [left, clamp(scale, view.page[row] as number)],
        ];
        return <polygon key={row} points={points.map((point) => point.join(",")).join(" ")} />;
      })}
    </g>
  );
}

/** What is under the pointer, in a line. */
export function Under({ machine, view, hover }: { machine: MachineView; view: SpaceView; hover: Hover }): JSX.Element {
  if (hover.pa !== null) {
    const pa = Math.floor(hover.pa);
    const places: Place[] = machine.at(pa);
    return (
      <span>
        {hex(pa, 10)} {places.map((place) => place.what || named("layer", place.layer)).join(" · ")}
      </span>
    );
  }
  const page = Math.floor(hover.va ?? 0);
  const row = view.at(page);
  const band = machine.band(page)?.name ?? "";
  const symbol = machine.symbols.nearest(vaOf(page));
  return (
    <span>
      {hex(vaOf(page), view.digits)} {band}{" "}
      {row < 0 ? t("unmapped") : `${size((view.pages[row] as number) * UNIT)} ${view.meaningOf(row)?.summary ?? ""}`}
      {symbol !== null && ` · ${symbol}`}
    </span>
  );
}
