/** The document, from the page itself or from the server that the page came from. */

import { Doc } from "./columns";
import { type Head, VERSION } from "./document";

const HOLDER = "document";

/** Whether a server answers questions about what is not in the document. */
export function served(): boolean {
  return document.documentElement.dataset["served"] !== undefined;
}

export async function load(): Promise<Doc> {
  const packed = served() ? await fromServer() : fromPage();
  const stream = new Blob([packed as BlobPart]).stream();
  const plain = new Uint8Array(
    await new Response(stream.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer(),
  );
  const length = new DataView(plain.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(plain.subarray(4, 4 + length))) as Head;
  if (head.version !== VERSION) throw new Error(`document version ${head.version}`);
  return new Doc(head, plain.subarray(4 + length));
}

async function fromServer(): Promise<Uint8Array> {
  const answer = await asked("document", {});
  return new Uint8Array(await answer.arrayBuffer());
}

/** What the server answers about the page's image; an error says what it says. */
export async function asked(what: string, about: Record<string, string>): Promise<Response> {
  const image = new URLSearchParams(location.search).get("image") ?? "";
  const answer = await fetch(`api/${what}?${new URLSearchParams({ image, ...about })}`);
  if (answer.ok) return answer;
  const said = (await answer.json().catch(() => ({}))) as { error?: string };
  throw new Error(said.error ?? `${answer.status} ${answer.statusText}`);
}

function fromPage(): Uint8Array {
  const text = document.getElementById(HOLDER)?.textContent ?? "";
  const bytes = atob(text.trim());
  const packed = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) packed[at] = bytes.charCodeAt(at);
  return packed;
}
