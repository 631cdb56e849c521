/** The page begins here. */

import { render } from "preact";
import { App } from "./app";
import { setLanguage, t } from "./i18n";
import { load } from "./load";
import { Model } from "./model";
import { fromHash } from "./state";

async function main(): Promise<void> {
  const holder = document.getElementById("app");
  if (holder === null) return;
  setLanguage(fromHash(location.hash).language);
  try {
    const model = new Model(await load());
    render(<App model={model} />, holder);
    holder.dataset["ready"] = "";
  } catch (error) {
    holder.textContent = t("failed", { why: error instanceof Error ? error.message : String(error) });
  }
}

void main();
