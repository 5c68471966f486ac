// SPDX-License-Identifier: Apache-2.0
/** The result: asked for as the session changes, and shown beside the label map. */

import { AttentionView } from "./attention.js";
import { byId, clearError, element, fail, say } from "./dom.js";
import { listen } from "./gestures.js";
import { Newest } from "./server.js";
import { radios } from "./toolbar.js";
import { Pane } from "./viewport.js";

const MODES = {
  result: { name: "Result", line: "Result." },
  compare: { name: "Compare", line: "Compare: photograph left of the divider, result right of it." },
  difference: { name: "Difference", line: "Difference between photograph and result." },
  attention: { name: "Attention" }, // whose line depends on the label
};
const PATIENCE = 250; // milliseconds until a waiting pane looks like one

export class ResultView {
  mode = "result";
  /** Where the photograph ends and the result begins, 0 to 1. */
  divider = 0.5;
  /** {canvas, host, milliseconds} of the last answer, or null. */
  last = null;
  #difference = null;
  #held = null;

  constructor(context, viewport) {
    this.context = context;
    this.pane = new Pane(byId("result"), viewport, (canvas) => this.#draw(canvas));
    this.attention = new AttentionView(context, () => this.pane.redraw());
    this.newest = new Newest((signal) => this.#ask(signal));
    listen(this.pane, this);
    this.#setUpModes();
    const { session } = context;
    if (session.model.slow) {
      // Only whole steps: what is asked for in the middle of a stroke would come after its end.
      session.addEventListener("committed", () => this.newest.ask({ drop: true }));
    } else {
      session.addEventListener("map", () => this.newest.ask());
      session.addEventListener("settings", () => this.newest.ask({ drop: true }));
    }
    byId("divider").addEventListener("input", ({ target }) => {
      this.divider = Number(target.value);
      this.pane.redraw();
    });
  }

  show(mode) {
    const before = this.mode;
    const offered = byId(`mode-${mode}`) !== null;
    this.mode = offered && mode !== this.mode ? mode : "result";
    for (const name of Object.keys(MODES)) {
      const button = byId(`mode-${name}`);
      button?.setAttribute("aria-checked", name === this.mode);
      if (button) button.tabIndex = name === this.mode ? 0 : -1;
      for (const part of document.querySelectorAll(`.for-${name}`))
        part.hidden = name !== this.mode;
    }
    if (this.mode !== before) say(MODES[this.mode].line ?? this.attention.line);
    this.attention.watch(this.mode === "attention");
    this.pane.redraw();
  }

  // One finger or the mouse moves the divider where there is one, else the picture.
  down(point) {
    this.#held = point;
    this.move(point);
  }

  move(point) {
    if (!this.#held) return;
    const { viewport } = this.pane;
    if (this.mode !== "compare") {
      viewport.pan(this.#held.x - point.x, this.#held.y - point.y);
      return;
    }
    this.divider = Math.min(1, Math.max(0, point.x / viewport.size.width));
    byId("divider").value = this.divider;
    this.pane.redraw();
  }

  up() {
    this.#held = null;
  }

  cancel() {
    this.#held = null;
  }

  hover() {}

  #setUpModes() {
    const group = byId("modes");
    for (const [mode, { name: textContent }] of Object.entries(MODES)) {
      if (mode === "attention" && !this.context.session.model.attention) continue;
      const properties = { type: "button", role: "radio", id: `mode-${mode}`, textContent };
      const show = () => {
        if (mode !== this.mode) this.show(mode);
      };
      group.append(element("button", { ...properties, onclick: show }));
    }
    radios(group);
  }

  async #ask(signal) {
    const { session, server } = this.context;
    const { host } = session;
    if (!host) return;
    const { canvas } = this.pane;
    canvas.ariaBusy = true;
    const waiting = setTimeout(() => canvas.classList.add("busy"), PATIENCE);
    const watching = setInterval(() => this.#showProgress(signal), PATIENCE);
    try {
      const result = await server.result(await session.json(), signal);
      // Another host was taken meanwhile: this answer belongs to a picture that is gone.
      if (session.host !== host) return;
      this.#take(result, host);
      clearError();
    } catch (error) {
      if (!signal.aborted) fail(error);
    } finally {
      clearTimeout(waiting);
      clearInterval(watching);
      byId("working").hidden = true;
      canvas.classList.remove("busy");
      canvas.ariaBusy = this.newest.stale;
    }
  }

  /** How far the server is with what takes it a while. */
  async #showProgress(signal) {
    const { doing, share } = await this.context.server.progress().catch(() => ({}));
    const { canvas } = this.pane;
    if (!doing || signal.aborted || !canvas.classList.contains("busy")) return;
    byId("working").hidden = false;
    byId("doing").textContent = `${doing}: ${Math.round(100 * share)} %`;
    byId("progress").value = share;
  }

  #take({ pixels, milliseconds, notes }, host) {
    const canvas = new OffscreenCanvas(pixels.width, pixels.height);
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    this.last = { canvas, pixels, host };
    this.#difference = null;
    const seconds = milliseconds / 1000;
    const took = seconds < 1 ? `${Math.round(milliseconds)} ms` : `${seconds.toFixed(1)} s`;
    byId("latency").textContent = `${pixels.height}x${pixels.width} (height x width), ${took}`;
    const list = byId("notes");
    if (notes.join("\n") !== [...list.children].map((item) => item.textContent).join("\n")) {
      list.replaceChildren(...notes.map((textContent) => element("li", { textContent })));
      list.tabIndex = list.scrollHeight > list.clientHeight ? 0 : -1; // to scroll by keyboard
    }
    byId("result").dispatchEvent(new Event("shown"));
    this.pane.redraw();
  }

  #draw(canvas) {
    const { width, height } = this.context.session.map;
    if (!this.last || this.last.host !== this.context.session.host) return;
    canvas.imageSmoothingQuality = "high";
    const { canvas: result, host } = this.last;
    canvas.drawImage(result, 0, 0, width, height);
    if (this.mode === "difference") {
      this.#difference ??= difference(this.last);
      canvas.drawImage(this.#difference, 0, 0, width, height);
    } else if (this.mode === "attention") {
      this.attention.draw(canvas, width, height);
    } else if (this.mode === "compare") {
      this.#drawComparison(canvas, host.photo, width, height);
    }
  }

  #drawComparison(canvas, photo, width, height) {
    const at = this.divider * width;
    canvas.save();
    canvas.beginPath();
    canvas.rect(0, 0, at, height);
    canvas.clip();
    canvas.drawImage(photo, 0, 0, width, height);
    canvas.restore();
    const pixel = 1 / this.pane.scale;
    canvas.fillStyle = "rgb(0 0 0 / 60%)";
    canvas.fillRect(at - 1.5 * pixel, 0, 3 * pixel, height);
    canvas.fillStyle = "white";
    canvas.fillRect(at - 0.75 * pixel, 0, 1.5 * pixel, height);
  }
}

// From no change to half the range of a channel and above: dark, violet, orange, nearly white.
const RAMP = [
  [8, 8, 24],
  [104, 32, 120],
  [240, 112, 48],
  [255, 248, 216],
];

/** A canvas of the largest difference of the three channels from the photograph. */
function difference({ pixels, host }) {
  const { width, height } = pixels;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(host.photo, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height);
  for (let at = 0; at < image.data.length; at += 4) {
    const apart = [0, 1, 2].map((i) => Math.abs(image.data[at + i] - pixels.data[at + i]));
    const place = Math.min(2.999, (Math.max(...apart) / 128) * 3);
    const [low, high, rest] = [RAMP[Math.floor(place)], RAMP[Math.floor(place) + 1], place % 1];
    for (let i = 0; i < 3; i++) image.data[at + i] = low[i] + (high[i] - low[i]) * rest;
    image.data[at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
