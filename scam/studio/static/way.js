// SPDX-License-Identifier: Apache-2.0
/** How far the result goes from the host to the edit, that way as a strip, and pasting back. */

import { byId, element, fail, slide } from "./dom.js";
import { Newest } from "./server.js";

export function setUpWay({ server, session }) {
  setUpAmount(session);
  setUpPaste(session);
  setUpRefine(session);
  setUpStrip(server, session);
}

const percent = ({ settings }) => `${Math.round(100 * settings.amount)} %`;

function setUpAmount(session) {
  const amount = byId("amount");
  const preview = (value) => session.preview({ amount: value });
  slide(amount, preview, () => session.commit(`edit strength ${percent(session)}`));
  const show = () => {
    amount.value = session.settings.amount;
    byId("amount-shown").value = percent(session);
  };
  session.addEventListener("settings", show);
  show();
}

function setUpPaste(session) {
  const [paste, feather] = ["paste", "feather"].map(byId);
  const edge = () => Math.min(64, Math.max(0, Math.round(Number(feather.value)) || 0));
  const pasted = () => {
    const name = paste.checked
      ? `result pasted back with a soft edge of ${edge()} px`
      : "result no longer pasted back";
    session.change(name, { paste: paste.checked ? edge() : null });
  };
  paste.addEventListener("input", pasted);
  feather.addEventListener("change", pasted);
  const show = () => {
    const { settings } = session;
    paste.checked = settings.paste !== null;
    if (settings.paste !== null) feather.value = settings.paste;
    for (const part of document.querySelectorAll(".for-paste")) part.hidden = !paste.checked;
  };
  session.addEventListener("settings", show);
  show();
}

function setUpRefine(session) {
  const menu = byId("refine");
  const option = (steps) =>
    element("option", { value: steps, textContent: steps ? `${steps} steps` : "off" });
  menu.append(...[0, 5, 20, 100].map(option));
  menu.addEventListener("input", () => {
    const refine = Number(menu.value);
    session.change(refine ? `latents refined in ${refine} steps` : "latents not refined", { refine });
  });
  session.addEventListener("settings", () => {
    const { refine } = session.settings;
    // A session file may ask for any number of steps.
    if (![...menu.options].some(({ value }) => Number(value) === refine)) {
      menu.append(option(refine));
    }
    menu.value = refine;
  });
}

/** The strip is several results, so it follows whole steps, not every move of the pointer. */
function setUpStrip(server, session) {
  const [button, image] = ["show-strip", "strip"].map(byId);
  const wanted = () => button.getAttribute("aria-pressed") === "true";
  const newest = new Newest(async (signal) => {
    if (!wanted() || !session.host) return;
    try {
      const blob = await server.file("strip.png", await session.json(), signal);
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(blob);
      await image.decode();
      image.hidden = !wanted();
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
  });
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", !wanted());
    image.hidden = true;
    newest.ask();
  });
  session.addEventListener("committed", () => newest.ask({ drop: true }));
}
