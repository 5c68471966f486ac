// SPDX-License-Identifier: Apache-2.0
/** The region tool: move, scale, flip and delete what hangs together, or take a donor's shape. */

import { heal, paint, restore, UNLABELLED } from "./labelmap.js";
import { aligned, connected, ofLabel, ofLabels, scaled, transformed } from "./masks.js";

export const HANDLES = ["nw", "ne", "sw", "se"];

/** Corners of a box by the names of the compass. */
export function handles({ x, y, width, height }) {
  return {
    nw: { x, y },
    ne: { x: x + width, y },
    sw: { x, y: y + height },
    se: { x: x + width, y: y + height },
  };
}

/** Empties a mask in the way that the editor is set to. */
function empty({ session, editor }, mask) {
  if (editor.hole === "host") restore(session.map, mask, session.host.map.labels);
  else heal(session.map, mask);
}

/**
 * Picks up what hangs together at a point. The region floats over the map that is left without
 * it until it is let go, so that moving it twice destroys nothing beneath.
 */
function select(context, point) {
  const { session, editor } = context;
  const { width, height, labels } = session.map;
  const there = point.x >= 0 && point.y >= 0 && point.x < width && point.y < height;
  if (!there) return editor.set({ floating: null });
  const mask = connected(session.map, point);
  const label = labels[Math.floor(point.y) * width + Math.floor(point.x)];
  const whole = labels.slice();
  empty(context, mask);
  const beneath = session.map.labels.slice();
  session.map.labels.set(whole);
  const { x, y } = mask;
  const box = { x, y, width: mask.width, height: mask.height };
  editor.set({ label: label === 255 ? editor.label : label });
  return editor.set({
    floating: { label, mask, beneath, box, mirrored: { x: false, y: false }, shown: whole },
  });
}

/** Puts the floating region down in another box or mirrored, as part of a step. */
function place({ session, editor }, patch) {
  const floating = { ...editor.floating, ...patch };
  session.begin();
  session.map.labels.set(floating.beneath);
  const mask = transformed(session.map, floating.mask, floating.box, floating.mirrored);
  paint(session.map, mask, floating.label, editor.over);
  floating.shown = session.map.labels.slice();
  editor.set({ floating });
  session.touched();
}

/** Lets the region go where the map is no longer the one that it was put into. */
export function letGo({ session, editor }) {
  const { floating } = editor;
  if (!floating) return;
  const { labels } = session.map;
  const same = floating.shown.length === labels.length;
  if (!same || labels.some((label, at) => label !== floating.shown[at])) {
    editor.set({ floating: null });
  }
}

/** One step on the selected region: by `box` (moved or scaled) or `mirrored`. */
export function transform(context, name, patch) {
  if (!context.editor.floating) return;
  place(context, patch(context.editor.floating));
  context.session.commit(name);
}

/** Deletes the selected region. */
export function remove({ session, editor }) {
  if (!editor.floating) return;
  session.begin();
  session.map.labels.set(editor.floating.beneath);
  editor.set({ floating: null });
  session.touched();
  session.commit("region deleted");
}

/**
 * Gives a label the shape that it has in the donor, in its place here and at the scale of the
 * figure here, which is all that transfers change. A label that is not here gets the place that it
 * has in the donor. False if the donor has no such label.
 */
export function takeShape(context, donor, label) {
  const { session, editor } = context;
  const { map, settings } = session;
  const shape = ofLabel(donor.map, label);
  if (!shape) return false;
  const here = ofLabel(map, label);
  const scene = [UNLABELLED, ...settings.scene].filter((other) => other !== label);
  const figure = (each) => ofLabels(each, (other) => !scene.includes(other));
  const box = here
    ? aligned(shape, here, figure(map).height / figure(donor.map).height)
    : scaled(shape, map.width / donor.map.width, map.height / donor.map.height);
  session.begin();
  if (here) empty(context, here);
  paint(map, transformed(map, shape, box), label, editor.over);
  session.touched();
  const place = here ? "fitted to the host’s" : "left where it is there, as the host has none";
  session.commit(`shape of ${session.nameOf(label)} taken from ${donor.name}, ${place}`);
  return true;
}

/** The box of a floating region after one of its corners, or all of it, was dragged. */
function dragged({ handle, box, from }, to) {
  const [dx, dy] = [Math.round(to.x - from.x), Math.round(to.y - from.y)];
  if (!handle) return { ...box, x: box.x + dx, y: box.y + dy };
  const west = handle.includes("w");
  const north = handle.includes("n");
  const width = Math.max(1, box.width + (west ? -dx : dx));
  const height = Math.max(1, box.height + (north ? -dy : dy));
  return {
    x: west ? box.x + box.width - width : box.x,
    y: north ? box.y + box.height - height : box.y,
    width,
    height,
  };
}

export const region = {
  key: "v",
  hint: "Click a region; drag it or its corners. H and J flip it, Delete removes it.",
  drag: null,
  down(context, point, _, reach = 2) {
    const { editor } = context;
    const near = (at) => Math.hypot(at.x - point.x, at.y - point.y) <= reach;
    const at = editor.floating && handles(editor.floating.box);
    const handle = at && HANDLES.find((name) => near(at[name]));
    if (!handle && !covers(editor.floating, point)) select(context, point);
    const { floating } = editor;
    this.drag = floating && { handle, box: floating.box, from: point };
  },
  move(context, point) {
    if (this.drag) place(context, { box: dragged(this.drag, point) });
  },
  up({ session }) {
    const scaled = this.drag?.handle;
    this.drag = null;
    session.commit(scaled ? "region scaled" : "region moved");
  },
};

function covers(floating, { x, y }) {
  if (!floating) return false;
  const { box } = floating;
  return x >= box.x && y >= box.y && x < box.x + box.width && y < box.y + box.height;
}
