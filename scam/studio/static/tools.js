// SPDX-License-Identifier: Apache-2.0
/**
 * The tools that draw on the label map, by name. Each is {key, hint, down, move, up}, called with
 * ({session, editor}, point, the point before). `sized`: it has the brush's size. `drawn`: it goes
 * on until the pointer is up, where others are done at once.
 */

import { paint, restore } from "./labelmap.js";
import { connected, polygon, rectangle, stroke } from "./masks.js";
import { region } from "./region.js";

const drawn = ({ session, editor }) => `${session.nameOf(editor.label)} drawn (${editor.tool})`;
const inside = ({ map }, { x, y }) => x >= 0 && y >= 0 && x < map.width && y < map.height;

/** A brush: `apply` is given the mask of each piece of the way. */
function brush(rest, apply, step = drawn) {
  const piece = ({ session, editor }, point, last) => {
    session.begin();
    apply(session, editor, stroke(session.map, last, point, editor.size));
    session.touched();
  };
  return {
    sized: true,
    drawn: true,
    down: (context, point) => piece(context, point, point),
    move: piece,
    up: (context) => context.session.commit(step(context)),
    ...rest,
  };
}

/** An outline that is drawn first and filled when the pointer goes up. */
function outline(rest, points, mask) {
  return {
    drawn: true,
    down({ editor }, point) {
      editor.start = point;
      editor.set({ outline: { points: [point], closed: true } });
    },
    move({ editor }, point) {
      const line = points(editor.start, point, editor.outline.points);
      editor.set({ outline: { points: line, closed: true } });
    },
    up(context, point) {
      const { session, editor } = context;
      const line = editor.outline.points;
      editor.set({ outline: null });
      session.begin();
      paint(session.map, mask(session.map, editor.start, point, line), editor.label, editor.over);
      session.touched();
      session.commit(drawn(context));
    },
    ...rest,
  };
}

const corners = (a, b) => {
  const [left, top] = [Math.floor(Math.min(a.x, b.x)), Math.floor(Math.min(a.y, b.y))];
  const [right, bottom] = [Math.floor(Math.max(a.x, b.x)) + 1, Math.floor(Math.max(a.y, b.y)) + 1];
  return [
    { x: left, y: top },
    { x: right, y: top },
    { x: right, y: bottom },
    { x: left, y: bottom },
  ];
};

export const TOOLS = {
  brush: brush(
    { key: "b", hint: "Drag to draw the chosen label. [ and ] change the size." },
    (session, editor, mask) => paint(session.map, mask, editor.label, editor.over),
  ),
  eraser: brush(
    { key: "e", hint: "Drag to restore the photograph’s own labels." },
    (session, editor, mask) => restore(session.map, mask, session.host.map.labels, editor.over),
    () => "photograph’s labels restored (eraser)",
  ),
  rectangle: outline(
    { key: "r", hint: "Drag a rectangle to fill it with the chosen label." },
    corners,
    (map, from, to) => rectangle(map, from, to),
  ),
  lasso: outline(
    { key: "l", hint: "Draw around an area to fill it with the chosen label." },
    (from, to, points) => [...points, to],
    (map, from, to, points) => polygon(map, points),
  ),
  fill: {
    key: "f",
    hint: "Click a region to give all of it the chosen label.",
    down(context, point) {
      const { session, editor } = context;
      if (!inside(session, point)) return;
      session.begin();
      paint(session.map, connected(session.map, point), editor.label, editor.over);
      session.touched();
      session.commit(drawn(context));
    },
    move() {},
    up() {},
  },
  eyedropper: {
    key: "i",
    hint: "Click the map to choose the label that is there.",
    down({ session, editor }, point) {
      if (!inside(session, point)) return;
      const { x, y } = point;
      const label = session.map.labels[Math.floor(y) * session.map.width + Math.floor(x)];
      if (label < session.model.labels.length) editor.set({ label });
    },
    move(context, point) {
      this.down(context, point);
    },
    up() {},
  },
  region,
};

/** Takes back what a tool has begun. */
export function cancel({ session, editor }) {
  session.cancel();
  if (editor.outline) editor.set({ outline: null });
}
