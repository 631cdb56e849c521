/** The machine itself: registers with their fields, root tables, memory, the kernel's layout. */

import type { JSX } from "preact";
import { hex, size } from "../address";
import { useGiven } from "../context";
import type { Layout } from "../document";
import { named, t } from "../i18n";
import { DataTable, Pa, Va } from "../parts";
import { saveCsv } from "../save";
import { explain } from "../walk";

const RELATIONS = ["zones", "memblock", "vmalloc", "meminfo", "tasks"];

export function MachineView(): JSX.Element {
  const { machine, model } = useGiven();
  if (machine === null) return <p>{t("nothing")}</p>;
  const { doc } = machine;
  const { registers, roots, regimes } = {
    registers: machine.machine.registers,
    roots: Object.entries(machine.machine.roots),
    regimes: [...new Set(machine.spaces.map((view) => view.regime))],
  };
  const { relations } = machine.subject;
  function* fields(): Generator<string[]> {
    yield ["register", "value", "high", "low", "field", "field_value", "meaning"];
    for (const { name, value, layout } of registers) {
      const known = layout === null ? undefined : doc.head.layouts[layout];
      if (known === undefined) yield [name, value, "", "", "", "", ""];
      else {
        for (const field of explain(known, BigInt(value))) {
          yield [name, value, field.high, field.low, field.name, hex(field.value), field.text].map(String);
        }
      }
    }
  }
  return (
    <div class="machine">
      <p>
        {machine.machine.arch}
        {machine.machine.release !== null && ` · Linux ${machine.machine.release}`}
        {machine.machine.stage !== null && ` · ${machine.machine.stage}`}
        {` · ttbr ${model.doc.head.ttbr}`}
      </p>
      <DataTable
        name="spaces"
        caption={t("machine.spaces")}
        columns={["name", "root", "regime", "mapped", "tables", "owners"].map((key) => ({
          key, label: named("machine", key),
        }))}
        rows={machine.spaces.length}
        cell={(row, column) => {
          const view = machine.spaces[row];
          if (view === undefined) return { text: null };
          switch (column) {
            case "name":
              return { text: view.space.name };
            case "root":
              return { text: view.space.root, shown: <Pa pa={BigInt(view.space.root)} /> };
            case "regime":
              return { text: `${view.regime.format} ${view.regime.input_bits}/${view.regime.output_bits} ${view.regime.root_register}` };
            case "mapped":
              return { text: String(BigInt(view.space.mapped_bytes)), shown: size(Number(view.space.mapped_bytes)) };
            case "tables":
              return { text: String(view.space.tables.rows + view.space.tables.left_out) };
            default:
              return { text: view.space.owners.join(" ") };
          }
        }}
      />
      {roots.length > 0 && (
        <DataTable
          name="roots"
          caption={t("machine.roots")}
          columns={[
            { key: "name", label: t("machine.name") },
            { key: "pa", label: t("column.pa") },
          ]}
          rows={roots.length}
          cell={(row, column) => {
            const [name, pa] = roots[row] as [string, string];
            return column === "name" ? { text: name } : { text: pa, shown: <Pa pa={BigInt(pa)} /> };
          }}
        />
      )}
      <DataTable
        name="layout"
        caption={t("machine.layout")}
        columns={[
          { key: "start", label: t("column.va") },
          { key: "size", label: t("column.size"), number: true },
          { key: "mapped", label: t("machine.mapped"), number: true },
          { key: "name", label: t("machine.name") },
        ]}
        rows={machine.bands.length}
        cell={(row, column) => {
          const band = machine.bands[row];
          if (band === undefined) return { text: null };
          const start = BigInt(band.low) << 12n;
          if (column === "start") return { text: hex(start), shown: <Va va={start} to="map" /> };
          if (column === "size") {
            return { text: String((BigInt(band.high) - BigInt(band.low)) << 12n), shown: size((band.high - band.low) * 4096) };
          }
          if (column === "mapped") return { text: String(band.mapped), shown: band.mapped ? size(band.mapped) : "–" };
          return { text: band.name };
        }}
      />
      <DataTable
        name="physical"
        caption={t("map.physical")}
        columns={[
          { key: "layer", label: t("machine.layer") },
          { key: "start", label: t("column.pa") },
          { key: "size", label: t("column.size"), number: true },
          { key: "what", label: t("machine.what") },
        ]}
        rows={machine.places.length}
        cell={(row, column) => {
          const place = machine.places[row];
          if (place === undefined) return { text: null };
          if (column === "start") return { text: hex(place.start), shown: <Pa pa={place.start} /> };
          if (column === "size") return { text: String(place.end - place.start), shown: size(place.end - place.start) };
          if (column === "layer") return { text: place.layer, shown: named("layer", place.layer) };
          return { text: place.what };
        }}
      />
      {RELATIONS.map((name) => {
        const table = relations?.[name];
        if (table === undefined) return null;
        const columns = Object.entries(table.columns);
        return (
          <DataTable
            key={name}
            name={name}
            caption={name}
            columns={columns.map(([key]) => ({ key, label: key }))}
            rows={table.rows}
            cell={(row, column) => {
              const text = doc.cell(table, column, row);
              return { text };
            }}
          />
        );
      })}
      <div class="bar">
        <h3>{t("machine.registers")}</h3>
        <button type="button" class="small" onClick={() => saveCsv(fields(), "registers")}>
          CSV
        </button>
      </div>
      {registers.map((register) => {
        const layout: Layout | undefined = register.layout === null ? undefined : doc.head.layouts[register.layout];
        return (
          <details key={register.name} class="register">
            <summary>
              <code>
                {register.name} = {register.value}
              </code>
            </summary>
            {layout !== undefined && (
              <table class="fields">
                <tbody>
                  {explain(layout, BigInt(register.value)).map((field) => (
                    <tr key={field.name}>
                      <td class="bits">
                        [{field.high === field.low ? field.high : `${field.high}:${field.low}`}]
                      </td>
                      <td class="name">{field.name}</td>
                      <td class="value">{hex(field.value)}</td>
                      <td class="meaning">{field.text}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </details>
        );
      })}
      {regimes.flatMap((regime) => regime.unknown).length > 0 && (
        <ul>
          {[...new Set(regimes.flatMap((regime) => regime.unknown))].map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
      )}
      {machine.machine.unknown.map((line) => (
        <p key={line} class="note">
          {line}
        </p>
      ))}
    </div>
  );
}
