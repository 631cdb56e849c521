/** A boot: a timeline of stages and events, to step through or to play. */

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { hex, size, UNIT, vaOf } from "../address";
import { caller, type Event, eventsOf, eventsUntil, machineAfter } from "../boot";
import { useGiven } from "../context";
import type { Boot, Subject } from "../document";
import { added } from "../fresh";
import { t } from "../i18n";
import { DataTable, Pa, Picture, Va } from "../parts";
import { useWidth } from "../width";
import { ComparisonOf } from "./compare";

const STEP_MS = 120;
const STAGE_HEIGHT = 30;

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

function Timeline(props: {
  subject: Subject;
  events: readonly Event[];
  count: number;
  current: number;
  onStage: (machine: number) => void;
  onEvent: (count: number) => void;
}): JSX.Element {
  const { model } = useGiven();
  const { subject, events, count, current } = props;
  const [holder, width] = useWidth<HTMLDivElement>();
  const { machines } = subject;
  const stages = machines.map((number) => model.doc.head.machines[number]?.stage ?? "");
  const of = stages.map((name) => events.filter((event) => event.stage === name).length);
  // Every stage has room for its name; the rest goes by the number of events
  const least = Math.max(36, Math.min(90, width / machines.length / 1.3));
  const spare = Math.max(0, width - least * machines.length);
  const sum = of.reduce((a, b) => a + Math.log2(1 + b), 0) || 1;
  let x = 0;
  const boxes = stages.map((name, at) => {
    const box = { name, x, width: least + (spare * Math.log2(1 + (of[at] ?? 0))) / sum };
    x += box.width;
    return box;
  });
  let before = 0;
  const starts = of.map((number) => {
    const start = before;
    before += number;
    return start;
  });
  const narrow = width < 620;
  return (
    <div ref={holder}>
      <Picture name="boot" label={t("boot.timeline")} width={x} height={STAGE_HEIGHT + (narrow ? 84 : 30)}>
        {boxes.map((box, at) => {
          const n = of[at] ?? 0;
          const start = starts[at] ?? 0;
          const state = machines[at] === current ? "stage current" : start + n <= count ? "stage done" : "stage";
          const ticks = [];
          const stride = Math.max(1, Math.ceil(n / Math.max(1, box.width - 4)));
          for (let event = 0; event < n; event += stride) {
            const done = start + event < count;
            const at_ = box.x + 2 + ((box.width - 5) * event) / Math.max(1, n);
            ticks.push(<rect key={event} class={done ? "tick done" : "tick"} x={at_} y={STAGE_HEIGHT + 2} width={1} height={8} />);
          }
          return (
            <g key={box.name} class={state}>
              <rect
                x={box.x + 1}
                y={2}
                width={box.width - 2}
                height={STAGE_HEIGHT - 4}
                rx={3}
                onClick={() => props.onStage(machines[at] ?? 0)}
              />
              {narrow ? (
                <text class="below" transform={`translate(${box.x + box.width / 2 - 3} ${STAGE_HEIGHT + 16}) rotate(60)`}>{box.name}</text>
              ) : (
                <text x={box.x + box.width / 2} y={STAGE_HEIGHT / 2 + 4} text-anchor="middle" pointer-events="none">
                  {box.name}
                </text>
              )}
              {ticks}
              {!narrow && (
                <text class="small-label" x={box.x + box.width / 2} y={STAGE_HEIGHT + 22} text-anchor="middle">
                  {n}
                </text>
              )}
            </g>
          );
        })}
      </Picture>
      <p class="stages">
        {stages.map((name, at) => (
          <button
            key={name}
            type="button"
            class="small"
            aria-pressed={machines[at] === current}
            onClick={() => props.onStage(machines[at] ?? 0)}
          >
            {name}
          </button>
        ))}
      </p>
    </div>
  );
}

function isVirtual(event: Event): boolean {
  return event.kind === "map";
}

/** A range of an event; of a mapping it is virtual. */
function Where({ event }: { event: Event }): JSX.Element {
  if (isVirtual(event)) return <Va va={event.start} />;
  return event.start < 1n << 52n ? <Pa pa={event.start} /> : <code>{hex(event.start)}</code>;
}

function EventLine({ event }: { event: Event }): JSX.Element {
  const bytes = event.end >= event.start ? Number(event.end - event.start) + 1 : 0;
  return (
    <>
      <strong>{event.kind}</strong> <Where event={event} /> {size(bytes)} {t("boot.by")}{" "}
      <code class="function">{caller(event)}</code> ({event.stage}) <span class="detail">{event.detail}</span>
    </>
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

const NEARBY = 6;

function Steps(props: { events: readonly Event[]; count: number; onEvent: (count: number) => void }): JSX.Element {
  const { events, count, onEvent } = props;
  return (
    <DataTable
      name="events"
      caption={t("boot.list")}
      from={Math.max(0, count - NEARBY)}
      columns={[
        { key: "n", label: "#", number: true },
        { key: "stage", label: t("boot.column.stage") },
        { key: "kind", label: t("boot.column.kind") },
        { key: "start", label: t("boot.column.start") },
        { key: "end", label: t("boot.column.end") },
        { key: "function", label: t("boot.column.function") },
        { key: "detail", label: t("boot.column.detail") },
      ]}
      rows={events.length}
      marked={(row) => row === count - 1}
      cell={(row, column) => {
        const event = events[row] as Event;
        switch (column) {
          case "n":
            return {
              text: String(row + 1),
              shown: (
                <button type="button" class="address" onClick={() => onEvent(row + 1)}>
                  {row + 1}
                </button>
              ),
            };
          case "start":
            return { text: hex(event.start), shown: <Where event={event} /> };
          case "end":
            return { text: hex(event.end), shown: <code>{hex(event.end)}</code> };
          case "function":
            return { text: caller(event), shown: <code>{caller(event)}</code> };
          case "kind":
            return { text: event.kind };
          case "stage":
            return { text: event.stage };
          default:
            return { text: event.detail };
        }
      }}
    />
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
