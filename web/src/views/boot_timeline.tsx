/** The stages of a boot as a line of boxes, with a tick for each event. */

import type { JSX } from "preact";
import type { Event } from "../boot";
import { useGiven } from "../context";
import type { Subject } from "../document";
import { t } from "../i18n";
import { Picture } from "../parts";
import { useWidth } from "../width";

const STAGE_HEIGHT = 30;

export function Timeline(props: {
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
