/**
 * Builds the page: one file of HTML with style and script in it, and no way to any other.
 *
 * Its Content-Security-Policy names both by their hashes. `ttbr.report.view.page` puts the document in.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "../src/ttbr/report/view/page.html");

async function bundled(entry) {
  const result = await build({
    entryPoints: [join(here, entry)],
    absWorkingDir: here,
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    charset: "utf8",
    legalComments: "none",
  });
  return result.outputFiles[0].text.trim();
}

const script = (await bundled("src/main.tsx")).replaceAll("</script", "<\\/script");
const style = await bundled("src/style.css");
const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const policy = [
  "default-src 'none'",
  `script-src ${hash(script)}`,
  `style-src ${hash(style)}`,
  "img-src data: blob:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");
const licence = readFileSync(join(here, "node_modules/preact/LICENSE"), "utf8").trim();
const page = readFileSync(join(here, "src/page.html"), "utf8")
  .replace("%LICENCE%", () => `Preact, which is part of this page:\n\n${licence}`)
  .replace("%POLICY%", () => policy)
  .replace("%STYLE%", () => style)
  .replace("%SCRIPT%", () => script);
writeFileSync(target, page);
console.log(`${target}: ${page.length} bytes`);
