/** What `check` or `audit` finds, and where it lies. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { size } from "../address";
import { SEVERITY } from "../colours";
import { useGiven } from "../context";
import type { Finding } from "../document";
import { named, t } from "../i18n";
import { DataTable, Pa, Va } from "../parts";
import { saveCsv } from "../save";

const SEVERITIES = ["error", "warning", "note"] as const;

export function FindingsView(): JSX.Element {
  const { machine, model } = useGiven();
  const [hidden, setHidden] = useState<readonly string[]>([]);
  const subject = machine?.subject ?? model.doc.head.subjects[0];
  const found = subject?.findings ?? [];
  function* all(): Generator<string[]> {
    yield ["severity", "code", "message", "owner", "root", "va", "last", "pa"];
    for (const finding of found) {
      const head = [finding.severity, finding.code, finding.message];
      if (!finding.mapped?.length) yield [...head, "", "", "", "", ""];
      for (const one of finding.mapped ?? []) yield [...head, one.owner, one.root, one.va, one.last, one.pa];
    }
  }
  return (
    <div class="findings-view">
      <div class="bar">
        {SEVERITIES.map((severity) => (
          <label key={severity}>
            <input
              type="checkbox"
              checked={!hidden.includes(severity)}
              onChange={() =>
                setHidden(hidden.includes(severity) ? hidden.filter((each) => each !== severity) : [...hidden, severity])
              }
            />{" "}
            {named("severity", severity)} ({found.filter((finding) => finding.severity === severity).length})
          </label>
        ))}
        <button type="button" class="small" onClick={() => saveCsv(all(), "findings")}>
          CSV
        </button>
      </div>
      {found.length === 0 && <p>{t("findings.none")}</p>}
      {found
        .filter((finding) => !hidden.includes(finding.severity))
        .map((finding, at) => (
          <One key={at} finding={finding} />
        ))}
      {(subject?.notes ?? []).length > 0 && (
        <section>
          <h3>{t("findings.notes")}</h3>
          <ul>
            {subject?.notes?.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function One({ finding }: { finding: Finding }): JSX.Element {
  const { machine } = useGiven();
  const mapped = finding.mapped ?? [];
  const spaceOf = (root: string): string =>
    machine?.spaces.find((view) => view.space.root === root)?.space.name ?? "kernel";
  return (
    <article class="finding" data-code={finding.code}>
      <h3>
        <span class="severity" style={{ background: SEVERITY[finding.severity] }}>
          {named("severity", finding.severity)}
        </span>{" "}
        {finding.title} <code>{finding.code}</code>
      </h3>
      <p>{finding.message}</p>
      {finding.kernel.map((line) => (
        <pre key={line} class="log">
          {line}
        </pre>
      ))}
      {Object.keys(finding.numbers).length > 0 && (
        <p>
          {Object.entries(finding.numbers).map(([name, value]) => (
            <span key={name} class="fact">
              {name}: {value}
            </span>
          ))}
        </p>
      )}
      {Object.entries(finding.ranges).map(([name, range]) => (
        <p key={name}>
          {name}: <Pa pa={BigInt(range.start)} />–<code>{range.last}</code>
        </p>
      ))}
      {mapped.length > 0 && (
        <DataTable
          name={finding.code}
          caption={t("findings.where")}
          columns={[
            { key: "owner", label: t("findings.owner") },
            { key: "va", label: t("column.va") },
            { key: "size", label: t("column.size"), number: true },
            { key: "pa", label: t("column.pa") },
            { key: "descriptor", label: t("walk.descriptor") },
            { key: "show", label: t("view.map") },
          ]}
          rows={mapped.length}
          cell={(row, column) => {
            const one = mapped[row] as (typeof mapped)[number];
            const root = spaceOf(one.root);
            const va = BigInt(one.va);
            const bytes = BigInt(one.last) - va + 1n;
            switch (column) {
              case "va":
                return { text: one.va, shown: <Va va={va} root={root} /> };
              case "pa":
                return { text: one.pa, shown: <Pa pa={BigInt(one.pa)} /> };
              case "size":
                return { text: String(bytes), shown: size(Number(bytes)) };
              case "descriptor":
                return {
                  text: one.descriptor,
                  shown: (
                    <>
                      {one.descriptors} × <code>{one.descriptor ?? "?"}</code>
                    </>
                  ),
                };
              case "show":
                return { text: "", shown: <Va va={va} root={root} to="map" text={t("findings.map")} /> };
              default:
                return { text: one.owner };
            }
          }}
        />
      )}
      {finding.more ? <p>{t("findings.more", { n: finding.more })}</p> : null}
      <details>
        <summary>{t("findings.why")}</summary>
        <p>{finding.why}</p>
      </details>
      {finding.change.length > 0 && (
        <p>
          {t("findings.change")}{" "}
          {finding.change.map((place, at) => (
            <code key={at}>{Object.values(place).join(": ")} </code>
          ))}
        </p>
      )}
      <p>
        <strong>{t("findings.fix")}</strong> {finding.fix}
      </p>
    </article>
  );
}

