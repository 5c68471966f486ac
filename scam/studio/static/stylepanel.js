// SPDX-License-Identifier: Apache-2.0
/** Where the chosen label's style comes from: donor, weight, single latents, mean, random. */

import { byId, element, say, slide } from "./dom.js";
import { donors } from "./pictures.js";
import { takeShape } from "./region.js";
import { randomSeed, source, styleOf, withStyle, word } from "./styles.js";

export function setUpStylePanel(context) {
  const { session, editor } = context;
  const show = () => showStyle(context);
  session.addEventListener("pictures", show);
  session.addEventListener("settings", () => {
    // A slider that is being dragged must not be replaced under the pointer.
    if (document.activeElement?.id !== "weight" || !session.busy) show();
  });
  editor.addEventListener("change", show);
  show();
}

function showStyle(context) {
  const { session, editor } = context;
  const label = session.model.labels[editor.label];
  byId("style-title").replaceChildren(
    "Style of ",
    element("em", { textContent: session.nameOf(label.id) }),
  );
  const state = JSON.stringify([
    session.settings,
    editor.label,
    editor.donor,
    session.pictures.size,
  ]);
  const panel = byId("style");
  if (panel.dataset.state === state) return;
  panel.dataset.state = state;
  const focused = panel.contains(document.activeElement) ? document.activeElement.id : null;
  panel.replaceChildren(...parts(context, label));
  if (focused) byId(focused)?.focus();
}

function parts(context, label) {
  const { session, editor } = context;
  const { model } = session;
  if (!model.styles_per_label) {
    return [element("p", { textContent: "This model has one style for the whole image." })];
  }
  if (!label.latents) {
    return [element("p", { textContent: "This model has no style of this label." })];
  }
  const style = styleOf(session.settings.styles, label.id);
  // The weight may have changed since the panel was built.
  const set = (patch, how) => {
    const { styles } = session.settings;
    const changed = patch && { latents: null, weight: 1, ...styleOf(styles, label.id), ...patch };
    session.change(`style of ${session.nameOf(label.id)} ${how}`, { styles: withStyle(styles, label.id, changed) });
  };
  return [
    ...sourceMenu(context, label, style, set),
    ...(style ? weightSlider(session, label, style) : []),
    ...(style && label.latents > 1 ? [latents(label, style, set)] : []),
    buttons(context, label, style, set),
    scene(session, label),
    ...(model.labels.some(({ mean }) => mean) ? [lacking(session)] : []),
  ].filter((part) => part !== null && (editor.donor || part.id !== "shape"));
}

function sourceMenu({ session }, label, style, set) {
  const { settings, model } = session;
  const transferred = settings.subject && !settings.scene.includes(label.id);
  const option = (value, textContent) => element("option", { value, textContent });
  const has = ({ present }) => (label.id in present ? "" : " (lacks it)");
  const menu = element(
    "select",
    { id: "from" },
    option("", transferred ? "the transferred subject" : "the host"),
    ...(transferred && session.host ? [option(`picture:${settings.host}`, "the host")] : []),
    ...donors(session).map((donor) => option(`picture:${donor.id}`, donor.name + has(donor))),
    ...(label.mean ? [option("mean", "the mean of the training images")] : []),
    ...(model.draws_styles ? [option("random", "random")] : []),
  );
  menu.value = word(style);
  menu.addEventListener("input", () => {
    const { value, selectedOptions } = menu;
    const [{ textContent: from }] = selectedOptions;
    const how = value === "random" ? "drawn at random" : `from ${from}`;
    set(value === "" ? null : { from: source(value) }, how);
  });
  return [element("label", { for: "from", textContent: "From" }), menu];
}

function weightSlider(session, label, style) {
  const shown = element("output", { for: "weight", value: style.weight.toFixed(2) });
  const slider = element("input", { id: "weight", type: "range", min: 0, max: 1, step: 0.05 });
  slider.value = style.weight;
  const preview = (weight) => {
    const { styles } = session.settings;
    shown.value = weight.toFixed(2);
    const changed = { ...styleOf(styles, label.id), weight };
    session.preview({ styles: withStyle(styles, label.id, changed) });
  };
  const commit = () => {
    session.commit(`style of ${session.nameOf(label.id)} at weight ${shown.value}`);
  };
  slide(slider, preview, commit);
  return [element("label", { for: "weight" }, "Weight ", shown), slider];
}

function latents(label, style, set) {
  const used = style.latents ?? [...Array(label.latents).keys()];
  const boxes = Array.from({ length: label.latents }, (_, index) => {
    const name = `Latent ${index}`;
    const box = element("input", { type: "checkbox", id: `latent-${index}`, "aria-label": name });
    box.checked = used.includes(index);
    box.addEventListener("input", () => {
      const now = box.checked
        ? [...used, index].sort((a, b) => a - b)
        : used.filter((i) => i !== index);
      // An empty list would be no style at all; the last box stays ticked.
      if (!now.length) {
        box.checked = true;
        return;
      }
      const all = now.length === label.latents;
      const how = all ? "in all latents" : `in latent${now.length > 1 ? "s" : ""} ${now.join(", ")} only`;
      set({ latents: all ? null : now }, how);
    });
    return element("span", {}, box, element("label", { for: box.id, textContent: index }));
  });
  const legend = element("legend", { textContent: "Latents" });
  return element("fieldset", { className: "latents" }, legend, ...boxes);
}

function buttons(context, label, style, set) {
  const { session, editor } = context;
  const button = (id, textContent, onclick) =>
    element("button", { type: "button", id, textContent, onclick });
  const shape = button("shape", "Donor’s shape", () => {
    const donor = session.pictures.get(editor.donor);
    const name = session.nameOf(label.id);
    if (!takeShape(context, donor, label.id)) say(`Donor ${donor.name} has no ${name}.`);
  });
  shape.disabled = !editor.donor;
  const again = () => set({ from: { random: randomSeed() } }, "drawn at random again");
  const reset = button("reset", "Reset", () => set(null, "reset"));
  reset.disabled = !style;
  return element(
    "div",
    { className: "buttons" },
    shape,
    ...(word(style) === "random" ? [button("again", "Another one", again)] : []),
    reset,
  );
}

function scene(session, label) {
  const box = element("input", { type: "checkbox", id: "scene" });
  const { scene: kept } = session.settings;
  box.checked = kept.includes(label.id);
  box.addEventListener("input", () => {
    const now = box.checked
      ? [...kept, label.id].sort((a, b) => a - b)
      : kept.filter((id) => id !== label.id);
    const how = box.checked ? "kept" : "included";
    session.change(`style of ${session.nameOf(label.id)} ${how} in transfers`, { scene: now });
  });
  const text = "Keep the host’s style in transfers";
  return element(
    "span",
    { className: "check" },
    box,
    element("label", { for: "scene", textContent: text }),
  );
}

function lacking(session) {
  const option = (value, textContent) => element("option", { value, textContent });
  const menu = element(
    "select",
    { id: "absent" },
    option("related", "its nearest label’s style"),
    option("background", "the host’s style"),
    option("mean", "the mean style"),
  );
  menu.value = session.settings.absent;
  menu.addEventListener("input", () => {
    const [{ textContent: from }] = menu.selectedOptions;
    session.change(`if a donor lacks a label, ${from} is used`, { absent: menu.value });
  });
  const text = "If a donor lacks a label, use";
  return element(
    "span",
    { className: "line" },
    element("label", { for: "absent", textContent: text }),
    menu,
  );
}
