/** The events of a boot, in words and as a table. */

import type { JSX } from "preact";
import { hex, size } from "../address";
import { caller, type Event } from "../boot";
import { t } from "../i18n";
import { DataTable, Pa, Va } from "../parts";

const NEARBY = 6;

function isVirtual(event: Event): boolean {
  return event.kind === "map";
}

/** A range of an event; of a mapping it is virtual. */
function Where({ event }: { event: Event }): JSX.Element {
  if (isVirtual(event)) return <Va va={event.start} />;
  return event.start < 1n << 52n ? <Pa pa={event.start} /> : <code>{hex(event.start)}</code>;
}

export function EventLine({ event }: { event: Event }): JSX.Element {
  const bytes = event.end >= event.start ? Number(event.end - event.start) + 1 : 0;
  return (
    <>
      <strong>{event.kind}</strong> <Where event={event} /> {size(bytes)} {t("boot.by")}{" "}
      <code class="function">{caller(event)}</code> ({event.stage}) <span class="detail">{event.detail}</span>
    </>
  );
}

export function Steps(props: { events: readonly Event[]; count: number; onEvent: (count: number) => void }): JSX.Element {
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
