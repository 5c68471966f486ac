// SPDX-License-Identifier: Apache-2.0
/** Undo and redo: a step keeps the changed rectangle of the label map, no more. */

import { deflated, inflated } from "./bytes.js";

const MOST_STEPS = 500;
const MOST_BYTES = 64 * 2 ** 20; // of label maps; the oldest steps are forgotten first

/**
 * What turns one map {labels, width, height} into another: null if they are equal; the smallest
 * rectangle {x, y, width, height, before, after} that holds every change; or, where the sizes
 * differ, both maps {before, after}.
 */
export function difference(before, after) {
  if (before.width !== after.width || before.height !== after.height) return { before, after };
  const { width, height } = after;
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (before.labels[at] === after.labels[at]) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  if (right === 0) return null;
  const box = { x: left, y: top, width: right - left, height: bottom - top };
  return { ...box, before: cut(before, box), after: cut(after, box) };
}

/** The map on one `side` ("before" or "after") of a difference, given the one on the other. */
export function applied(map, change, side) {
  if (!change) return map;
  if (change.x === undefined) {
    return { ...change[side], labels: change[side].labels.slice() };
  }
  const labels = map.labels.slice();
  for (let row = 0; row < change.height; row++) {
    const line = change[side].subarray(row * change.width, (row + 1) * change.width);
    labels.set(line, (change.y + row) * map.width + change.x);
  }
  return { ...map, labels };
}

function cut(map, box) {
  const bytes = new Uint8Array(box.width * box.height);
  for (let row = 0; row < box.height; row++) {
    const start = (box.y + row) * map.width + box.x;
    bytes.set(map.labels.subarray(start, start + box.width), row * box.width);
  }
  return bytes;
}

/** Bytes of the labels in a difference. */
function size(change) {
  if (!change) return 0;
  const labels = (side) => side.labels ?? side;
  return labels(change.before).length + labels(change.after).length;
}

/** Steps that were done and undone. A step is {name, map: a difference, settings: [old, new]}. */
export class History {
  done = [];
  undone = [];

  push(step) {
    this.done.push(step);
    this.undone = [];
    let bytes = this.done.reduce((sum, { map }) => sum + size(map), 0);
    while (this.done.length > 1 && (this.done.length > MOST_STEPS || bytes > MOST_BYTES)) {
      bytes -= size(this.done.shift().map);
    }
  }

  /** The step to take back, or undefined. */
  undo() {
    const step = this.done.pop();
    if (step) this.undone.push(step);
    return step;
  }

  /** The step to do again, or undefined. */
  redo() {
    const step = this.undone.pop();
    if (step) this.done.push(step);
    return step;
  }

  /** All of it with compressed label maps, to be kept; {@link History.unpacked} reads it. */
  async packed() {
    const pack = (steps) => Promise.all(steps.map(packed));
    return { done: await pack([...this.done]), undone: await pack([...this.undone]) };
  }

  static async unpacked({ done, undone }) {
    const history = new History();
    const unpack = (steps) => Promise.all(steps.map((step) => withLabels(step, inflated)));
    history.done = await unpack(done);
    history.undone = await unpack(undone);
    return history;
  }
}

const PACKED = new WeakMap(); // step -> the promise of it packed: steps never change

function packed(step) {
  if (!PACKED.has(step)) PACKED.set(step, withLabels(step, deflated));
  return PACKED.get(step);
}

/** A copy of a step with `change(bytes)` in the place of its labels. */
async function withLabels(step, change) {
  if (!step.map) return step;
  const side = async (part) =>
    part.labels ? { ...part, labels: await change(part.labels) } : change(part);
  const { before, after } = step.map;
  return { ...step, map: { ...step.map, before: await side(before), after: await side(after) } };
}
