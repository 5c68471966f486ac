// SPDX-License-Identifier: Apache-2.0
/** The dialog that chooses a picture: an example, or a photograph and its label map. */

import { base64 } from "./bytes.js";
import { byId, element, takeFiles, thumbnail } from "./dom.js";

const NO_PHOTO = "Choose a photograph.";
const NO_LABELS =
  "Choose its label map too. `scam data label` makes label maps of photographs; a studio started" +
  " with --parser makes them itself.";

const loaded = new Map(); // example's name -> its picture
let answer = null; // resolves the promise of the choice that is open

function done(picture) {
  answer?.(picture);
  answer = null;
  byId("chooser").close();
}

/** Shows the dialog; the picture that was chosen, or null. */
export function choose(server, model, title, files = []) {
  byId("chooser-title").textContent = title;
  byId("own-error").textContent = "";
  byId("own").reset();
  byId("own-labels").required = !model.parser;
  const size = `at most ${Math.floor(model.limits.bytes / 2 ** 20)} MB a file`;
  byId("own-hint").textContent = model.parser
    ? `PNG, JPEG or WebP, ${size}. The label map is a PNG; without one the parser makes it.`
    : `PNG, JPEG or WebP, ${size}. The label map is a PNG whose values are this model’s labels.`;
  give(files);
  byId("chooser").showModal();
  showExamples(server, model);
  return new Promise((resolve) => {
    answer = resolve;
  });
}

export function setUpChooser({ server, session }) {
  const dialog = byId("chooser");
  dialog.addEventListener("close", () => done(null));
  takeFiles(dialog, give);
  byId("own").addEventListener("submit", async (event) => {
    event.preventDefault();
    const [photo] = byId("own-photo").files;
    const [labels] = byId("own-labels").files;
    const missing = !photo ? NO_PHOTO : byId("own-labels").required && !labels ? NO_LABELS : "";
    byId("own-error").textContent = missing;
    if (missing) return;
    dialog.classList.add("busy");
    try {
      const { bytes } = session.model.limits;
      done(await server.load(await given(photo, labels, bytes)));
    } catch (error) {
      // The server calls both files by the photograph’s name.
      const map = (name) => `${name} (label map)`;
      byId("own-error").textContent = error.message.replace(map(photo.name), () => map(labels.name));
    } finally {
      dialog.classList.remove("busy");
    }
  });
}

/** The PICTURE of two files; the label map may be missing. */
async function given(photo, labels, limit) {
  for (const file of [photo, labels]) {
    if (file?.size > limit) {
      const most = Math.floor(limit / 2 ** 20);
      throw new Error(`${file.name}: expected at most ${most} MB`);
    }
  }
  const content = async (file) => (file ? base64(new Uint8Array(await file.arrayBuffer())) : null);
  return { name: photo.name, photo: await content(photo), labels: await content(labels) };
}

/** Puts dropped files into the two fields. A label map is known by its name, else comes second. */
function give(files) {
  const images = files.filter((file) => file.type.startsWith("image/"));
  const like = (file) => /label|mask|seg|parsing/i.test(file.name);
  const jpeg = (file) => file.type === "image/jpeg";
  const maps = images.filter((file) => like(file) && !jpeg(file));
  let [photo, labels] = [images.find((file) => !maps.includes(file)), maps[0]];
  if (images.length === 2 && !labels) {
    photo = images.find(jpeg) ?? images[0];
    labels = images.find((file) => file !== photo);
  } else if (images.length === 1 && photo && byId("own-photo").files.length) {
    [photo, labels] = [undefined, photo];
  }
  for (const [id, file] of [
    ["own-photo", photo],
    ["own-labels", labels],
  ]) {
    if (!file) continue;
    const moved = new DataTransfer();
    moved.items.add(file);
    byId(id).files = moved.files;
  }
}

async function showExamples(server, model) {
  const group = byId("examples");
  byId("examples-title").hidden = !model.examples.length;
  if (group.children.length) return;
  for (const name of model.examples) {
    const card = element("button", { type: "button", title: name, "aria-label": name });
    card.addEventListener("click", async () => {
      try {
        done(await example(server, name));
      } catch (error) {
        byId("own-error").textContent = error.message;
      }
    });
    group.append(card);
  }
  for (const card of group.children) {
    const picture = await example(server, card.title).catch(() => null);
    card.append(picture ? thumbnail(picture.photo) : card.title);
  }
}

/** An example of the model's own data, loaded once. */
export async function example(server, name) {
  if (!loaded.has(name)) loaded.set(name, await server.load({ name, example: name }));
  return loaded.get(name);
}
