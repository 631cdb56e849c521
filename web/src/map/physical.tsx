/** The physical side of the map: layers of ranges. */

import type { JSX } from "preact";
import { hex, size } from "../address";
import type { Layer } from "../physical";
import type { Scale } from "../scale";
import { type Columns, zigzag } from "./columns";

export function Physical(props: { layers: readonly Layer[]; scale: Scale; columns: Columns }): JSX.Element {
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
