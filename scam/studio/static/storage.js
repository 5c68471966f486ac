// SPDX-License-Identifier: Apache-2.0
/** Keeps what each tab works on in the browser, so that it survives a reload. */

const NAME = "scam studio";
const VERSION = 2;
const TABS = "tabs"; // tab -> {when, kept: what keep() was given, its pictures by their IDs}
const PICTURES = "pictures"; // ID -> what the picture was made of; written once, however large
const MOST = 8; // closed tabs whose work is kept, newest first

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const { result } = request;
      for (const store of result.objectStoreNames) result.deleteObjectStore(store);
      for (const store of [TABS, PICTURES]) result.createObjectStore(store);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Calls act(tabs, pictures) in one transaction; what it returns, once all is written. */
async function run(mode, act) {
  const database = await opened();
  try {
    const transaction = database.transaction([TABS, PICTURES], mode);
    const written = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error);
    });
    const stores = [TABS, PICTURES].map((name) => transaction.objectStore(name));
    const [found] = await Promise.all([act(...stores), written]);
    return found;
  } finally {
    database.close();
  }
}

const answered = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

function tab() {
  // crypto.randomUUID is for secure contexts only, which a studio on another machine is not.
  const made = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
  const known = sessionStorage.getItem(NAME) ?? made();
  sessionStorage.setItem(NAME, known);
  return known;
}

/** Keeps what Session.kept gave, and what is chosen, as this tab's. */
export async function keep(kept) {
  await run("readwrite", async (tabs, pictures) => {
    const known = new Set(await answered(pictures.getAllKeys()));
    for (const [id, given] of kept.pictures) if (!known.has(id)) pictures.put(given, id);
    const ids = [...kept.pictures.keys()];
    tabs.put({ when: Date.now(), kept: { ...kept, pictures: ids } }, tab());
  });
}

/** What this tab kept, or undefined. */
export function kept() {
  return run("readonly", async (tabs, pictures) => {
    const found = await answered(tabs.get(tab()));
    if (!found) return undefined;
    const ids = found.kept.pictures;
    const given = await Promise.all(ids.map((id) => answered(pictures.get(id))));
    return { ...found.kept, pictures: new Map(ids.map((id, index) => [id, given[index]])) };
  });
}

/** Forgets the oldest tabs, and pictures that no tab has. */
export function prune() {
  return run("readwrite", async (tabs, pictures) => {
    const names = await answered(tabs.getAllKeys());
    const values = await answered(tabs.getAll());
    const known = names.map((name, index) => ({ name, ...values[index] }));
    const others = known.filter(({ name }) => name !== tab()).sort((a, b) => b.when - a.when);
    const old = others.slice(MOST);
    for (const { name } of old) tabs.delete(name);
    const left = known.filter((each) => !old.includes(each));
    const used = left.flatMap((each) => each.kept.pictures);
    for (const id of await answered(pictures.getAllKeys())) {
      if (!used.includes(id)) pictures.delete(id);
    }
  });
}
