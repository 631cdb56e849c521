/** One step of a walk: the descriptor, its fields, the table about it. */

import type { JSX } from "preact";
import { hex } from "../address";
import { named, t } from "../i18n";
import type { MachineView } from "../model";
import { Pa, Va } from "../parts";
import { saveCsv } from "../save";
import type { SpaceView } from "../space";
import { canonical, formOf, type Step } from "../walk";

const LINUX_HALF = 0x800;

const NEAR = 4;

export function StepView(props: {
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
  function* all(): Generator<string[]> {
    yield linux ? ["index", "hardware", "linux"] : ["index", "descriptor"];
    for (let index = 0; index < entries; index++) {
      const words = linux ? [step.table, step.table - LINUX_HALF] : [step.table];
      yield [String(index), ...words.map((at) => hex(pool.read(at, index) ?? 0n, digits))];
    }
  }
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
        <caption>
          {t("walk.around", { n: entries })}{" "}
          <button type="button" class="small" onClick={() => saveCsv(all(), `table-${hex(step.table)}`)}>
            CSV
          </button>
        </caption>
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
