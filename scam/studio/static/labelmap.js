// SPDX-License-Identifier: Apache-2.0
/**
 * Changes of a label map {labels: Uint8Array, width, height}, in place, without the DOM.
 *
 * They write labels that are there or are given, and never mix two. Masks are those of masks.js.
 * `over` is null, or a table of 256 bytes: only labels whose entry is not 0 may be replaced.
 */

import { neighbours } from "./masks.js";

/** The value of a pixel that has no label. */
export const UNLABELLED = 255;

/** Calls `visit(index)` for each pixel of a mask. */
function eachPixel(map, mask, visit) {
  for (let row = 0, at = 0; row < mask.height; row++) {
    const start = (mask.y + row) * map.width + mask.x;
    for (let column = 0; column < mask.width; column++, at++) {
      if (mask.bits[at]) visit(start + column);
    }
  }
}

/** Gives the pixels of a mask one label. */
export function paint(map, mask, label, over = null) {
  eachPixel(map, mask, (at) => {
    if (!over || over[map.labels[at]]) map.labels[at] = label;
  });
}

/** Gives the pixels of a mask the labels that `source` (of the map's size) has there. */
export function restore(map, mask, source, over = null) {
  eachPixel(map, mask, (at) => {
    if (!over || over[map.labels[at]]) map.labels[at] = source[at];
  });
}

/**
 * Takes a region away: its pixels get the labels around it.
 *
 * They grow into it from its border, a pixel a round; where several meet, the one above is taken
 * before the left, the right and the one below. A mask of the whole map changes nothing.
 */
export function heal(map, mask) {
  const { labels, width, height } = map;
  const open = new Uint8Array(labels.length);
  let waiting = [];
  eachPixel(map, mask, (at) => {
    open[at] = 1;
    waiting.push(at);
  });
  const first = (at) => neighbours(at, width, height).find((next) => next >= 0 && !open[next]);
  let border = waiting.filter((at) => first(at) !== undefined);
  while (border.length) {
    const grown = border.map((at) => labels[first(at)]);
    border.forEach((at, index) => {
      labels[at] = grown[index];
    });
    for (const at of border) open[at] = 0;
    waiting = border.flatMap((at) => neighbours(at, width, height));
    border = [...new Set(waiting.filter((at) => at >= 0 && open[at]))];
  }
}

/** The share of pixels, 0 to 1, that each of the 256 values has. */
export function shares(map) {
  const counts = new Float64Array(256);
  for (const label of map.labels) counts[label] += 1;
  return counts.map((count) => count / map.labels.length);
}
