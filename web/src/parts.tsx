/** What views are made of: addresses that lead everywhere, tables and pictures that can be saved. */

import type { ComponentChildren, JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { hex } from "./address";
import { useGiven } from "./context";
import { t } from "./i18n";
import { saveCsv, savePng, saveSvg } from "./save";
import type { View } from "./state";

/** A virtual address: a click makes it the address that all views show. */
export function Va(props: { va: bigint; root?: string; to?: View; text?: string }): JSX.Element {
  const { go, machine, state } = useGiven();
  const digits = machine?.machine.arch === "arm" ? 8 : 16;
  const here = state.va === props.va && (props.root ?? state.root) === state.root;
  return (
    <button
      type="button"
      class={here ? "address here" : "address"}
      onClick={() =>
        go({
          va: props.va,
          pa: null,
          ...(props.root === undefined ? {} : { root: props.root }),
          ...(props.to === undefined ? {} : { view: props.to }),
        })
      }
    >
      {props.text ?? hex(props.va, digits)}
    </button>
  );
}

/** A physical address. */
export function Pa(props: { pa: number | bigint; text?: string }): JSX.Element {
  const { go, state } = useGiven();
  const pa = Number(props.pa);
  return (
    <button
      type="button"
      class={state.pa === pa ? "address physical here" : "address physical"}
      onClick={() => go({ pa, va: null })}
    >
      {props.text ?? hex(props.pa, 10)}
    </button>
  );
}

export interface Cell {
  /** As CSV has it; null is not known. */
  readonly text: string | null;
  readonly shown?: ComponentChildren;
}

export interface ColumnHead {
  readonly key: string;
  readonly label: string;
  readonly number?: boolean;
}

const AT_FIRST = 100;

/** Rows of a table; the first of many, and all of them as CSV. */
export function DataTable(props: {
  name: string;
  caption: string;
  columns: readonly ColumnHead[];
  rows: number;
  cell: (row: number, column: string) => Cell;
  /** The row that is marked. */
  marked?: (row: number) => boolean;
  from?: number;
}): JSX.Element {
  const [most, setMost] = useState(AT_FIRST);
  const first = props.from ?? 0;
  const last = Math.min(props.rows, first + most);
  const shown = [];
  for (let row = first; row < last; row++) {
    shown.push(
      <tr key={row} class={props.marked?.(row) ? "marked" : undefined}>
        {props.columns.map((column) => {
          const { text, shown: node } = props.cell(row, column.key);
          return (
            <td key={column.key} class={column.number ? "number" : undefined}>
              {node ?? text ?? <span class="unknown">?</span>}
            </td>
          );
        })}
      </tr>,
    );
  }
  function* all(): Generator<(string | null)[]> {
    yield props.columns.map((column) => column.key);
    for (let row = 0; row < props.rows; row++) {
      yield props.columns.map((column) => props.cell(row, column.key).text);
    }
  }
  return (
    <div class="data">
      <div class="bar">
        <h3>
          {props.caption} <span class="count">{props.rows}</span>
        </h3>
        <button type="button" class="small" onClick={() => saveCsv(all(), props.name)}>
          CSV
        </button>
      </div>
      <div class="scroll" tabIndex={0} role="group" aria-label={props.caption}>
        <table>
          <thead>
            <tr>
              {props.columns.map((column) => (
                <th key={column.key} scope="col" class={column.number ? "number" : undefined}>
                  {column.label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>{shown}</tbody>
        </table>
      </div>
      {last < props.rows && (
        <button type="button" class="small" onClick={() => setMost(most * 5)}>
          {t("more", { n: props.rows - last })}
        </button>
      )}
    </div>
  );
}

/** A picture with the buttons that save it. */
export function Picture(props: {
  name: string;
  label: string;
  width: number;
  height: number;
  class?: string;
  children: ComponentChildren;
  svg?: JSX.SVGAttributes<SVGSVGElement>;
}): JSX.Element {
  const svg = useRef<SVGSVGElement>(null);
  const save = (how: (svg: SVGSVGElement, name: string) => unknown) => () => {
    if (svg.current !== null) void how(svg.current, props.name);
  };
  return (
    <figure class={`picture ${props.class ?? ""}`}>
      <svg
        {...props.svg}
        ref={svg}
        role="img"
        aria-label={props.label}
        viewBox={`0 0 ${props.width} ${props.height}`}
        width={props.width}
        height={props.height}
      >
        <defs>
          <pattern id="lines" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect width="2" height="6" fill="#000" fill-opacity="0.45" />
          </pattern>
          <pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse">
            <circle cx="2" cy="2" r="1.2" fill="#000" fill-opacity="0.5" />
          </pattern>
        </defs>
        {props.children}
      </svg>
      <figcaption class="bar save">
        <button type="button" class="small" onClick={save(saveSvg)}>
          SVG
        </button>
        <button type="button" class="small" onClick={save(savePng)}>
          PNG
        </button>
      </figcaption>
    </figure>
  );
}

/** A key to the colours of a picture. */
export function Legend(props: {
  entries: readonly { key: string; label: string; colour: string; pattern?: string }[];
}): JSX.Element {
  return (
    <ul class="legend">
      {props.entries.map((entry) => (
        <li key={entry.key}>
          <svg width="14" height="14" aria-hidden="true">
            <rect width="14" height="14" rx="2" fill={entry.colour} />
            {entry.pattern && entry.pattern !== "plain" && (
              <rect width="14" height="14" fill={`url(#${entry.pattern})`} />
            )}
          </svg>
          {entry.label}
        </li>
      ))}
    </ul>
  );
}

