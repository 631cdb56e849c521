/** A boot: a timeline of stages and events, to step through or to play. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { size, UNIT, vaOf } from "../address";
import { eventsOf, eventsUntil, machineAfter } from "../boot";
import { useGiven } from "../context";
import type { Boot, Subject } from "../document";
import { added } from "../fresh";
import { t } from "../i18n";
import { Va } from "../parts";
import { EventLine, Steps } from "./boot_events";
import { Timeline } from "./boot_timeline";
import { ComparisonOf } from "./compare";

const STEP_MS = 120;

export function BootView(): JSX.Element {
  const { model, machine } = useGiven();
  const own = machine?.subject;
  const subject = own?.boot ? own : model.doc.head.subjects.find((each) => each.boot);
  if (subject?.boot === undefined || subject.boot === null) return <p>{t("boot.none")}</p>;
  return <BootOf subject={subject} boot={subject.boot} />;
}

function BootOf({ subject, boot }: { subject: Subject; boot: Boot }): JSX.Element {
  const { model, state, go, machine } = useGiven();
  const [playing, setPlaying] = useState(false);
  const events = eventsOf(model, boot);
  const { machines } = subject;
  const current = machine !== null && machines.includes(machine.number) ? machine.number : (machines.at(-1) ?? 0);
  const count = state.event ?? eventsUntil(model, boot, machines, current);
  const countNow = useRef(count);
  countNow.current = count;

  const moment = (to: number): void => {
    const event = Math.max(0, Math.min(events.length, to));
    go({ event, machine: machineAfter(model, boot, machines, event) }, true);
  };
  const stage = (number: number): void => {
    go({ machine: number, event: eventsUntil(model, boot, machines, number) });
  };
  useEffect(() => {
    if (!playing) return undefined;
    const timer = setInterval(() => {
      if (countNow.current >= events.length) setPlaying(false);
      else moment(countNow.current + 1);
    }, STEP_MS);
    return () => clearInterval(timer);
  }, [playing]);

  const last = events[count - 1];
  const at = machines.indexOf(current);
  return (
    <div class="boot">
      <p>
        {boot.board ?? subject.name}: Linux {boot.release} ({boot.kernel}), {t("boot.loader")} {boot.loader}
        {boot.command_line && (
          <>
            {" "}
            <code>{boot.command_line}</code>
          </>
        )}
      </p>
      {boot.failure !== null && <p class="note">{t("boot.failure", { why: boot.failure })}</p>}
      <div class="bar tools" role="toolbar" aria-label={t("boot.tools")}>
        <button type="button" disabled={at <= 0} onClick={() => stage(machines[at - 1] ?? 0)}>
          {t("boot.stage_back")}
        </button>
        <button type="button" disabled={count === 0} onClick={() => moment(count - 1)}>
          {t("boot.back")}
        </button>
        <button type="button" onClick={() => setPlaying(!playing)} aria-pressed={playing}>
          {playing ? t("boot.pause") : t("boot.play")}
        </button>
        <button type="button" disabled={count >= events.length} onClick={() => moment(count + 1)}>
          {t("boot.forward")}
        </button>
        <button
          type="button"
          disabled={at >= machines.length - 1}
          onClick={() => stage(machines[at + 1] ?? 0)}
        >
          {t("boot.stage_forward")}
        </button>
      </div>
      <label class="slider">
        {t("boot.events", { n: count, all: events.length })}
        <input
          type="range"
          min={0}
          max={events.length}
          value={count}
          onInput={(event) => moment(Number(event.currentTarget.value))}
        />
      </label>
      <Timeline subject={subject} events={events} count={count} current={current} onStage={stage} onEvent={moment} />
      <p class="now" role="status">
        {last === undefined ? t("boot.begin") : <EventLine event={last} />}
      </p>
      <StageFacts />
      <Compared machine={current} />
      <Steps events={events} count={count} onEvent={moment} />
      <Messages boot={boot} count={count} />
      {boot.unknown.length > 0 && (
        <section>
          <h3>{t("boot.unknown")}</h3>
          <ul>
            {boot.unknown.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

/** What the stage that is shown has: tables, what is mapped, what it has added. */
function StageFacts(): JSX.Element | null {
  const { model, machine, state } = useGiven();
  if (machine === null) return null;
  const rows = machine.spaces.flatMap((view) => {
    const fresh = added(model, machine, view, { ...state, event: state.event ?? 0 });
    const found = [];
    for (let row = 0; row < view.length; row++) if (fresh(row)) found.push(row);
    return [{ view, found }];
  });
  if (rows.length === 0) return <p>{t("boot.no_tables")}</p>;
  return (
    <section>
      <h3>{t("boot.stage", { stage: machine.machine.stage ?? "" })}</h3>
      <ul class="facts">
        {rows.map(({ view, found }) => (
          <li key={view.space.name}>
            <strong>{view.space.name}</strong>{" "}
            <span class="tables-count" data-root={view.space.name}>
              {t("boot.tables", { n: view.space.tables.rows + view.space.tables.left_out })}
            </span>
            , {t("boot.mapped", { size: size(Number(view.space.mapped_bytes)) })}
            {found.length > 0 && (
              <>
                . {t("boot.added", { n: found.length })}{" "}
                {found.slice(0, 12).map((row) => (
                  <span key={row} class="fresh">
                    <Va va={vaOf(view.page[row] as number)} root={view.space.name} />{" "}
                    {size((view.pages[row] as number) * UNIT)}{" "}
                  </span>
                ))}
              </>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The stage against the recording or the other boot that the document has beside it. */
function Compared({ machine }: { machine: number }): JSX.Element | null {
  const { model } = useGiven();
  const found = model.comparisons().find((each) => each.a === machine || each.b === machine);
  if (found === undefined) return null;
  return (
    <section>
      <h3>{t("boot.compared")}</h3>
      <ComparisonOf comparison={found} />
    </section>
  );
}

function Messages({ boot, count }: { boot: Boot; count: number }): JSX.Element | null {
  const { model } = useGiven();
  const { doc } = model;
  const after = doc.numbers(boot.messages, "after");
  const lines = Array.from(after, (number, row) => ({ number, text: doc.text(boot.messages, "text", row) ?? "" }));
  const said = lines.filter((line) => line.number <= count);
  if (said.length === 0) return null;
  return (
    <section>
      <h3>{t("boot.messages")}</h3>
      <pre class="log" tabIndex={0}>{said.map((line) => line.text).join("\n")}</pre>
    </section>
  );
}
