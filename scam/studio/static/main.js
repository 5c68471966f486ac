// SPDX-License-Identifier: Apache-2.0
/** Puts the page together. */

import { example, setUpChooser } from "./chooser.js";
import { byId, clearError, fail, say } from "./dom.js";
import { CHOSEN, Editor } from "./editor.js";
import { setUpFiles } from "./files.js";
import { redo, setUpKeyboard, undo } from "./keyboard.js";
import { setUpLabels } from "./labels.js";
import { MapView } from "./mapview.js";
import { setUpPictures, takeHost } from "./pictures.js";
import { ResultView } from "./result.js";
import { Server, ServerError } from "./server.js";
import { Session } from "./session.js";
import { keep, kept, prune } from "./storage.js";
import { setUpStylePanel } from "./stylepanel.js";
import { setUpToolbar } from "./toolbar.js";
import { Viewport } from "./viewport.js";
import { setUpWay } from "./way.js";

const SETTLED = 200; // milliseconds without a change, after which the session is kept

const WELCOME = {
  lends: "Draw on the label map and watch the result, or choose a donor and transfer the subject.",
  alone: "Draw on the label map: the result follows each stroke after some seconds.",
};

function setUpHistory(context) {
  const { session } = context;
  byId("undo").addEventListener("click", () => undo(context));
  byId("redo").addEventListener("click", () => redo(context));
  session.addEventListener("step", ({ detail: name }) => say(name ? sentence(name) : "Nothing changed."));
  const show = () => {
    byId("undo").disabled = !session.history.done.length;
    byId("redo").disabled = !session.history.undone.length;
  };
  session.addEventListener("committed", show);
  show();
}

const sentence = (name) => `${name[0].toUpperCase()}${name.slice(1)}.`;

function setUpZoom({ viewport, session }) {
  byId("zoom-in").addEventListener("click", () => viewport.zoomBy(1.25));
  byId("zoom-out").addEventListener("click", () => viewport.zoomBy(0.8));
  byId("zoom-fit").addEventListener("click", () => viewport.fit());
  session.addEventListener("map", () => {
    const { width, height } = session.map;
    const { size } = viewport;
    if (width && (width !== size.width || height !== size.height)) viewport.fit({ width, height });
  });
}

/** Keeps the session and what is chosen in the browser whenever they have settled. */
function keepAlways({ session, editor }) {
  let timer;
  let told = false;
  const now = async () => {
    try {
      const chosen = Object.fromEntries(CHOSEN.map((name) => [name, editor[name]]));
      await keep({ ...(await session.kept()), chosen });
    } catch (error) {
      // Once: it would be the same after every stroke.
      if (!told) fail(new Error(`The session will be lost on reload: ${error.message}`));
      told = true;
    }
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(now, SETTLED);
  };
  for (const kind of ["committed", "pictures"]) session.addEventListener(kind, later);
  for (const kind of CHOSEN) editor.addEventListener(kind, later);
}

/**
 * Takes over what the tab kept. Pictures come from the server, or else from the browser. Returns
 * a line for people: that it is restored, or which pictures come from neither.
 */
async function restore({ session, editor, server }, before) {
  const lost = [];
  const pictures = new Map();
  for (const [id, given] of before.pictures) {
    try {
      const picture = await server.loadAgain(id, given);
      if (picture.id !== id) throw Object.assign(new ServerError("has changed"), { status: 400 });
      pictures.set(id, picture);
    } catch (error) {
      if (error.status === undefined) throw error; // the server does not answer at all
      lost.push({ id, name: given.name, message: error.message });
    }
  }
  const host = lost.find(({ id }) => id === before.settings.host);
  if (host) throw new Error(`The last session cannot be opened without its host: ${host.message}`);
  for (const picture of pictures.values()) session.addPicture(picture);
  await session.restore(before);
  editor.set({ ...before.chosen });
  if (!lost.length) return "The last session in this tab was restored, with its undo steps.";
  const here = (id) => pictures.has(id);
  const { subject, styles } = session.settings;
  session.change("lost donors removed", {
    subject: here(subject) ? subject : null,
    styles: styles.filter(({ from }) => !from.picture || here(from.picture)),
  });
  session.forget();
  const names = lost.map(({ name }) => name).join(", ");
  return `${names}: no longer available; styles taken from it and earlier undo steps are gone.`;
}

/** The tab's own session if there is one, else the first examples. Returns a line about it. */
async function begin(context) {
  const { session, server } = context;
  const { examples } = session.model;
  const before = await kept().catch(() => undefined);
  let line;
  if (before && before.model !== session.model.model) {
    line = "The last session in this tab was made with another model. This is a new one.";
  } else if (before) {
    try {
      return await restore(context, before);
    } catch (error) {
      if (error instanceof ServerError) throw error;
      line = error.message;
    }
  }
  if (!examples.length) {
    const ask = "Choose the photograph to edit.";
    say(ask);
    await context.changeHost();
    return line ?? (session.host ? undefined : ask);
  }
  takeHost(session, await example(server, examples[0]));
  session.forget();
  const donors = session.model.lends ? examples.slice(1, 4) : [];
  for (const name of donors) session.addPicture(await example(server, name));
  return line;
}

async function main() {
  const server = new Server();
  const model = await server.model();
  const { title, kind, size, device } = model;
  byId("model").textContent = `${title} · ${kind} · ${size[0]}x${size[1]} (height x width) · ${device}`;
  document.title = `${title} – scam studio`;
  byId("error-close").addEventListener("click", clearError);
  const context = {
    server,
    session: new Session(model),
    editor: new Editor(),
    viewport: new Viewport(),
  };
  context.editor.label = Math.min(1, model.labels.length - 1);
  for (const part of document.querySelectorAll(".for-lending")) part.hidden = !model.lends;
  for (const button of document.querySelectorAll("[data-file]"))
    button.hidden = !model.files.includes(button.dataset.file);
  setUpZoom(context);
  context.view = new MapView(context, context.viewport);
  setUpLabels(context); // first, as what attention says of a chosen label replaces its line
  context.result = new ResultView(context, context.viewport);
  setUpToolbar(context);
  setUpChooser(context);
  setUpPictures(context);
  setUpStylePanel(context);
  setUpWay(context);
  setUpFiles(context);
  setUpHistory(context);
  setUpKeyboard(context);
  context.result.show("result");
  const line = await begin(context);
  keepAlways(context);
  say(line ?? (model.lends ? WELCOME.lends : WELCOME.alone));
  await prune().catch(() => undefined);
}

main().catch(fail);
