// SPDX-License-Identifier: Apache-2.0
/** Puts the page together. */

import { example, setUpChooser } from "./chooser.js";
import { byId, clearError, fail, say } from "./dom.js";
import { Editor } from "./editor.js";
import { openSession, setUpFiles } from "./files.js";
import { redo, setUpKeyboard, undo } from "./keyboard.js";
import { setUpLabels } from "./labels.js";
import { MapView } from "./mapview.js";
import { setUpPictures, takeHost } from "./pictures.js";
import { ResultView } from "./result.js";
import { Server } from "./server.js";
import { Session } from "./session.js";
import { keep, kept, prune } from "./storage.js";
import { setUpStylePanel } from "./stylepanel.js";
import { setUpToolbar } from "./toolbar.js";
import { Viewport } from "./viewport.js";
import { setUpWay } from "./way.js";

const SETTLED = 200; // milliseconds without a change, after which the session is kept

const WELCOME =
  "Paint on the label map and watch the result, or choose a donor and transfer the subject.";

function setUpHistory(context) {
  const { session } = context;
  byId("undo").addEventListener("click", () => undo(context));
  byId("redo").addEventListener("click", () => redo(context));
  const show = () => {
    byId("undo").disabled = !session.history.done.length;
    byId("redo").disabled = !session.history.undone.length;
  };
  session.addEventListener("committed", show);
  show();
}

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

/** Keeps the session in the browser whenever it has settled. */
function keepAlways(session) {
  let timer;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      await keep(await session.json({ pictures: true })).catch(fail);
    }, SETTLED);
  };
  for (const kind of ["committed", "pictures"]) session.addEventListener(kind, later);
}

/** The tab's own session if there is one, else the first example with the second as its donor. */
async function begin(context) {
  const { session, server } = context;
  const { examples } = session.model;
  const before = await kept().catch(() => undefined);
  if (before?.host && before.model === session.model.model) {
    try {
      await openSession(context, before);
      session.forget();
      return;
    } catch (error) {
      fail(new Error(`The last session does not open: ${error.message}`));
    }
  }
  if (!examples.length) {
    await context.changeHost();
    return;
  }
  takeHost(session, await example(server, examples[0]));
  session.forget();
  for (const name of examples.slice(1, 4)) session.addPicture(await example(server, name));
}

async function main() {
  const server = new Server();
  const model = await server.model();
  const { title, kind, size, device } = model;
  byId("model").textContent = `${title} · ${kind} · ${size[1]} × ${size[0]} · ${device}`;
  document.title = `${title} – scam studio`;
  byId("error-close").addEventListener("click", clearError);
  const context = {
    server,
    session: new Session(model),
    editor: new Editor(),
    viewport: new Viewport(),
  };
  context.editor.label = Math.min(1, model.labels.length - 1);
  setUpZoom(context);
  context.view = new MapView(context, context.viewport);
  context.result = new ResultView(context, context.viewport);
  setUpToolbar(context);
  setUpLabels(context);
  setUpChooser(context);
  setUpPictures(context);
  setUpStylePanel(context);
  setUpWay(context);
  setUpFiles(context);
  setUpHistory(context);
  setUpKeyboard(context);
  context.result.show("result");
  await begin(context);
  keepAlways(context.session);
  say(WELCOME);
  await prune().catch(() => undefined);
}

main().catch(fail);
