// SPDX-License-Identifier: Apache-2.0
/**
 * The one state of the page: pictures, the label map, and what is to be made of them.
 *
 * Every change is a step that can be undone. Events: "map" (labels changed, perhaps in the middle
 * of a stroke), "settings", "pictures" (one was added), "committed" (a step is whole), and "step",
 * whose detail is the name of a step that was made, or null if it changed nothing.
 */

import { decoded, encoded } from "./bytes.js";
import { applied, difference, History } from "./history.js";

export const FORMAT = "scam session 1";

const FRESH = {
  host: null,
  subject: null,
  scene: [0],
  absent: "related",
  styles: [],
  amount: 1,
  paste: null,
  refine: 0,
  /** IDs of pictures that were removed from the page; undo brings them back. Not in files. */
  away: [],
};

export class Session extends EventTarget {
  settings = FRESH;
  map = { labels: new Uint8Array(0), width: 0, height: 0 };
  /** ID -> {id, name, width, height, present, given, photo: ImageBitmap, map}. */
  pictures = new Map();
  history = new History();
  #start = null;

  constructor(model) {
    super();
    this.model = model;
  }

  get host() {
    return this.pictures.get(this.settings.host);
  }

  /** A label's name for people. */
  nameOf(label) {
    return this.model.labels[label].name.replaceAll("_", " ");
  }

  addPicture(picture) {
    this.pictures.set(picture.id, picture);
    this.#tell("pictures");
  }

  /** Begins a step: what is changed from here on is taken back in one go. */
  begin() {
    this.#start ??= {
      map: { ...this.map, labels: this.map.labels.slice() },
      settings: this.settings,
    };
  }

  /** The label map as it was when the step began. */
  get before() {
    return (this.#start ?? this).map;
  }

  /** Whether a step has begun and is not whole yet. */
  get busy() {
    return this.#start !== null;
  }

  /** Says that the labels of this.map were changed in place. */
  touched() {
    this.#tell("map");
  }

  /** Changes settings within a step. */
  preview(patch) {
    this.begin();
    this.settings = { ...this.settings, ...patch };
    this.#tell("settings");
  }

  /** Ends the step under a name for people: "hair drawn". One that changed nothing is forgotten. */
  commit(name) {
    if (!this.#start) return;
    const { map, settings } = this.#start;
    this.#start = null;
    const change = difference(map, this.map);
    const same = !change && JSON.stringify(settings) === JSON.stringify(this.settings);
    if (!same) {
      this.history.push({ name, map: change, settings: [settings, this.settings] });
      this.#tell("committed");
    }
    this.dispatchEvent(new CustomEvent("step", { detail: same ? null : name }));
  }

  /** Takes back an unfinished step. */
  cancel() {
    if (!this.#start) return;
    ({ map: this.map, settings: this.settings } = this.#start);
    this.#start = null;
    this.#tell("map", "settings");
  }

  /** One step that changes settings and nothing else. */
  change(name, patch) {
    this.preview(patch);
    this.commit(name);
  }

  /** One step that replaces the label map, and settings if there are any. */
  replace(name, map, patch = {}) {
    this.begin();
    this.map = { ...map, labels: map.labels.slice() };
    this.settings = { ...this.settings, ...patch };
    this.#tell("settings", "map");
    this.commit(name);
  }

  /** The name of the step that was taken back, or null. */
  undo() {
    return this.busy ? null : this.#travel(this.history.undo(), "before", 0);
  }

  /** The name of the step that was done again, or null. */
  redo() {
    return this.busy ? null : this.#travel(this.history.redo(), "after", 1);
  }

  /** Forgets the steps so far: what the page opens by itself is none that anyone would undo. */
  forget() {
    this.history = new History();
    this.#tell("committed");
  }

  /** The body of a request; with `pictures` also what a file of the session holds. */
  async json({ pictures = false } = {}) {
    const { width, height, labels } = this.map;
    // Settings are read before the wait: body and label map belong to the same moment.
    const { away, ...settings } = this.settings;
    const packed = await encoded(labels.slice());
    const shown = [...this.pictures.values()].filter(({ id }) => !away.includes(id));
    const given = shown.map((picture) => [picture.id, picture.given]);
    return {
      format: FORMAT,
      model: this.model.model,
      label_names: this.model.labels.map((label) => label.name),
      ...(pictures && { threads: this.model.threads, pictures: Object.fromEntries(given) }),
      ...settings,
      map: { width, height, zlib: packed },
    };
  }

  /** What the browser keeps of the page, and {@link Session.restore} brings back. */
  async kept() {
    const { settings, map } = this;
    const given = [...this.pictures.values()].map((picture) => [picture.id, picture.given]);
    return {
      model: this.model.model,
      settings,
      map: { ...map, labels: map.labels.slice() },
      history: await this.history.packed(),
      pictures: new Map(given),
    };
  }

  /** Takes over what was kept; its pictures are there already. */
  async restore({ settings, map, history }) {
    this.history = await History.unpacked(history);
    this.settings = { ...FRESH, ...settings };
    this.map = map;
    this.#tell("settings", "map", "committed");
  }

  /** One step to what a session file says; its pictures are there already. */
  async open(file) {
    const { width, height, zlib } = file.map;
    const labels = await decoded(zlib);
    if (labels.length !== width * height) throw new Error("its label map is cut short");
    const patch = Object.fromEntries(
      Object.keys(FRESH).map((key) => [key, file[key] ?? FRESH[key]]),
    );
    patch.away = this.settings.away.filter((id) => !(id in file.pictures));
    this.replace("session opened", { labels, width, height }, patch);
  }

  #travel(step, side, index) {
    if (!step) return null;
    this.map = applied(this.map, step.map, side);
    this.settings = step.settings[index];
    this.#tell("settings", "map", "committed");
    return step.name;
  }

  #tell(...kinds) {
    for (const kind of kinds) this.dispatchEvent(new Event(kind));
  }
}
