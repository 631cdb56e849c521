/** The address map: a space drawn to a scale with breaks, physical memory beside it. */

import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { hex, pageOf, size, UNIT, vaOf } from "../address";
import { eventsOf, replay } from "../boot";
import { dark, type Fill, Fills, OTHER } from "../colours";
import { useGiven } from "../context";
import { type Box, boxes } from "../draw";
import { added } from "../fresh";
import { named, t } from "../i18n";
import { useDetail } from "../live";
import type { Band, MachineView, Place } from "../model";
import { Legend, Picture } from "../parts";
import { extent, type Layer, layersOf, used } from "../physical";
import { makeScale, type Scale } from "../scale";
import type { SpaceView } from "../space";
import { COLOURS } from "../state";
import { parseWhere } from "../where";
import { useWidth } from "../width";

const HEIGHT = 620;
const TOP = 22;
const LEAST_LABEL = 13;
const WHEEL = 0.8;
const BAND_LETTERS = 16;

/** Where the columns are, for a width. */
function columnsFor(width: number, digits: number, layers: number) {
  const narrow = width < 620;
  const letter = narrow ? 6.4 : 6.7;
  const address = Math.ceil((digits + 2) * letter) + 6;
  const band = narrow ? 0 : 120;
  const va = narrow ? 84 : Math.min(230, Math.max(130, width * 0.2));
  const link = narrow ? 34 : Math.min(140, Math.max(60, width * 0.1));
  const layer = narrow ? 13 : 26;
  const physicalAt = address + band + va + link;
  return {
    narrow,
    address,
    bandAt: address,
    band,
    vaAt: address + band,
    va,
    physicalAt,
    layer,
    labelAt: physicalAt + layers * (layer + 2) + 6,
    width: Math.max(width, physicalAt + layers * (layer + 2) + 4),
  };
}

export function MapView(): JSX.Element {
  const { machine, space } = useGiven();
  if (machine === null) return <p>{t("nothing")}</p>;
  if (space === null) return <p>{t("map.none")}</p>;
  return <Map machine={machine} view={space} />;
}

function Map({ machine, view: told }: { machine: MachineView; view: SpaceView }): JSX.Element {
  const { model, state, go } = useGiven();
  const [holder, width] = useWidth<HTMLDivElement>();
  const [hover, setHover] = useState<{ va: number | null; pa: number | null } | null>(null);

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

type Columns = ReturnType<typeof columnsFor>;

function rowsOf(view: SpaceView): { start: Float64Array; end: Float64Array } {
  let end = ENDS.get(view);
  if (end === undefined) {
    end = view.page.map((page, row) => page + (view.pages[row] as number));
    ENDS.set(view, end);
  }
  return { start: view.page, end };
}
const ENDS = new WeakMap<SpaceView, Float64Array>();

function bounded(zoom: readonly [number, number] | null, view: SpaceView): [number, number] {
  if (zoom === null) return [view.low, view.high];
  const low = Math.max(view.low, Math.min(zoom[0], view.high - 1));
  return [low, Math.max(low + 1, Math.min(zoom[1], view.high))];
}

function lastOf(high: number): bigint {
  return (BigInt(high) << 12n) - 1n;
}

/** The range about an address that is `factor` times as large on the screen. */
function zoomAbout(scale: Scale, view: SpaceView, page: number, factor: number): [number, number] | null {
  const y = scale.y(page);
  let low: number;
  let high: number;
  if (factor < 1) {
    low = Math.floor(scale.at(Math.min(scale.height, y + (scale.height - y) * factor)));
    high = Math.ceil(scale.at(Math.max(0, y - y * factor)));
    if (high - low < 1) high = low + 1;
    if (low === scale.low && high === scale.high) {
      const half = Math.max(1, Math.floor((high - low) / 4));
      low = Math.max(scale.low, Math.floor(page) - half);
      high = Math.min(scale.high, low + 2 * half);
    }
  } else {
    const grown = (scale.high - scale.low) * factor * 2;
    low = Math.max(view.low, Math.floor(page - grown / 2));
    high = Math.min(view.high, Math.ceil(page + grown / 2));
  }
  return low <= view.low && high >= view.high ? null : [low, high];
}

function moved(view: SpaceView, low: number, high: number, share: number): [number, number] {
  const step = Math.max(1, Math.floor((high - low) * Math.abs(share))) * Math.sign(share);
  const shifted = Math.max(view.low - low, Math.min(view.high - high, step));
  return [low + shifted, high + shifted];
}

/** The region with an address, with some room about it. */
function around(view: SpaceView, page: number): [number, number] {
  const row = view.at(page);
  if (row < 0) return [Math.max(view.low, page - 8), Math.min(view.high, page + 8)];
  const low = view.page[row] as number;
  const high = view.end(row);
  const room = Math.max(1, Math.ceil((high - low) / 10));
  return [Math.max(view.low, low - room), Math.min(view.high, high + room)];
}

function pieceOf(scale: Scale, at: number): [number, number] {
  const piece = scale.pieces.find((each) => at >= each.low && at < each.high) ?? scale.pieces[0];
  if (piece === undefined || (piece.low === scale.low && piece.high === scale.high)) {
    const quarter = Math.max(UNIT / 2, (scale.high - scale.low) / 4);
    return [Math.max(scale.low, at - quarter), Math.min(scale.high, at + quarter)];
  }
  return [piece.low, piece.high];
}

function aroundPiece(scale: Scale, view: SpaceView, at: number): [number, number] {
  const row = view.at(at);
  if (row >= 0 && view.end(row) - (view.page[row] as number) < scale.high - scale.low) {
    return around(view, at);
  }
  const [low, high] = pieceOf(scale, at);
  return [Math.floor(low), Math.max(Math.floor(low) + 1, Math.ceil(high))];
}

function oneOfColours(text: string): (typeof COLOURS)[number] {
  return COLOURS.find((each) => each === text) ?? "purpose";
}

function legendOf(fill: Fill, purpose: boolean) {
  return {
    key: fill.key,
    label: purpose ? named("purpose", fill.key) : fill.key,
    colour: fill.colour,
    pattern: fill.pattern,
  };
}

function physicalLegend(layers: readonly Layer[]) {
  const found = new globalThis.Map<string, { key: string; label: string; colour: string }>();
  for (const layer of layers) {
    if (layer.name !== "content") {
      const place = layer.places[0];
      if (place !== undefined) {
        found.set(layer.name, {
          key: layer.name, label: named("layer", layer.name), colour: layer.colour(place),
        });
      }
      continue;
    }
    for (const place of layer.places) {
      const colour = layer.colour(place);
      const what = place.what.split(" ")[0] ?? "";
      const key = `content-${colour}`;
      const label = colour === OTHER ? t("content.taken") : named("content", what);
      if (!found.has(key)) found.set(key, { key, label, colour });
    }
  }
  return [...found.values()];
}

function Headings(props: { columns: Columns; layers: readonly Layer[]; areas: boolean }): JSX.Element {
  const { columns, layers, areas } = props;
  return (
    <g class="headings">
      {columns.band > 0 && (
        <text x={columns.bandAt + 4} y={12}>
          {areas ? t("map.areas") : t("map.layout")}
        </text>
      )}
      <text x={columns.vaAt + 4} y={12}>
        {t("map.virtual")}
      </text>
      {columns.narrow ? (
        <text x={columns.physicalAt} y={12}>
          {t("map.physical")}
        </text>
      ) : (
        layers.map((layer, at) => (
          <text
            key={layer.name}
            x={columns.physicalAt + at * (columns.layer + 2) + columns.layer / 2}
            y={12}
            class="small-label"
            text-anchor="middle"
          >
            {named("short", layer.name)}
          </text>
        ))
      )}
    </g>
  );
}

function Bands(props: { bands: readonly Band[]; scale: Scale; columns: Columns }): JSX.Element | null {
  const { bands, scale, columns } = props;
  if (columns.band === 0) return null;
  return (
    <g>
      {bands.map((band) => {
        if (band.high <= scale.low || band.low >= scale.high || !band.name) return null;
        const top = scale.y(Math.min(band.high, scale.high));
        const bottom = scale.y(Math.max(band.low, scale.low));
        return (
          <g key={band.low} class="band">
            <rect x={columns.bandAt} y={top} width={columns.band - 4} height={Math.max(0.5, bottom - top)} />
            {bottom - top >= LEAST_LABEL && (
              <text x={columns.bandAt + 6} y={(top + bottom) / 2 + 4}>
                {band.name.slice(band.name.length > BAND_LETTERS ? -BAND_LETTERS : 0)}
                <title>{band.name}</title>
              </text>
            )}
          </g>
        );
      })}
    </g>
  );
}

function Column(props: { view: SpaceView; drawn: readonly Box[]; scale: Scale; columns: Columns }): JSX.Element {
  const { view, drawn, scale, columns } = props;
  const x = columns.vaAt;
  return (
    <g>
      <rect class="frame" x={x} y={0} width={columns.va} height={scale.height} />
      {drawn.map((box) => {
        const height = Math.max(0.8, box.bottom - box.top);
        return (
          <g key={`${box.row}/${box.top}`} class={box.faint ? "faint" : box.fresh ? "fresh" : undefined}>
            <rect class="run" x={x + 1} y={box.top} width={columns.va - 2} height={height} fill={box.fill.colour} />
            {box.fill.pattern !== "plain" && (
              <rect x={x + 1} y={box.top} width={columns.va - 2} height={height} fill={`url(#${box.fill.pattern})`} />
            )}
            {height >= LEAST_LABEL && !columns.narrow && (
              <text class={dark(box.fill) ? "on-dark" : "on"} x={x + 6} y={box.top + height / 2 + 4}>
                {box.count > 1
                  ? t("map.ranges", { n: box.count })
                  : `${size((view.pages[box.row] as number) * UNIT)} ${view.meaningOf(box.row)?.permissions.join(" ") ?? ""}`}
              </text>
            )}
            {height >= LEAST_LABEL && columns.narrow && (
              <text class={dark(box.fill) ? "on-dark" : "on"} x={x + 4} y={box.top + height / 2 + 4}>
                {size((view.pages[box.row] as number) * UNIT)}
              </text>
            )}
          </g>
        );
      })}
      {scale.pieces
        .filter((piece) => piece.gap)
        .map((piece) => (
          <g key={piece.low} class="gap">
            <path d={zigzag(x, columns.va, piece.top + 3)} />
            <path d={zigzag(x, columns.va, piece.bottom - 3)} />
            <text x={x + columns.va / 2} y={(piece.top + piece.bottom) / 2 + 3.5} text-anchor="middle">
              {size((piece.high - piece.low) * UNIT)}
            </text>
          </g>
        ))}
      {edgesOf(scale).map((edge) => (
        <text key={edge.at} class="edge" x={columns.address - 4} y={edge.y} text-anchor="end">
          {hex(edge.at >= scale.high ? lastOf(edge.at) : vaOf(edge.at), view.digits)}
        </text>
      ))}
    </g>
  );
}

/** Borders of pieces that have room for a label, from the top down; top and bottom always have. */
function edgesOf(scale: Scale): { at: number; y: number }[] {
  const found = [{ at: scale.high, y: 9 }];
  for (const piece of [...scale.pieces].reverse()) {
    const y = piece.bottom;
    if (y - (found.at(-1)?.y ?? 0) >= LEAST_LABEL && scale.height - y >= LEAST_LABEL) {
      found.push({ at: piece.low, y });
    }
  }
  return [...found, { at: scale.low, y: scale.height }];
}

function zigzag(x: number, width: number, y: number): string {
  const teeth = 12;
  const step = width / teeth;
  let path = `M${x} ${y}`;
  for (let at = 1; at <= teeth; at++) path += `L${x + at * step} ${y + (at % 2 ? -2 : 2)}`;
  return path;
}

function Physical(props: { layers: readonly Layer[]; scale: Scale; columns: Columns }): JSX.Element {
  const { layers, scale, columns } = props;
  let labelled = Infinity;
  const content = layers.find((layer) => layer.name === "content");
  const labels: number[] = [];
  return (
    <g>
      {layers.map((layer, at) => {
        const x = columns.physicalAt + at * (columns.layer + 2);
        let before = Infinity;
        return (
          <g key={layer.name}>
            <rect class="frame" x={x} y={0} width={columns.layer} height={scale.height} />
            {layer.places.map((place, number) => {
              if (place.end <= scale.low || place.start >= scale.high) return null;
              const top = scale.y(Math.min(place.end, scale.high));
              const bottom = scale.y(Math.max(place.start, scale.low));
              // Ranges ascend: what falls into a line of pixels that is drawn already is not seen
              if (bottom - top < 0.5 && before - top < 0.5 && before > top) return null;
              before = top;
              return (
                <rect
                  key={number}
                  class={`run ${place.layer}`}
                  x={x + 0.5}
                  y={top}
                  width={columns.layer - 1}
                  height={Math.max(0.8, bottom - top)}
                  fill={layer.colour(place)}
                >
                  <title>{`${place.what} ${hex(place.start)}–${hex(place.end - 1)}`}</title>
                </rect>
              );
            })}
          </g>
        );
      })}
      {!columns.narrow &&
        [...(content?.places ?? [])].reverse().map((place) => {
          if (place.end <= scale.low || place.start >= scale.high) return null;
          const y = (scale.y(Math.min(place.end, scale.high)) + scale.y(Math.max(place.start, scale.low))) / 2 + 4;
          if (labelled !== Infinity && y - labelled < 11) return null;
          labelled = y;
          labels.push(y);
          return (
            <text key={`${place.start}/${place.what}`} class="edge" x={columns.labelAt} y={y}>
              {place.what}
            </text>
          );
        })}
      {scale.pieces
        .filter((piece) => piece.gap)
        .map((piece) => (
          <g key={piece.low} class="gap">
            <path d={zigzag(columns.physicalAt, layers.length * (columns.layer + 2), (piece.top + piece.bottom) / 2)} />
            {!columns.narrow && !labels.some((y) => Math.abs(y - (piece.top + piece.bottom) / 2 - 4) < 11) && (
              <text x={columns.labelAt} y={(piece.top + piece.bottom) / 2 + 4}>
                {size(piece.high - piece.low)}
              </text>
            )}
          </g>
        ))}
    </g>
  );
}

function Findings(props: { machine: MachineView; view: SpaceView; scale: Scale; columns: Columns }): JSX.Element {
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
function EventMark(props: {
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
function Marks(props: {
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

interface Hover {
  readonly va: number | null;
  readonly pa: number | null;
}

/** Lines from what is under the pointer to where it lies on the other side. */
function Links(props: {
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
function Under({ machine, view, hover }: { machine: MachineView; view: SpaceView; hover: Hover }): JSX.Element {
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
