/** The virtual side of the map: headings, the layout or areas, what is mapped. */

import type { JSX } from "preact";
import { hex, size, UNIT, vaOf } from "../address";
import { dark } from "../colours";
import type { Box } from "../draw";
import { named, t } from "../i18n";
import type { Band } from "../model";
import type { Layer } from "../physical";
import type { Scale } from "../scale";
import type { SpaceView } from "../space";
import { type Columns, edgesOf, LEAST_LABEL, zigzag } from "./columns";
import { lastOf } from "./zoom";

const BAND_LETTERS = 16;

export function Headings(props: { columns: Columns; layers: readonly Layer[]; areas: boolean }): JSX.Element {
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

export function Bands(props: { bands: readonly Band[]; scale: Scale; columns: Columns }): JSX.Element | null {
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

export function Column(props: { view: SpaceView; drawn: readonly Box[]; scale: Scale; columns: Columns }): JSX.Element {
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
