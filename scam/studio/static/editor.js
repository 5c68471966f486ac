// SPDX-License-Identifier: Apache-2.0
/**
 * How the label map is worked on: tool, label, donor, size, what may be replaced. Not in session
 * files. Events: "change", and the name of what was CHOSEN where that is another.
 */

/** What a reload keeps. */
export const CHOSEN = ["tool", "label", "donor", "size", "only", "hole", "opacity"];

export class Editor extends EventTarget {
  tool = "brush";
  label = 0;
  /** ID of the donor that is chosen, or null. */
  donor = null;
  /** The width of brush and eraser in map pixels. */
  size = 6;
  /** The only label that may be replaced, or null. */
  only = null;
  /** What closes the hole of a region that moved away: the labels "around", or the "host"'s map. */
  hole = "around";
  /** How much the labels cover the photograph, 0 to 1. */
  opacity = 0.7;
  /** Labels that are not drawn. */
  hidden = new Set();
  /** The region that is picked up (region.js), or null. */
  floating = null;
  /** The outline that a tool is drawing: {points, closed}, in map pixels, or null. */
  outline = null;
  /** Where the pointer or the keyboard's cursor is, or null. */
  cursor = null;

  set(patch) {
    const before = { ...this };
    Object.assign(this, patch);
    const changed = CHOSEN.filter((name) => this[name] !== before[name]);
    for (const kind of ["change", ...changed]) this.dispatchEvent(new Event(kind));
  }

  /** The table of labels that may be replaced (see labelmap.js), or null for all. */
  get over() {
    if (this.only === null) return null;
    const table = new Uint8Array(256);
    table[this.only] = 1;
    return table;
  }
}
