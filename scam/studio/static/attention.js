// SPDX-License-Identifier: Apache-2.0
/**
 * One latent of the chosen label: how much each pixel of the result reads of it or, in a layer of
 * the encoder, where in the host it looked.
 */

import { byId, element, fail, say } from "./dom.js";
import { Newest } from "./server.js";

const TINT = [255, 196, 0]; // seen on skin, cloth and sky, and by the colour-blind

export class AttentionView {
  #watched = false;
  #answer = null; // {label, maps, width, height}
  #overlay = null;
  #drawn;

  /** drawn() is called when there is something else to draw. */
  constructor(context, drawn) {
    this.context = context;
    this.#drawn = drawn;
    this.newest = new Newest(() => this.#ask());
    const { session, editor } = context;
    const { layers } = session.model;
    byId("layer").append(...layers.map((textContent) => element("option", { textContent })));
    // The last one is nearest to the pixels of the result.
    byId("layer").value = layers.at(-1) ?? "";
    byId("layer").addEventListener("input", () => this.newest.ask());
    byId("latent").addEventListener("input", () => this.#draw());
    // After the result, so that the picture comes first.
    byId("result").addEventListener("shown", () => this.newest.ask());
    editor.addEventListener("label", () => this.newest.ask());
  }

  /** What the view shows, for people. */
  get line() {
    const { session, editor } = this.context;
    if (this.#absent) return `Attention: no pixel is ${session.nameOf(editor.label)}.`;
    return this.#inHost
      ? "Attention: yellow pixels of the host are read by the chosen latent of the chosen label."
      : "Attention: yellow pixels read the chosen latent of the chosen label.";
  }

  /** Whether it is an encoder's layer, which looks at the host; else the generator's result. */
  get #inHost() {
    return byId("layer").value.startsWith("encoder");
  }

  /** Whether no pixel has the chosen label. */
  get #absent() {
    const { session, editor } = this.context;
    const map = this.#inHost ? session.host?.map : session.map;
    return !map?.labels.includes(editor.label);
  }

  watch(watched) {
    this.#watched = watched;
    this.newest.ask();
  }

  draw(canvas, width, height) {
    if (this.#inHost) {
      canvas.drawImage(this.context.session.host.photo, 0, 0, width, height);
    }
    canvas.fillStyle = "rgb(0 0 0 / 45%)";
    canvas.fillRect(0, 0, width, height);
    if (this.#overlay) canvas.drawImage(this.#overlay, 0, 0, width, height);
  }

  async #ask() {
    const { session, editor, server } = this.context;
    const { label } = editor;
    if (!this.#watched || !session.host) return;
    const { latents } = session.model.labels[label];
    this.#offerLatents(latents);
    if (!latents || this.#absent) {
      this.#answer = null;
      this.#draw();
      if (latents) say(this.line);
      return;
    }
    try {
      this.#answer = await server.attention(await session.json(), label, byId("layer").value);
      this.#draw();
    } catch (error) {
      fail(error);
    }
  }

  #offerLatents(count) {
    const menu = byId("latent");
    if (menu.options.length === count) return;
    const options = Array.from({ length: count }, (_, index) =>
      element("option", { value: index, textContent: index }),
    );
    menu.replaceChildren(...options);
  }

  #draw() {
    this.#overlay = null;
    const bytes = this.#answer?.maps[Number(byId("latent").value)];
    if (bytes) {
      const { width, height } = this.#answer;
      const image = new ImageData(width, height);
      bytes.forEach((value, at) => image.data.set([...TINT, value * 0.9], 4 * at));
      this.#overlay = new OffscreenCanvas(width, height);
      this.#overlay.getContext("2d").putImageData(image, 0, 0);
    }
    this.#drawn();
  }
}
