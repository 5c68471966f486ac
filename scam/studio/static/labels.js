// SPDX-License-Identifier: Apache-2.0
/** The list of labels: colour, name, share of the map or "none", whether it is drawn. */

import { byId, element, say } from "./dom.js";
import { shares } from "./labelmap.js";

const MANY = 24; // labels, above which the list can be searched

export function setUpLabels({ session, editor }) {
  const rows = session.model.labels.map(({ id, colour }) =>
    row({ id, colour, name: session.nameOf(id) }, editor),
  );
  byId("labels").append(...rows.map(({ item }) => item));

  const find = byId("find");
  find.hidden = rows.length <= MANY;
  find.addEventListener("input", () => {
    for (const { item, name } of rows) item.hidden = !name.includes(find.value.toLowerCase());
  });

  const showShares = () => {
    const held = shares(session.map);
    rows.forEach(({ item, share }, label) => {
      share.textContent = !session.host ? "" : held[label] ? percent(held[label]) : "none";
      item.classList.toggle("absent", !held[label]);
    });
  };
  const showChoice = () => {
    rows.forEach(({ choose, eye, name }, label) => {
      const hidden = editor.hidden.has(label);
      choose.setAttribute("aria-pressed", label === editor.label);
      eye.setAttribute("aria-pressed", !hidden);
      eye.title = `${hidden ? "Show" : "Hide"} ${name}`;
    });
  };
  editor.addEventListener("change", showChoice);
  editor.addEventListener("label", () => {
    rows[editor.label].item.scrollIntoView({ block: "nearest" });
    say(`Label ${editor.label}: ${session.nameOf(editor.label)}.`);
  });
  session.addEventListener("map", showShares);
  showShares();
  showChoice();
}

/** A share for people: "12 %", "< 1 %". */
export function percent(share) {
  return share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`;
}

function row({ id, name, colour }, editor) {
  const swatch = element("span", { className: "swatch" });
  swatch.style.backgroundColor = colour;
  const share = element("span", { className: "share" });
  const choose = element(
    "button",
    { type: "button", className: "label", onclick: () => editor.set({ label: id }) },
    swatch,
    element("span", { className: "number", textContent: id, "aria-hidden": true }),
    element("span", { className: "name", textContent: name }),
    share,
  );
  const toggle = () => {
    const hidden = new Set(editor.hidden);
    if (!hidden.delete(id)) hidden.add(id);
    editor.set({ hidden });
    say(`${hidden.has(id) ? "Hidden" : "Shown"}: ${name}.`);
  };
  const eye = element("button", {
    type: "button",
    className: "eye",
    "aria-label": `Draw ${name}`,
    onclick: toggle,
  });
  return { item: element("li", {}, choose, eye), choose, eye, share, name: name.toLowerCase() };
}
