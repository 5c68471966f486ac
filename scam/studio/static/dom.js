// SPDX-License-Identifier: Apache-2.0
/** Elements, and what the page says. */

/** The element of an id that index.html has. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. Properties are set as such, `aria-*`, `role` and `for` as attributes, functions
 * under `on*` as listeners.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (/^(aria-|role$|for$)/.test(name)) made.setAttribute(name, String(value));
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

const THUMBNAIL = 192; // pixels of the longer side, for screens of two pixels a CSS pixel

/** A small canvas of a photograph. */
export function thumbnail(photo) {
  const shrink = Math.min(1, THUMBNAIL / Math.max(photo.width, photo.height));
  const size = { width: photo.width * shrink, height: photo.height * shrink };
  const canvas = element("canvas", { ...size, "aria-hidden": true });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Lets files be dropped on an element. */
export function takeFiles(target, take) {
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    event.stopPropagation();
    target.classList.add("dropping");
  });
  target.addEventListener("dragleave", () => target.classList.remove("dropping"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    target.classList.remove("dropping");
    take([...event.dataTransfer.files]);
  });
}

/** A short line below the title, which screen readers read out. */
export function say(text) {
  byId("status").textContent = text;
}

/** Shows what went wrong, in the server's words, until it is closed or the next thing succeeds. */
export function fail(error) {
  byId("error-text").textContent = error.message ?? String(error);
  byId("error").hidden = false;
}

/** A slider whose every move is shown by `preview(value)`; letting it go is one `commit()`. */
export function slide(slider, preview, commit) {
  slider.addEventListener("input", () => preview(Number(slider.value)));
  // "change" does not come where the slider is let go at the value that it had.
  for (const end of ["change", "pointerup", "lostpointercapture"])
    slider.addEventListener(end, commit);
}

export function clearError() {
  byId("error").hidden = true;
}
