// SPDX-License-Identifier: Apache-2.0
/**
 * Sets of pixels of a label map: what each tool reaches. Pure functions, no DOM.
 *
 * A map is {labels: Uint8Array, width, height}, row by row. A mask is {x, y, width, height, bits}:
 * a box in the map's pixels and a byte for each pixel of it, 1 if it belongs. Points are in map
 * pixels, (0, 0) being the upper left corner of the first pixel; a pixel is reached if its centre
 * is.
 */

/** The pixels of the box [left, right) x [top, bottom) that `inside(x, y)` holds for, clipped. */
function within(map, left, top, right, bottom, inside) {
  const x = Math.max(0, left);
  const y = Math.max(0, top);
  const width = Math.max(0, Math.min(map.width, right) - x);
  const height = Math.max(0, Math.min(map.height, bottom) - y);
  const bits = new Uint8Array(width * height);
  for (let row = 0, at = 0; row < height; row++) {
    for (let column = 0; column < width; column++, at++) {
      bits[at] = inside(x + column, y + row) ? 1 : 0;
    }
  }
  return { x, y, width, height, bits };
}

/** A round brush of `size` pixels moved from one point to another, without gaps. */
export function stroke(map, from, to, size) {
  // Odd brushes centre on a pixel and even ones on a corner, so that each is as wide as it says.
  const snap = (at) => (size % 2 ? Math.floor(at) + 0.5 : Math.round(at));
  const [ax, ay, bx, by] = [snap(from.x), snap(from.y), snap(to.x), snap(to.y)];
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const radius = size / 2;
  const inside = (column, row) => {
    const [px, py] = [column + 0.5 - ax, row + 0.5 - ay];
    const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
    const [ox, oy] = [px - along * dx, py - along * dy];
    return ox * ox + oy * oy <= radius * radius;
  };
  const low = (a, b) => Math.floor(Math.min(a, b) - radius);
  const high = (a, b) => Math.ceil(Math.max(a, b) + radius);
  return within(map, low(ax, bx), low(ay, by), high(ax, bx), high(ay, by), inside);
}

/** All pixels between the one under `a` and the one under `b`, both included. */
export function rectangle(map, a, b) {
  const low = (u, v) => Math.floor(Math.min(u, v));
  const high = (u, v) => Math.floor(Math.max(u, v)) + 1;
  return within(map, low(a.x, b.x), low(a.y, b.y), high(a.x, b.x), high(a.y, b.y), () => true);
}

/** The inside of a closed line through `points` (even-odd rule). */
export function polygon(map, points) {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  let [line, crossings] = [NaN, []]; // where the outline crosses the row that is being looked at
  const inside = (column, row) => {
    if (row !== line) [line, crossings] = [row, crossed(points, row + 0.5)];
    return crossings.filter((x) => column + 0.5 < x).length % 2 === 1;
  };
  const [left, top] = [Math.floor(Math.min(...xs)), Math.floor(Math.min(...ys))];
  return within(map, left, top, Math.ceil(Math.max(...xs)), Math.ceil(Math.max(...ys)), inside);
}

/** Where a closed line through `points` crosses the height y, from left to right or not. */
function crossed(points, y) {
  return points.flatMap((a, index) => {
    const b = points.at(index - 1);
    return a.y > y === b.y > y ? [] : [a.x + ((y - a.y) / (b.y - a.y)) * (b.x - a.x)];
  });
}

/** The pixels of one label that hang together with the one at `point`, side by side. */
export function connected(map, point) {
  const { labels, width, height } = map;
  const start = Math.floor(point.y) * width + Math.floor(point.x);
  const label = labels[start];
  const found = new Uint8Array(width * height);
  const waiting = [start];
  found[start] = 1;
  while (waiting.length) {
    const at = waiting.pop();
    for (const next of neighbours(at, width, height)) {
      if (next >= 0 && !found[next] && labels[next] === label) {
        found[next] = 1;
        waiting.push(next);
      }
    }
  }
  return cropped(found, map);
}

/** All pixels of a label, or null if there are none. */
export function ofLabel(map, label) {
  return ofLabels(map, (value) => value === label);
}

/** All pixels of the labels that `wanted(label)` holds for, or null if there are none. */
export function ofLabels(map, wanted) {
  const found = map.labels.map((value) => (wanted(value) ? 1 : 0));
  return found.includes(1) ? cropped(found, map) : null;
}

/** The box of a mask in a map that is so much wider and higher. */
export function scaled({ x, y, width, height }, across, down = across) {
  const size = (side, scale) => Math.max(1, Math.round(side * scale));
  return {
    x: Math.round(x * across),
    y: Math.round(y * down),
    width: size(width, across),
    height: size(height, down),
  };
}

/**
 * The box of a mask at a scale, at the place of another one: with its upper edge there and the
 * middle of its upper half. Hair and clothes hang from there, however long they are.
 */
export function aligned(mask, place, scale) {
  const box = scaled(mask, scale);
  const x = Math.round(place.x + middle(place) - middle(mask) * scale);
  return { ...box, x, y: place.y };
}

/** The mean place, from the left border of a mask, of the pixels of its upper half. */
function middle({ width, height, bits }) {
  let [sum, count] = [0, 0];
  for (let at = 0; at < width * Math.ceil(height / 2); at++) {
    sum += bits[at] * ((at % width) + 0.5);
    count += bits[at];
  }
  return sum / count;
}

/** A mask drawn into `box` ({x, y, width, height}, whole pixels), mirrored if asked, clipped. */
export function transformed(map, mask, box, mirrored = { x: false, y: false }) {
  const pick = (at, size, from, mirror) => {
    const nearest = Math.floor(((at + 0.5) * from) / size);
    return mirror ? from - 1 - nearest : nearest;
  };
  return within(map, box.x, box.y, box.x + box.width, box.y + box.height, (x, y) => {
    const column = pick(x - box.x, box.width, mask.width, mirrored.x);
    const row = pick(y - box.y, box.height, mask.height, mirrored.y);
    return mask.bits[row * mask.width + column];
  });
}

/** Indices of the pixels above, left, right and below; -1 beyond the border. */
export function neighbours(at, width, height) {
  const x = at % width;
  return [
    at >= width ? at - width : -1,
    x > 0 ? at - 1 : -1,
    x < width - 1 ? at + 1 : -1,
    at < width * (height - 1) ? at + width : -1,
  ];
}

function cropped(found, { width, height }) {
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let at = found.indexOf(1); at >= 0; at = found.indexOf(1, at + 1)) {
    const x = at % width;
    const y = (at - x) / width;
    left = Math.min(left, x);
    right = Math.max(right, x + 1);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y + 1);
  }
  return within({ width, height }, left, top, right, bottom, (x, y) => found[y * width + x]);
}
