// SPDX-License-Identifier: Apache-2.0
/** Files out of the page and session files into it. */

import { byId, element, fail, say } from "./dom.js";
import { FORMAT } from "./session.js";

export function setUpFiles(context) {
  const close = ({ target, key }) => {
    if (key === "Escape" || (!key && !byId("save").contains(target))) byId("save").open = false;
  };
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, close);
  for (const button of document.querySelectorAll("[data-file]")) {
    button.addEventListener("click", () => download(context, button.dataset.file));
  }
  byId("save-session").addEventListener("click", () => downloadSession(context));
  byId("open").addEventListener("click", () => byId("session-file").click());
  byId("session-file").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (!file) return;
    try {
      await openSession(context, parsed(await file.text()));
      say(`${file.name} opened.`);
    } catch (error) {
      fail(new Error(`${file.name}: ${error.message}`));
    }
  });
}

/** Hands in the pictures of a session's JSON and makes it the page's. */
export async function openSession({ server, session }, file) {
  if (file.model !== session.model.model) {
    throw new Error("was made with another model; open it in a studio of that model");
  }
  const pictures = [];
  for (const [id, given] of Object.entries(file.pictures ?? {})) {
    const picture = await server.load(given);
    if (picture.id !== id) throw new Error(`${given.name} has changed since the session was saved`);
    pictures.push(picture);
  }
  for (const picture of pictures) session.addPicture(picture);
  await session.open(file);
}

function parsed(text) {
  let file;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error("is not JSON, expected a session");
  }
  const whole = file?.format === FORMAT && file.map?.zlib && file.pictures?.[file.host];
  if (!whole) throw new Error(`expected a complete session of the format ${FORMAT}`);
  return file;
}

async function download(context, name) {
  byId("save").open = false;
  const { server, session } = context;
  if (!session.host) return;
  try {
    save(await server.file(name, await session.json()), `${stem(session)}_${name}`);
  } catch (error) {
    fail(error);
  }
}

async function downloadSession({ session }) {
  byId("save").open = false;
  if (!session.host) return;
  const text = JSON.stringify(await session.json({ pictures: true }));
  save(new Blob([text], { type: "application/json" }), `${stem(session)}_session.json`);
}

/** The host's name as the beginning of a file's. */
function stem(session) {
  return session.host.name.replace(/\.[^.]*$/, "").replace(/[^\w-]+/g, "_");
}

function save(blob, download) {
  const href = URL.createObjectURL(blob);
  element("a", { href, download }).click();
  // The browser reads the address after the click, so it has to live a while.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
  say(`${download} saved.`);
}
