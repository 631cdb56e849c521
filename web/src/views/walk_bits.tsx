/** The bits of an address that is walked, each index in the colour of its level. */

import type { JSX } from "preact";
import { hex } from "../address";
import { t } from "../i18n";
import { Picture } from "../parts";
import type { SpaceView } from "../space";
import { canonical, type Walk } from "../walk";
import { useWidth } from "../width";

export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];

/** The bits of the address, each index in the colour of its level. */
export function Bits({ view, walked }: { view: SpaceView; walked: Walk }): JSX.Element {
  const [holder, width] = useWidth<HTMLDivElement>();
  const total = view.machine.arch === "arm64" ? 64 : 32;
  const perRow = width < 620 ? 32 : total;
  const rows = total / perRow;
  const cell = Math.max(8, (width - 4) / perRow);
  const address = canonical(view.regime, walked.va);
  const { levels } = view.regime;
  const groups = levels.map((level, at) => ({
    low: level.shift,
    high: level.shift + level.bits - 1,
    label: t("walk.level", { n: level.number }),
    colour: COLOURS[at] ?? "#999",
  }));
  const last = walked.steps.at(-1);
  const leaf = levels.find((level) => level.number === last?.level);
  const offset = leaf !== undefined && walked.pa !== null ? leaf.shift : (levels.at(-1)?.shift ?? 12);
  const height = 58;
  const x = (bit: number): number => (perRow - 1 - (bit % perRow)) * cell + 2;
  const bits = [];
  for (let bit = total - 1; bit >= 0; bit--) {
    const y = (rows - 1 - Math.floor(bit / perRow)) * height;
    const group = bit < offset ? undefined : groups.find((each) => bit >= each.low && bit <= each.high);
    const kind = group !== undefined ? "index" : bit < offset ? "offset" : "rest";
    bits.push(
      <g key={bit}>
        <rect
          class={`bit ${kind}`}
          x={x(bit)}
          y={y + 14}
          width={cell - 1}
          height={20}
          {...(group === undefined ? {} : { fill: group.colour })}
        />
        <text class={group ? "on-dark" : "on"} x={x(bit) + (cell - 1) / 2} y={y + 28} text-anchor="middle">
          {String((address >> BigInt(bit)) & 1n)}
        </text>
        {(bit % 8 === 7 || bit % 8 === 0) && (
          <text class="small-label" x={x(bit) + (cell - 1) / 2} y={y + 10} text-anchor="middle">
            {bit}
          </text>
        )}
      </g>,
    );
  }
  return (
    <div ref={holder}>
      <Picture
        name={`walk-${hex(walked.va)}`}
        label={t("walk.bits", { va: hex(walked.va) })}
        width={perRow * cell + 4}
        height={rows * height}
      >
        {bits}
        {[...groups.filter((g) => g.low >= offset), { low: 0, high: offset - 1, label: t("walk.offset"), colour: "" }].map((group) => {
          const y = (rows - 1 - Math.floor(group.high / perRow)) * height;
          const left = x(group.high);
          const value = (address >> BigInt(group.low)) & ((1n << BigInt(group.high - group.low + 1)) - 1n);
          return (
            <text key={group.low} class="edge" x={left} y={y + 48}>
              {group.label} {group.colour === "" ? hex(value) : String(value)}
            </text>
          );
        })}
      </Picture>
    </div>
  );
}
