/** The page: what is shown of the document follows from the URL's hash. */

import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import { Given } from "./context";
import { Details } from "./details";
import type { Subject } from "./document";
import { named, setLanguage, t } from "./i18n";
import type { MachineView as MachineOf, Model } from "./model";
import { Search } from "./search";
import { fromHash, LANGUAGES, type State, THEMES, toHash, type View, VIEWS } from "./state";
import { BootView } from "./views/boot";
import { CompareView, machineName } from "./views/compare";
import { FindingsView } from "./views/findings";
import { MachineView } from "./views/machine";
import { MapView } from "./views/map";
import { ProcessesView } from "./views/processes";
import { TablesView } from "./views/tables";
import { WalkView } from "./views/walk";

const SHOWN: { readonly [view in View]: () => JSX.Element } = {
  map: MapView,
  walk: WalkView,
  tables: TablesView,
  boot: BootView,
  processes: ProcessesView,
  findings: FindingsView,
  compare: CompareView,
  machine: MachineView,
};
const LANGUAGE_NAMES: { readonly [language: string]: string } = { en: "English", zh: "中文" };

export function App({ model }: { model: Model }): JSX.Element {
  const [state, setState] = useState<State>(() => start(model));
  const go = useCallback((change: Partial<State>, replace = false) => {
    setState((now) => {
      const next = { ...now, ...change };
      const hash = toHash(next);
      if (hash !== location.hash) {
        if (replace) history.replaceState(null, "", hash);
        else history.pushState(null, "", hash);
      }
      return next;
    });
  }, []);
  useEffect(() => {
    const onHash = (): void => setState(fromHash(location.hash));
    addEventListener("hashchange", onHash);
    addEventListener("popstate", onHash);
    return () => {
      removeEventListener("hashchange", onHash);
      removeEventListener("popstate", onHash);
    };
  }, []);
  setLanguage(state.language);
  useEffect(() => {
    document.documentElement.lang = state.language;
    document.documentElement.dataset["theme"] = state.theme;
    document.title = `${model.doc.head.subjects.map((each) => each.name).join(", ")} – ttbr`;
  }, [state.language, state.theme]);

  const machine = model.machine(state.machine) ?? model.machine(0);
  const space =
    machine === null ? null : state.va === null ? machine.space(state.root) : (machine.spaceOf(state.va, state.root) ?? machine.space(state.root));
  const given = useMemo(() => ({ model, state, machine, space, go }), [state]);
  const Shown = SHOWN[state.view];
  const views = VIEWS.filter((view) => has(model, view));
  return (
    <Given.Provider value={given}>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        {t("skip")}
      </a>
      <header>
        <h1>
          ttbr <span class="subject">{machine === null ? "" : machineName(model, machine.number)}</span>
        </h1>
        <Search />
        <div class="choices">
          {model.count > 1 && (
            <label>
              <span>{t("machine")}</span>
              <select value={String(machine?.number ?? 0)} onChange={(event) => go({ machine: Number(event.currentTarget.value), event: null })}>
                {model.doc.head.machines.map((_, number) => (
                  <option key={number} value={String(number)}>
                    {machineName(model, number)}
                  </option>
                ))}
              </select>
            </label>
          )}
          {machine !== null && machine.spaces.length > 0 && (
            <label>
              <span>{t("root")}</span>
              <select id="root" value={space?.space.name ?? ""} onChange={(event) => go({ root: event.currentTarget.value, va: null, zoom: null })}>
                {machine.spaces.map((view) => (
                  <option key={view.space.name} value={view.space.name}>
                    {view.space.name}
                    {view.space.owners.length > 0 ? ` PID ${view.space.owners.slice(0, 2).join(", ")}` : ""}
                  </option>
                ))}
              </select>
            </label>
          )}
          <label>
            <span>{t("theme")}</span>
            <select id="theme" value={state.theme} onChange={(event) => go({ theme: THEMES.find((each) => each === event.currentTarget.value) ?? "auto" }, true)}>
              {THEMES.map((theme) => (
                <option key={theme} value={theme}>
                  {named("theme", theme)}
                </option>
              ))}
            </select>
          </label>
          <label>
            <span>{t("language")}</span>
            <select id="language" value={state.language} onChange={(event) => go({ language: LANGUAGES.find((each) => each === event.currentTarget.value) ?? "en" }, true)}>
              {LANGUAGES.map((language) => (
                <option key={language} value={language} lang={language}>
                  {LANGUAGE_NAMES[language]}
                </option>
              ))}
            </select>
          </label>
        </div>
      </header>
      <nav aria-label={t("views")}>
        {views.map((view) => (
          <button key={view} type="button" aria-current={view === state.view ? "page" : undefined} onClick={() => go({ view, ...machineFor(model, machine, view) })}>
            {named("view", view)}
            {view === "findings" && machine !== null && machine.subject.findings.length > 0 && (
              <span class="count">{machine.subject.findings.length}</span>
            )}
          </button>
        ))}
      </nav>
      <Filter state={state} go={given.go} />
      <div class="body">
        <main id="main" tabIndex={-1} aria-label={named("view", state.view)} data-view={state.view}>
          <h2 class="title">{named("view", state.view)}</h2>
          <Shown />
        </main>
        <Details />
      </div>
    </Given.Provider>
  );
}

/** The condition that the map is seen through. */
function Filter({ state, go }: { state: State; go: (change: Partial<State>) => void }): JSX.Element | null {
  if (!state.filter) return null;
  return (
    <p class="filter">
      {t("filter")} <code>{state.filter}</code>{" "}
      <button type="button" class="small" onClick={() => go({ filter: "" })}>
        {t("filter.off")}
      </button>
    </p>
  );
}

/** Where the page begins: where the URL says, else at the last machine of the first subject. */
function start(model: Model): State {
  const asked = fromHash(location.hash);
  if (/[#&]machine=/.test(location.hash)) return asked;
  const last = model.doc.head.subjects[0]?.machines.at(-1) ?? 0;
  return { ...asked, machine: last };
}

/** Another machine, where the one that is shown has nothing for a view. */
function machineFor(model: Model, machine: MachineOf | null, view: View): Partial<State> {
  const wanted = (subject: Subject): boolean =>
    view === "boot" ? Boolean(subject.boot) : view !== "processes" || Boolean(subject.relations?.["tasks"]);
  if (machine === null || wanted(machine.subject)) return {};
  const found = model.doc.head.subjects.find(wanted)?.machines.at(-1);
  return found === undefined ? {} : { machine: found, event: null };
}

function has(model: Model, view: View): boolean {
  const { subjects, comparisons } = model.doc.head;
  switch (view) {
    case "boot":
      return subjects.some((each) => each.boot);
    case "processes":
      return subjects.some((each) => each.relations?.["tasks"]);
    case "compare":
      return comparisons.length > 0;
    default:
      return true;
  }
}
