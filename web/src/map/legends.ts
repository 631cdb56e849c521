/** The keys to the colours of the map. */

import { type Fill, OTHER } from "../colours";
import { named, t } from "../i18n";
import type { Layer } from "../physical";

export function legendOf(fill: Fill, purpose: boolean) {
  return {
    key: fill.key,
    label: purpose ? named("purpose", fill.key) : fill.key,
    colour: fill.colour,
    pattern: fill.pattern,
  };
}

export function physicalLegend(layers: readonly Layer[]) {
  const found = new globalThis.Map<string, { key: string; label: string; colour: string }>();
  for (const layer of layers) {
    if (layer.name !== "content") {
      const place = layer.places[0];
      if (place !== undefined) {
        found.set(layer.name, {
          key: layer.name, label: named("layer", layer.name), colour: layer.colour(place),
        });
      }
      continue;
    }
    for (const place of layer.places) {
      const colour = layer.colour(place);
      const what = place.what.split(" ")[0] ?? "";
      const key = `content-${colour}`;
      const label = colour === OTHER ? t("content.taken") : named("content", what);
      if (!found.has(key)) found.set(key, { key, label, colour });
    }
  }
  return [...found.values()];
}
