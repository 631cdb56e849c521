/** The address map: a space drawn to a scale with breaks, physical memory beside it. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { hex, pageOf, size, UNIT, vaOf } from "../address";
import { replay } from "../boot";
import { Fills } from "../colours";
import { useGiven } from "../context";
import { boxes } from "../draw";
import { added } from "../fresh";
import { named, t } from "../i18n";
import { useDetail } from "../live";
import { columnsFor, TOP } from "../map/columns";
import { legendOf, physicalLegend } from "../map/legends";
import { EventMark, Findings, type Hover, Links, Marks, Under } from "../map/overlays";
import { Physical } from "../map/physical";
import { Bands, Column, Headings } from "../map/space";
import { around, aroundPiece, bounded, lastOf, moved, pieceOf, zoomAbout } from "../map/zoom";
import type { MachineView } from "../model";
import { Legend, Picture } from "../parts";
import { extent, layersOf, used } from "../physical";
import { makeScale } from "../scale";
import type { SpaceView } from "../space";
import { COLOURS } from "../state";
import { parseWhere } from "../where";
import { useWidth } from "../width";

const HEIGHT = 620;

const WHEEL = 0.8;

export function MapView(): JSX.Element {
  const { machine, space } = useGiven();
  if (machine === null) return <p>{t("nothing")}</p>;
  if (space === null) return <p>{t("map.none")}</p>;
  return <Map machine={machine} view={space} />;
}

function Map({ machine, view: told }: { machine: MachineView; view: SpaceView }): JSX.Element {
  const { model, state, go } = useGiven();
  const [holder, width] = useWidth<HTMLDivElement>();
  const [hover, setHover] = useState<Hover | null>(null);

  const [low, high] = bounded(state.zoom, told);
  const view = useDetail(machine, told, low, high);
  const scale = useMemo(
    () => makeScale(rowsOf(view), low, high, HEIGHT),
    [view, low, high],
  );
  const fills = useMemo(() => new Fills(state.colour, model.doc.head.meanings), [state.colour]);
  const test = useMemo(() => parseWhere(state.filter), [state.filter]);
  const fresh = useMemo(() => added(model, machine, view, state), [machine, view, state.event]);
  const drawn = useMemo(() => {
    const faint = (row: number): boolean => {
      if (test === null || !state.filter) return false;
      const meaning = view.meaningOf(row);
      return meaning === null || !test({ meaning, levels: view.levels(row).split("/").map(Number) });
    };
    return boxes(view, scale, { machine, fills, faint, fresh });
  }, [view, scale, fills, test, fresh]);

  const replayed = useMemo(
    () => replay(model, machine, state.event),
    [machine, state.event],
  );
  const layers = useMemo(() => layersOf(machine, replayed), [machine, replayed]);
  const physicalRows = useMemo(() => used(layers), [layers]);
  const whole = useMemo(() => extent(machine, physicalRows), [machine, physicalRows]);
  const [physicalLow, physicalHigh] = state.zoomPhysical ?? whole;
  const physical = useMemo(
    () => makeScale(physicalRows, physicalLow, physicalHigh, HEIGHT),
    [physicalRows, physicalLow, physicalHigh],
  );

  const cut = view.cut(low, high);
  const columns = columnsFor(width, view.digits, layers.length);
  const height = Math.max(scale.height, physical.height) + TOP + 8;

  const zoomed = (to: [number, number] | null): void => go({ zoom: to });
  const zoomAt = (page: number, factor: number): void => zoomed(zoomAbout(scale, view, page, factor));
  const middle = (): number =>
    state.va !== null && pageOf(state.va) >= low && pageOf(state.va) < high
      ? pageOf(state.va)
      : scale.at(scale.height / 2);

  const where = (event: MouseEvent): { side: "va" | "pa" | null; at: number } => {
    const svg = (event.currentTarget as SVGSVGElement).getBoundingClientRect();
    const ratio = columns.width / svg.width;
    const x = (event.clientX - svg.left) * ratio;
    const y = (event.clientY - svg.top) * ratio - TOP;
    if (x < columns.vaAt + columns.va) return { side: "va", at: scale.at(y) };
    if (x >= columns.physicalAt - 8) return { side: "pa", at: physical.at(y) };
    return { side: null, at: 0 };
  };

  const onKey = (event: KeyboardEvent): void => {
    const row = state.va === null ? -1 : view.at(pageOf(state.va));
    const step = (to: number): void => {
      if (to >= 0 && to < view.length) go({ va: vaOf(view.page[to] as number), pa: null });
    };
    const handled: { [key: string]: () => void } = {
      "+": () => zoomAt(middle(), 1 / 4),
      "=": () => zoomAt(middle(), 1 / 4),
      "-": () => zoomAt(middle(), 4),
      "0": () => zoomed(null),
      ArrowUp: () => step(row < 0 ? view.within(low, high)[0] : row + 1),
      ArrowDown: () => step(row < 0 ? view.within(low, high)[1] - 1 : row - 1),
      PageUp: () => zoomed(moved(view, low, high, 0.5)),
      PageDown: () => zoomed(moved(view, low, high, -0.5)),
      Enter: () => (state.va === null ? undefined : go({ view: "walk" })),
    };
    const action = handled[event.key];
    if (action !== undefined && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      action();
    }
  };

  const shownFills = [...new globalThis.Map(drawn.map((box) => [box.fill.key, box.fill])).values()];
  return (
    <div class="map">
      <div class="bar tools" role="toolbar" aria-label={t("map.tools")}>
        <span class="group">
          <button type="button" onClick={() => zoomAt(middle(), 1 / 4)} aria-label={t("zoom.in")}>
            +
          </button>
          <button type="button" onClick={() => zoomAt(middle(), 4)} aria-label={t("zoom.out")}>
            −
          </button>
          <button type="button" onClick={() => zoomed(null)}>
            {t("zoom.whole")}
          </button>
          <button
            type="button"
            disabled={state.va === null}
            onClick={() => state.va !== null && zoomed(around(view, pageOf(state.va)))}
          >
            {t("zoom.region")}
          </button>
          <button
            type="button"
            disabled={state.va === null}
            onClick={() => {
              if (state.va === null) return;
              const page = pageOf(state.va);
              const pages = Math.max(1, machine.pageSize / UNIT);
              const first = Math.floor(page / pages) * pages;
              zoomed([first, first + pages]);
            }}
          >
            {t("zoom.page")}
          </button>
        </span>
        <label>
          {t("colour")}{" "}
          <select
            value={state.colour}
            onChange={(event) => go({ colour: oneOfColours(event.currentTarget.value) })}
          >
            {COLOURS.map((each) => (
              <option key={each} value={each}>
                {named("colour", each)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p class="range" aria-live="polite">
        <code>{hex(vaOf(low), view.digits)}</code>–<code>{hex(lastOf(high), view.digits)}</code>{" "}
        {size((high - low) * UNIT)}
        {state.filter && test === null && <strong> {t("filter.bad")}</strong>}
      </p>
      {cut !== null && <p class="note">{t("cut", { why: cut })}</p>}
      {view.space.truncated !== null && <p class="note">{view.space.truncated}</p>}
      <div
        ref={holder}
        class="canvas"
        tabIndex={0}
        role="application"
        aria-label={t("map.label", { root: view.space.name })}
        aria-describedby="map-keys"
        onKeyDown={onKey}
      >
        <Picture
          name={`map-${view.space.name.replaceAll(":", "-")}`}
          label={t("map.label", { root: view.space.name })}
          width={columns.width}
          height={height}
          svg={{
            onPointerMove: (event) => {
              const { side, at } = where(event);
              setHover(side === null ? null : { va: side === "va" ? at : null, pa: side === "pa" ? at : null });
            },
            onPointerLeave: () => setHover(null),
            onClick: (event) => {
              const { side, at } = where(event);
              if (side === "va") go({ va: vaOf(at), pa: null });
              if (side === "pa") go({ pa: Math.floor(at), va: null });
            },
            onDblClick: (event) => {
              const { side, at } = where(event);
              if (side === "va") zoomed(aroundPiece(scale, view, at));
              if (side === "pa") go({ zoomPhysical: pieceOf(physical, at) });
            },
            onWheel: (event) => {
              if (!event.ctrlKey && !event.shiftKey) return;
              event.preventDefault();
              const { side, at } = where(event);
              const factor = event.deltaY < 0 ? WHEEL : 1 / WHEEL;
              if (side === "va") go({ zoom: zoomAbout(scale, view, at, factor) }, true);
            },
          }}
        >
          <Headings columns={columns} layers={layers} areas={machine.bandsOf(view) !== machine.bands} />
          <g transform={`translate(0 ${TOP})`}>
            <Bands bands={machine.bandsOf(view)} scale={scale} columns={columns} />
            <Column view={view} drawn={drawn} scale={scale} columns={columns} />
            <Physical layers={layers} scale={physical} columns={columns} />
            <Findings machine={machine} view={view} scale={scale} columns={columns} />
            <EventMark view={view} scale={scale} physical={physical} columns={columns} />
            <Marks view={view} machine={machine} scale={scale} physical={physical} columns={columns} />
            {hover !== null && (
              <Links
                view={view}
                hover={hover}
                scale={scale}
                physical={physical}
                columns={columns}
              />
            )}
          </g>
        </Picture>
        <p class="hover" aria-hidden="true">
          {hover === null ? t("map.hint") : <Under machine={machine} view={view} hover={hover} />}
        </p>
        <p id="map-keys" class="keys">
          {t("map.keys")}
        </p>
      </div>
      {state.zoomPhysical !== null && (
        <button type="button" class="small" onClick={() => go({ zoomPhysical: null })}>
          {t("zoom.physical")}
        </button>
      )}
      <Legend entries={shownFills.map((fill) => legendOf(fill, state.colour === "purpose"))} />
      <Legend entries={physicalLegend(layers)} />
    </div>
  );
}

function rowsOf(view: SpaceView): { start: Float64Array; end: Float64Array } {
  let end = ENDS.get(view);
  if (end === undefined) {
    end = view.page.map((page, row) => page + (view.pages[row] as number));
    ENDS.set(view, end);
  }
  return { start: view.page, end };
}

const ENDS = new WeakMap<SpaceView, Float64Array>();

function oneOfColours(text: string): (typeof COLOURS)[number] {
  return COLOURS.find((each) => each === text) ?? "purpose";
}
