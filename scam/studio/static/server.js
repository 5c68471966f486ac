// SPDX-License-Identifier: Apache-2.0
/** What the page asks of the server, and in which order. */

/** A refusal in one line, or a server that does not answer. */
export class ServerError extends Error {}

async function send(path, body, signal) {
  const request = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { ...request, headers, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError("The server does not answer. Is python -m scam.studio still running?");
  }
  if (answer.ok) return answer;
  const told = await answer
    .json()
    .catch(() => ({ error: `the server answered ${answer.status}` }));
  throw Object.assign(new ServerError(told.error), { gone: told.gone, status: answer.status });
}

export class Server {
  /** What each picture was made of, to hand it in again when the server has dropped it. */
  #given = new Map();

  async model() {
    return (await send("/api/model")).json();
  }

  /** Hands in {name, example} or {name, photo, labels}: a picture as Session.pictures has it. */
  async load(given) {
    return this.#loaded(await this.#add(given), given);
  }

  /** The same for a picture of this ID, which is handed in only where the server has it not. */
  async loadAgain(id, given) {
    return this.#loaded(await this.#addOnce(id, given), given);
  }

  /** {doing, share} of what takes the server a while, or {}. */
  async progress() {
    return (await send("/api/progress")).json();
  }

  /** {pixels: ImageData, milliseconds, notes: [string]}. */
  async result(session, signal) {
    const answer = await this.#repeated("/api/result", session, signal);
    const told = (name) => answer.headers.get(`Scam-${name}`);
    const [width, height] = [Number(told("Width")), Number(told("Height"))];
    const colours = new Uint8Array(await answer.arrayBuffer());
    const pixels = new ImageData(width, height);
    for (let from = 0, to = 0; from < colours.length; from += 3, to += 4) {
      pixels.data[to] = colours[from];
      pixels.data[to + 1] = colours[from + 1];
      pixels.data[to + 2] = colours[from + 2];
      pixels.data[to + 3] = 255;
    }
    return {
      pixels,
      milliseconds: Number(told("Milliseconds")),
      notes: JSON.parse(told("Notes")),
    };
  }

  /** How much each pixel reads of each latent of a label: {maps: [Uint8Array], width, height}. */
  async attention(session, label, layer) {
    const answer = await this.#repeated("/api/attention", { session, label, layer });
    const told = (name) => Number(answer.headers.get(`Scam-${name}`));
    const [width, height, latents] = [told("Width"), told("Height"), told("Latents")];
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const size = width * height;
    const maps = Array.from({ length: latents }, (_, i) => bytes.slice(i * size, (i + 1) * size));
    return { maps, width, height };
  }

  /** A file of the server's making: result.png, labels.png, sheet.png or strip.png. */
  async file(name, session, signal) {
    return (await this.#repeated(`/api/files/${name}`, session, signal)).blob();
  }

  /** {id, name, width, height, present} of a picture that is handed in. */
  async #add(given) {
    const picture = await (await send("/api/pictures", given)).json();
    this.#given.set(picture.id, given);
    return picture;
  }

  async #addOnce(id, given) {
    let picture;
    try {
      picture = await (await send(`/api/pictures/${id}`)).json();
    } catch (error) {
      if (error.gone !== id) throw error;
      return this.#add(given);
    }
    this.#given.set(id, given);
    return { ...picture, name: given.name };
  }

  async #loaded(picture, given) {
    const { id, width, height } = picture;
    const parts = ["photo", "labels"].map((part) => this.#repeated(`/api/pictures/${id}/${part}`));
    const [photo, labels] = await Promise.all(parts);
    return {
      ...picture,
      given,
      photo: await createImageBitmap(await photo.blob()),
      map: { labels: new Uint8Array(await labels.arrayBuffer()), width, height },
    };
  }

  /** Hands in pictures that the server no longer holds, one an attempt, and asks again. */
  async #repeated(path, body, signal) {
    for (let left = this.#given.size; ; left--) {
      try {
        return await send(path, body, signal);
      } catch (error) {
        if (!this.#given.has(error.gone) || left <= 0) throw error;
        await this.#add(this.#given.get(error.gone));
      }
    }
  }
}

const PATIENCE = 500; // milliseconds for which a request runs even where its answer is not wanted

/**
 * Runs `task(signal)` once at a time. Of the calls that come in the meantime only the newest is
 * kept, so answers never overtake each other and a slow server is not asked for what nobody waits
 * for. Where a call says `drop`, the answer to the one before is not wanted any more: its signal
 * ends it if it takes longer than a moment.
 */
export class Newest {
  #task;
  #running = null; // {abort, since}
  #waiting = false;

  constructor(task) {
    this.#task = task;
  }

  async ask({ drop = false } = {}) {
    this.#waiting = true;
    if (this.#running) {
      const { abort, since } = this.#running;
      const left = PATIENCE - (performance.now() - since);
      if (drop) setTimeout(() => abort.abort(), Math.max(0, left));
      return;
    }
    while (this.#waiting) {
      this.#waiting = false;
      this.#running = { abort: new AbortController(), since: performance.now() };
      await this.#task(this.#running.abort.signal);
    }
    this.#running = null;
  }

  /** Whether an answer that comes now is already out of date. */
  get stale() {
    return this.#waiting;
  }
}
