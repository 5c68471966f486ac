// SPDX-License-Identifier: Apache-2.0
/** The label map over its photograph, with the tool's cursor, outline and the selected region. */

import { byId } from "./dom.js";
import { listen } from "./gestures.js";
import { handles, letGo } from "./region.js";
import { cancel, TOOLS } from "./tools.js";
import { Pane } from "./viewport.js";

const REACH = 9; // screen pixels around a handle that still catch it

/** Bytes of #rrggbb. */
export function colourBytes(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

export class MapView {
  #last = null;
  #drawing = false;

  constructor(context, viewport) {
    this.context = context;
    this.layer = new OffscreenCanvas(1, 1);
    this.colours = context.session.model.labels.map((label) => colourBytes(label.colour));
    this.pane = new Pane(byId("map"), viewport, (canvas) => this.#draw(canvas));
    listen(this.pane, this);
    const { session, editor } = context;
    session.addEventListener("map", () => {
      if (!this.#drawing) letGo(context);
      this.#drawLayer();
    });
    editor.addEventListener("change", () => this.#drawLayer());
  }

  get tool() {
    return TOOLS[this.context.editor.tool];
  }

  down(point) {
    if (!this.context.session.host) return;
    this.#drawing = true;
    this.#last = point;
    this.tool.down(this.context, point, point, REACH / this.pane.scale);
  }

  move(point) {
    if (!this.#drawing) return;
    this.tool.move(this.context, point, this.#last);
    this.#last = point;
  }

  up(point) {
    if (!this.#drawing) return;
    this.#drawing = false;
    this.tool.up(this.context, point);
  }

  /** Gives up what the pointer has begun. */
  cancel() {
    this.#drawing = false;
    cancel(this.context);
  }

  hover(point) {
    this.context.editor.cursor = point;
    this.pane.redraw();
  }

  /** Whether a tool is in the middle of something. */
  get drawing() {
    return this.#drawing;
  }

  /** Colours of the labels, one canvas pixel each; hidden and unknown ones are clear. */
  #drawLayer() {
    const { session, editor } = this.context;
    const { width, height, labels } = session.map;
    if (!width) return;
    if (this.layer.width !== width || this.layer.height !== height) {
      this.layer.width = width;
      this.layer.height = height;
    }
    const image = new ImageData(width, height);
    const words = new Uint32Array(image.data.buffer);
    const palette = new Uint32Array(256);
    this.colours.forEach(([red, green, blue], label) => {
      const shown = !editor.hidden.has(label);
      palette[label] = shown ? (255 << 24) | (blue << 16) | (green << 8) | red : 0;
    });
    for (let at = 0; at < words.length; at++) words[at] = palette[labels[at]];
    this.layer.getContext("2d").putImageData(image, 0, 0);
    this.pane.redraw();
  }

  #draw(canvas) {
    const { session, editor } = this.context;
    const { width, height } = session.map;
    if (!session.host) return;
    canvas.drawImage(session.host.photo, 0, 0, width, height);
    canvas.imageSmoothingEnabled = false;
    canvas.globalAlpha = editor.opacity;
    canvas.drawImage(this.layer, 0, 0);
    canvas.globalAlpha = 1;
    const pixel = 1 / this.pane.scale;
    if (editor.outline) outlined(canvas, editor.outline.points, pixel);
    if (editor.tool === "region" && editor.floating) this.#drawBox(canvas, pixel);
    if (editor.cursor) this.#drawCursor(canvas, editor.cursor, pixel);
  }

  #drawBox(canvas, pixel) {
    const corners = handles(this.context.editor.floating.box);
    outlined(canvas, [corners.nw, corners.ne, corners.se, corners.sw], pixel);
    for (const { x, y } of Object.values(corners)) {
      canvas.fillStyle = "white";
      canvas.strokeStyle = "black";
      const half = 5 * pixel;
      canvas.fillRect(x - half, y - half, 2 * half, 2 * half);
      canvas.strokeRect(x - half, y - half, 2 * half, 2 * half);
    }
  }

  #drawCursor(canvas, { x, y }, pixel) {
    if (this.tool.sized) {
      ringed(canvas, x, y, this.context.editor.size / 2, pixel);
    } else {
      const arm = 7 * pixel;
      outlined(
        canvas,
        [
          { x: x - arm, y },
          { x: x + arm, y },
        ],
        pixel,
      );
      outlined(
        canvas,
        [
          { x, y: y - arm },
          { x, y: y + arm },
        ],
        pixel,
      );
    }
  }
}

/** A white line on a wider black one: seen on every colour. */
function twice(canvas, pixel) {
  for (const [colour, wide] of [
    ["rgb(0 0 0 / 70%)", 3],
    ["white", 1.25],
  ]) {
    canvas.strokeStyle = colour;
    canvas.lineWidth = wide * pixel;
    canvas.stroke();
  }
}

function outlined(canvas, points, pixel) {
  canvas.beginPath();
  for (const { x, y } of points) canvas.lineTo(x, y);
  canvas.closePath();
  twice(canvas, pixel);
}

function ringed(canvas, x, y, radius, pixel) {
  canvas.beginPath();
  canvas.arc(x, y, radius, 0, 2 * Math.PI);
  twice(canvas, pixel);
}
