// SPDX-License-Identifier: Apache-2.0
/** Zoom and pan, shared by the label map and the result, so that both show the same place. */

const CLOSEST = 40; // zoom, as a multiple of the whole picture in its pane

export class Viewport extends EventTarget {
  /** 1 shows the whole picture. */
  zoom = 1;
  /** The map pixel in the middle of each pane. */
  centre = { x: 0, y: 0 };
  size = { width: 1, height: 1 };

  /** Shows all of a picture of this size. */
  fit({ width, height } = this.size) {
    this.size = { width, height };
    this.zoom = 1;
    this.centre = { x: width / 2, y: height / 2 };
    this.#changed();
  }

  /** Zooms by a factor and keeps the map pixel `at` where it is on the screen. */
  zoomBy(factor, at = this.centre) {
    const zoom = Math.min(CLOSEST, Math.max(1, this.zoom * factor));
    const kept = this.zoom / zoom;
    this.zoom = zoom;
    this.#moveTo(at.x + (this.centre.x - at.x) * kept, at.y + (this.centre.y - at.y) * kept);
  }

  /** Moves by map pixels. */
  pan(dx, dy) {
    this.#moveTo(this.centre.x + dx, this.centre.y + dy);
  }

  #moveTo(x, y) {
    const { width, height } = this.size;
    // At 1 the picture is in the middle; the closer, the further its borders may come in.
    const slack = 0.5 * (1 - 1 / this.zoom);
    const held = (at, size) => Math.min(size * (0.5 + slack), Math.max(size * (0.5 - slack), at));
    this.centre = { x: held(x, width), y: held(y, height) };
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** A canvas that shows a picture through a viewport. */
export class Pane {
  #scheduled = false;
  #draw;

  /** draw(context, pane) draws in map pixels, between a cleared canvas and nothing. */
  constructor(canvas, viewport, draw) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.context = canvas.getContext("2d");
    this.#draw = draw;
    viewport.addEventListener("change", () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(canvas);
  }

  /** Screen pixels (CSS) a map pixel. */
  get scale() {
    const { width, height } = this.viewport.size;
    const { clientWidth, clientHeight } = this.canvas;
    return Math.min(clientWidth / width, clientHeight / height) * this.viewport.zoom;
  }

  /** The point of the map under a pointer, in map pixels. */
  toMap(event) {
    const box = this.canvas.getBoundingClientRect();
    const { centre } = this.viewport;
    return {
      x: (event.clientX - box.left - box.width / 2) / this.scale + centre.x,
      y: (event.clientY - box.top - box.height / 2) / this.scale + centre.y,
    };
  }

  /** Draws at the next frame, however often it is called before. */
  redraw() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#redraw();
    });
  }

  #redraw() {
    const { canvas, context, viewport } = this;
    const ratio = window.devicePixelRatio;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    if (canvas.width !== Math.round(width) || canvas.height !== Math.round(height)) {
      canvas.width = width;
      canvas.height = height;
    }
    const scale = this.scale * ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const { x, y } = viewport.centre;
    context.setTransform(scale, 0, 0, scale, width / 2 - x * scale, height / 2 - y * scale);
    this.#draw(context, this);
  }
}
