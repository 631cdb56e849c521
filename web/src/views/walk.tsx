/** A walk: the address's bits, each table as it is, each descriptor's fields, and where it ends. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { hex, parse, size } from "../address";
import { useGiven } from "../context";
import type { Meaning } from "../document";
import { named, t } from "../i18n";
import { learnWay } from "../live";
import { served } from "../load";
import type { LinuxEntry, MachineView } from "../model";
import { Pa, Picture, Va } from "../parts";
import type { SpaceView } from "../space";
import { canonical, type Step, type Walk, formOf } from "../walk";
import { useWidth } from "../width";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
const LINUX_HALF = 0x800;

export function WalkView(): JSX.Element {
  const { machine, state, go } = useGiven();
  const [text, setText] = useState("");
  const [bad, setBad] = useState(false);
  const [, setTold] = useState(0);
  useEffect(() => {
    if (state.va !== null) setText(hex(state.va));
  }, [state.va]);
  if (machine === null || machine.spaces.length === 0) return <p>{t("map.none")}</p>;
  const space = state.va === null ? machine.space(state.root) : machine.spaceOf(state.va, state.root);
  const walked = state.va === null || space === null ? null : machine.translate(space, state.va);
  return (
    <div class="walk">
      <form
        class="bar"
        onSubmit={(event) => {
          event.preventDefault();
          const va = parse(text);
          const found = va ?? machine.symbols.named(text, 1)[0]?.address ?? null;
          setBad(found === null);
          if (found !== null) go({ va: found, pa: null });
        }}
      >
        <label>
          {t("walk.address")}{" "}
          <input
            id="walk-address"
            value={text}
            spellcheck={false}
            autocomplete="off"
            size={22}
            onInput={(event) => setText(event.currentTarget.value)}
            aria-invalid={bad}
          />
        </label>
        <button type="submit">{t("walk.go")}</button>
        {bad && <span role="alert">{t("walk.bad")}</span>}
      </form>
      {walked === null || space === null ? (
        <p>{t("walk.hint")}</p>
      ) : (
        <Walked machine={machine} view={space} walked={walked} told={() => setTold((times) => times + 1)} />
      )}
    </div>
  );
}

interface WalkedProps {
  readonly machine: MachineView;
  readonly view: SpaceView;
  readonly walked: Walk;
  /** Called when the server has told more of the way. */
  readonly told: () => void;
}

function Walked({ machine, view, walked, told }: WalkedProps): JSX.Element {
  return (
    <>
      <p>
        {t("walk.through", { root: view.space.name, register: view.regime.root_register })}{" "}
        <Pa pa={BigInt(view.space.root)} />
      </p>
      <Bits view={view} walked={walked} />
      <ol class="steps">
        {walked.steps.map((step, at) => (
          <li
            key={step.level}
            class="step"
            data-level={step.level}
            data-table={hex(step.table)}
            data-index={step.index}
            data-address={hex(step.address)}
            data-descriptor={hex(step.descriptor)}
            data-kind={step.kind}
          >
            <StepView machine={machine} view={view} step={step} va={walked.va} colour={COLOURS[at] ?? "#999"} />
          </li>
        ))}
      </ol>
      {walked.missing === null ? (
        <Result walked={walked} />
      ) : (
        <Missing machine={machine} view={view} walked={walked} told={told} />
      )}
      <Linux entry={machine.linuxEntry(view, walked.va)} faulted={walked.fault !== null} />
    </>
  );
}

/** The bits of the address, each index in the colour of its level. */
function Bits({ view, walked }: { view: SpaceView; walked: Walk }): JSX.Element {
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

function StepView(props: {
  machine: MachineView; view: SpaceView; step: Step; va: bigint; colour: string;
}): JSX.Element {
  const { machine, view, step, va, colour } = props;
  const digits = view.regime.entry_size * 2;
  return (
    <article aria-label={t("walk.level", { n: step.level })}>
      <h3 style={{ borderColor: colour }}>
        {t("walk.level", { n: step.level })}: {t("walk.table")} <Pa pa={step.table} /> [{step.index}]{" "}
        <code class="descriptor">{hex(step.descriptor, digits)}</code>{" "}
        <span class={`kind ${step.kind}`}>{named("kind", step.kind)}</span>
      </h3>
      <p class="source">
        {t("walk.at")} <Pa pa={step.address} />. {step.layout.name}. {step.layout.source}
      </p>
      <div class="columns">
        <div class="scroll" tabIndex={0} role="group" aria-label={t("walk.fields")}>
          <table class="fields">
            <thead>
              <tr>
                <th scope="col">{t("field.bits")}</th>
                <th scope="col">{t("field.name")}</th>
                <th scope="col">{t("field.value")}</th>
                <th scope="col">{t("field.meaning")}</th>
              </tr>
            </thead>
            <tbody>
              {step.fields.map((field) => (
                <tr key={field.name} class={field.value === 0n ? "zero" : undefined}>
                  <td class="bits">
                    {field.high === field.low ? `[${field.high}]` : `[${field.high}:${field.low}]`}
                  </td>
                  <td class="name">{field.name}</td>
                  <td class="value">{hex(field.value)}</td>
                  <td class="meaning">{field.text}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        {machine.pool.table(step.table) !== null && (
          <Around machine={machine} view={view} step={step} va={va} />
        )}
      </div>
      {step.kind === "table" && (
        <p class="limits">
          {step.limits === 0 ? t("walk.no_limits") : t("walk.limits")}{" "}
          {limitNames(view, step).map((name) => (
            <code key={name}>{name} </code>
          ))}
          {view.regime.hpd && t("walk.hpd")}
        </p>
      )}
    </article>
  );
}

/** The fields of table descriptors that the limits down to a step come from. */
function limitNames(view: SpaceView, step: Step): string[] {
  const level = view.regime.levels.find((each) => each.number === step.level);
  const bits = (level?.limits ?? []).filter(([, limit]) => (step.limits & Number(limit)) !== 0);
  const names = bits.map(([bit]) => step.layout.fields.find((field) => bit >= field.low && bit <= field.high));
  return [...new Set(names.map((field) => field?.name ?? ""))].map((name) => {
    const field = step.layout.fields.find((each) => each.name === name);
    if (field === undefined || field.high === field.low) return name;
    let value = 0;
    for (const [bit, limit] of bits) {
      if (bit >= field.low && bit <= field.high && step.limits & Number(limit)) value |= 1 << (bit - field.low);
    }
    return `${name}=${value}`;
  });
}

const NEAR = 4;

/** The table about the entry that the walk read; of ARM's short descriptors Linux's half, too. */
function Around(props: { machine: MachineView; view: SpaceView; step: Step; va: bigint }): JSX.Element {
  const { machine, view, step, va } = props;
  const { pool } = machine;
  const level = view.regime.levels.find((each) => each.number === step.level);
  const last = view.regime.levels.at(-1)?.number === step.level;
  const linux = view.regime.format === "short" && last && pool.table(step.table - LINUX_HALF) !== null;
  const entries = pool.table(step.table)?.entries ?? 0;
  const first = Math.max(0, Math.min(step.index - NEAR, entries - 2 * NEAR - 1));
  const digits = view.regime.entry_size * 2;
  const rows = [];
  for (let index = first; index < Math.min(entries, first + 2 * NEAR + 1); index++) {
    const word = pool.read(step.table, index) ?? 0n;
    const own = linux ? (pool.read(step.table - LINUX_HALF, index) ?? 0n) : 0n;
    const shift = BigInt(level?.shift ?? 12);
    const base = (canonical(view.regime, va) >> shift) + BigInt(index - step.index);
    rows.push(
      <tr key={index} class={index === step.index ? "marked" : undefined}>
        <td class="number">
          <Va va={BigInt.asUintN(64, base << shift)} text={String(index)} />
        </td>
        <td>
          <code>{hex(word, digits)}</code>
        </td>
        <td>{level === undefined ? "" : named("kind", formOf(level, word).kind)}</td>
        {linux && (
          <td>
            <code>{hex(own, digits)}</code>
          </td>
        )}
      </tr>,
    );
  }
  return (
    <div class="scroll around" tabIndex={0} role="group" aria-label={t("walk.around", { n: entries })}>
      <table>
        <caption>{t("walk.around", { n: entries })}</caption>
        <thead>
          <tr>
            <th scope="col">{t("walk.index")}</th>
            <th scope="col">{linux ? t("walk.hardware") : t("walk.descriptor")}</th>
            <th scope="col">{t("walk.kind")}</th>
            {linux && <th scope="col">{t("walk.linux")}</th>}
          </tr>
        </thead>
        <tbody>{rows}</tbody>
      </table>
      {linux && (
        <p class="source">{t("walk.halves", { pa: hex(step.table - LINUX_HALF) })}</p>
      )}
    </div>
  );
}

/** A table that the page does not have: a server is asked for the rest of the way. */
function Missing({ machine, view, walked, told }: WalkedProps): JSX.Element {
  const [why, setWhy] = useState<string | null>(null);
  useEffect(() => {
    setWhy(null);
    if (!served()) return;
    learnWay(machine, view.space.name, walked.va).then(told, (error: Error) => setWhy(error.message));
  }, [machine, view, walked.va]);
  const text = t(served() ? "walk.asked" : "walk.missing", { pa: hex(walked.missing ?? 0) });
  return (
    <p class="result" role="status">
      {text} {why}
    </p>
  );
}

function Result({ walked }: { walked: Walk }): JSX.Element {
  if (walked.fault !== null) {
    return (
      <p
        class="result fault"
        role="status"
        data-va={hex(walked.va)}
        data-fault={walked.fault.kind}
        data-level={walked.fault.level}
      >
        <strong>{t("walk.fault", { kind: named("fault", walked.fault.kind), n: walked.fault.level })}</strong>{" "}
        <span class="why">{walked.fault.text}</span>
      </p>
    );
  }
  return (
    <section
      class="result"
      role="status"
      data-va={hex(walked.va)}
      data-pa={hex(walked.pa ?? 0n)}
      data-level={walked.level}
      data-size={walked.size}
    >
      <p>
        <strong>
          <Va va={walked.va} /> → <Pa pa={walked.pa ?? 0n} />
        </strong>{" "}
        {t("walk.mapping", { n: walked.level, size: size(walked.size) })}
      </p>
      {walked.meaning === null ? <p>{t("unknown")}</p> : <Attributes meaning={walked.meaning} />}
    </section>
  );
}

/** What Linux has where the hardware finds nothing. */
function Linux({ entry, faulted }: { entry: LinuxEntry | null; faulted: boolean }): JSX.Element | null {
  if (entry === null || !faulted) return null;
  return (
    <p class="linux" role="status">
      {t("walk.for_linux", { kind: entry.kind })} {entry.pa !== null && <Pa pa={entry.pa} />}{" "}
      <code>{entry.flags.join(" ")}</code>
    </p>
  );
}

/** Attributes by name, with all limits applied. */
export function Attributes({ meaning }: { meaning: Meaning }): JSX.Element {
  const shown = Object.entries(meaning).filter(
    ([name]) => !["summary", "permissions", "exception_levels"].includes(name),
  );
  return (
    <>
      <p>
        <code class="summary">{meaning.summary}</code>
      </p>
      <dl class="attributes">
        {shown.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd data-attribute={name}>{String(value)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}
