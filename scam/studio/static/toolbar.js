// SPDX-License-Identifier: Apache-2.0
/** Buttons of the tools and their options. */

import { byId, element, say } from "./dom.js";
import { remove, transform } from "./region.js";
import { TOOLS } from "./tools.js";

// Paths in a 24 x 24 box, drawn as lines.
const ICONS = {
  brush: "M20 4 10.5 13.5M9 13c-3 0-4 2-4 4s-1 3-2 3c4 1 9 0 9-4a3 3 0 0 0-3-3",
  eraser: "M5 15 14 5l6 6-8 9H8zM9.5 10l6 6M12 20h8",
  rectangle: "M4 6h16v12H4z",
  lasso: "M8 17C2 14 3 5 12 5s11 8 4 11c-3 1-7 1-8-1s2-3 3-1-1 5-4 6",
  fill: "M11 4 4 11l7 7 7-7zM4 11h14M20 15c1 2 1 4 0 5-1-1-1-3 0-5",
  eyedropper: "M13 7l4 4M15 9l-8 8-3 3 1-4 8-8 3-3a2.1 2.1 0 0 1 3 3l-3 3",
  region: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M12 8v8M8 12h8",
};

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Arrow keys go around in a group of radio buttons; only the chosen one is in the tab order. */
export function radios(group) {
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = [...group.querySelectorAll("[role=radio]")];
    const at = all.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const next = all[(at + step + all.length) % all.length];
    next.click();
    (group.querySelector("[role=radio][aria-checked=true]") ?? next).focus();
  });
}

export function setUpToolbar(context) {
  const { session, editor } = context;
  const group = byId("tools");
  for (const [name, tool] of Object.entries(TOOLS)) {
    const word = name[0].toUpperCase() + name.slice(1);
    const title = `${word} (${tool.key.toUpperCase()})`;
    const properties = {
      type: "button",
      role: "radio",
      "aria-label": word,
      title,
      id: `tool-${name}`,
    };
    const choose = () => editor.set({ tool: name, outline: null });
    group.append(element("button", { ...properties, onclick: choose }, icon(name)));
  }
  radios(group);

  const numbers = { size: Number, opacity: Number, hole: String };
  for (const [name, type] of Object.entries(numbers)) {
    byId(name).addEventListener("input", (event) =>
      editor.set({ [name]: type(event.target.value) }),
    );
  }
  byId("only").append(
    element("option", { value: "", textContent: "any label" }),
    ...session.model.labels.map(({ id }) =>
      element("option", { value: id, textContent: session.nameOf(id) }),
    ),
  );
  byId("only").addEventListener("input", ({ target }) => {
    editor.set({ only: target.value === "" ? null : Number(target.value) });
  });
  byId("flip-x").addEventListener("click", () => flip(context, "x"));
  byId("flip-y").addEventListener("click", () => flip(context, "y"));
  byId("delete").addEventListener("click", () => remove(context));

  const show = () => showOptions(editor);
  editor.addEventListener("change", show);
  editor.addEventListener("tool", () => say(`Tool: ${editor.tool}.`));
  show();
}

/** Mirrors the selected region along an axis, "x" or "y". */
export function flip(context, axis) {
  transform(context, "region flipped", ({ mirrored }) => ({
    mirrored: { ...mirrored, [axis]: !mirrored[axis] },
  }));
}

function showOptions(editor) {
  for (const name of Object.keys(TOOLS)) {
    const button = byId(`tool-${name}`);
    button.setAttribute("aria-checked", name === editor.tool);
    button.tabIndex = name === editor.tool ? 0 : -1;
  }
  const tool = TOOLS[editor.tool];
  byId("hint").textContent = tool.hint;
  byId("size").value = editor.size;
  byId("size-shown").value = `${editor.size} px`;
  byId("opacity").value = editor.opacity;
  byId("hole").value = editor.hole;
  byId("only").value = editor.only ?? "";
  const region = editor.tool === "region";
  for (const part of document.querySelectorAll(".for-size")) part.hidden = !tool.sized;
  for (const part of document.querySelectorAll(".for-region")) part.hidden = !region;
  for (const id of ["flip-x", "flip-y", "delete"]) byId(id).disabled = !editor.floating;
}
