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
import { Pa, Va } from "../parts";
import { saveCsv } from "../save";
import type { SpaceView } from "../space";
import type { Walk } from "../walk";
import { Bits, COLOURS } from "./walk_bits";
import { StepView } from "./walk_step";

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
      <p class="bar save">
        <button type="button" class="small" onClick={() => saveCsv(rows(walked), `walk-${hex(walked.va)}`)}>
          CSV
        </button>
      </p>
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

/** Every field of every step. */
function* rows(walked: Walk): Generator<string[]> {
  yield ["level", "table", "index", "address", "descriptor", "kind", "high", "low", "field", "value", "meaning"];
  for (const step of walked.steps) {
    const own = [step.level, hex(step.table), step.index, hex(step.address), hex(step.descriptor), step.kind];
    for (const field of step.fields) {
      yield [...own, field.high, field.low, field.name, hex(field.value), field.text].map(String);
    }
  }
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
function Attributes({ meaning }: { meaning: Meaning }): JSX.Element {
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
