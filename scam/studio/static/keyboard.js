// SPDX-License-Identifier: Apache-2.0
/** Everything by keyboard: shortcuts anywhere, and drawing where the label map has the focus. */

import { byId, element, say } from "./dom.js";
import { transfer } from "./pictures.js";
import { remove, transform } from "./region.js";
import { flip } from "./toolbar.js";
import { TOOLS } from "./tools.js";

const PAUSE = 700; // milliseconds within which two digits are one number
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const HELP = [
  ["B E R L F I V", "brush, eraser, rectangle, lasso, fill, eyedropper, region"],
  ["0 to 9", "choose the label of that number; two digits in a row for more"],
  ["[ ]", "smaller or larger brush"],
  ["T", "transfer the subject, or remove the transfer"],
  ["C D A", "compare, difference, attention"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"],
  ["+ − Home", "zoom in, zoom out, show all; also the wheel or two fingers"],
  ["Space and drag", "move the view"],
  ["H J Delete", "flip or delete the selected region"],
  ["Delete on a donor", "remove it from the page"],
  ["Tab to the map, arrows", "move the cursor or the selected region (Shift: ten pixels)"],
  ["Enter, Escape", "on the map: start or finish drawing, cancel"],
  ["?", "this help"],
];

export function undo({ session }) {
  const name = session.undo();
  say(name ? `Undone: ${name}.` : "Nothing to undo.");
}

export function redo({ session }) {
  const name = session.redo();
  say(name ? `Redone: ${name}.` : "Nothing to redo.");
}

export function setUpKeyboard(context) {
  for (const [keys, words] of HELP) {
    byId("keys").append(
      element("dt", { textContent: keys }),
      element("dd", { textContent: words }),
    );
  }
  byId("show-help").addEventListener("click", () => byId("help").showModal());
  window.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.target.matches("input:not([type=range], [type=checkbox]), select")) return;
    if (event.target.type === "range" && event.key === "Home") return;
    const handled = event.ctrlKey || event.metaKey ? command(context, event) : key(context, event);
    if (handled) event.preventDefault();
  });
}

function command(context, event) {
  const letter = event.key.toLowerCase();
  if (letter === "z") (event.shiftKey ? redo : undo)(context);
  else if (letter === "y") redo(context);
  else return false;
  return true;
}

function key(context, event) {
  if (event.altKey) return false;
  if (event.target === byId("map") && onMap(context, event)) return true;
  const act = shortcuts(context)[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) act();
  else if (/^\d$/.test(event.key)) digit(context, event);
  else return false;
  return true;
}

function shortcuts(context) {
  const { editor, viewport, result } = context;
  const size = (by) => editor.set({ size: Math.min(100, Math.max(1, editor.size + by)) });
  const tools = Object.entries(TOOLS).map(([tool, each]) => [
    each.key,
    () => editor.set({ tool, outline: null }),
  ]);
  const step = editor.size < 12 ? 1 : 4;
  return {
    ...Object.fromEntries(tools),
    "[": () => size(-step),
    "]": () => size(step),
    t: () => transfer(context),
    c: () => result.show("compare"),
    d: () => result.show("difference"),
    a: () => result.show("attention"),
    h: () => flip(context, "x"),
    j: () => flip(context, "y"),
    Delete: () => remove(context),
    Backspace: () => remove(context),
    "+": () => viewport.zoomBy(1.25),
    "=": () => viewport.zoomBy(1.25),
    "-": () => viewport.zoomBy(0.8),
    Home: () => viewport.fit(),
    "?": () => byId("help").showModal(),
  };
}

let typed = { text: "", when: -PAUSE };

function digit({ session, editor }, { key: typedKey, timeStamp }) {
  const known = (text) => Number(text) < session.model.labels.length;
  const longer = typed.text + typedKey;
  const text = timeStamp - typed.when < PAUSE && known(longer) ? longer : typedKey;
  typed = { text, when: timeStamp };
  if (known(text)) editor.set({ label: Number(text) });
}

/** Keys while the label map has the focus: a cursor that tools follow as they follow a pointer. */
function onMap(context, event) {
  const { session, editor, view } = context;
  if (!session.host) return false;
  const { width, height } = session.map;
  const at = editor.cursor ?? { x: Math.floor(width / 2) + 0.5, y: Math.floor(height / 2) + 0.5 };
  const pace = event.shiftKey ? 10 : 1;
  if (event.key in ARROWS) {
    const [dx, dy] = ARROWS[event.key].map((step) => step * pace);
    if (editor.tool === "region" && editor.floating && !view.drawing) {
      transform(context, "region moved", ({ box }) => ({
        box: { ...box, x: box.x + dx, y: box.y + dy },
      }));
      return true;
    }
    const held = (value, most) => Math.min(most - 0.5, Math.max(0.5, value));
    const to = { x: held(at.x + dx, width), y: held(at.y + dy, height) };
    if (view.drawing) view.move(to);
    view.hover(to);
  } else if (event.key === "Enter") {
    if (view.drawing) view.up(at);
    else view.down(at);
    if (view.drawing && !TOOLS[editor.tool].drawn) view.up(at);
    view.hover(at);
  } else if (event.key === "Escape") {
    view.cancel();
    editor.set({ floating: null });
  } else {
    return event.key === " ";
  }
  return true;
}
