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
