/** Pictures and tables as files: SVG, PNG, CSV. */

/** The properties that a picture has from the page's style sheet, written into the copy. */
const STYLED = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "fill-opacity",
  "opacity",
  "font-family",
  "font-size",
  "font-weight",
  "text-anchor",
  "dominant-baseline",
] as const;

/** A picture as it is on the screen, on its own. */
export function svgText(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const from = svg.querySelectorAll("*");
  copy.querySelectorAll("*").forEach((element, at) => {
    const source = from[at];
    if (source === undefined) return;
    const style = getComputedStyle(source);
    for (const name of STYLED) {
      const value = style.getPropertyValue(name);
      if (value) element.setAttribute(name, value.replaceAll('"', "'"));
    }
    element.removeAttribute("class");
    element.removeAttribute("tabindex");
  });
  const box = svg.getBoundingClientRect();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(Math.ceil(box.width)));
  copy.setAttribute("height", String(Math.ceil(box.height)));
  const background = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  background.setAttribute("width", "100%");
  background.setAttribute("height", "100%");
  background.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
  copy.insertBefore(background, copy.firstChild);
  return new XMLSerializer().serializeToString(copy);
}

export function saveSvg(svg: SVGSVGElement, name: string): void {
  save(new Blob([svgText(svg)], { type: "image/svg+xml" }), `${name}.svg`);
}

const SHARPNESS = 2;

export async function savePng(svg: SVGSVGElement, name: string): Promise<void> {
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svgText(svg));
  await image.decode();
  const canvas = document.createElement("canvas");
  const box = svg.getBoundingClientRect();
  canvas.width = Math.ceil(box.width * SHARPNESS);
  canvas.height = Math.ceil(box.height * SHARPNESS);
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => {
    if (blob !== null) save(blob, `${name}.png`);
  });
}

/** Rows as CSV; a spreadsheet must not take what an image says for a formula. */
export function csv(rows: Iterable<readonly (string | null)[]>): string {
  const cell = (text: string | null): string => {
    if (text === null) return "";
    const plain = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };
  let found = "";
  for (const row of rows) found += row.map(cell).join(",") + "\n";
  return found;
}

export function saveCsv(rows: Iterable<readonly (string | null)[]>, name: string): void {
  save(new Blob([csv(rows)], { type: "text/csv" }), `${name}.csv`);
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
