// SPDX-License-Identifier: Apache-2.0
/** Keeps each tab's session in the browser, so that it survives a reload. */

const NAME = "scam studio";
const TABS = "tabs";
const MOST = 8; // sessions of closed tabs that are kept, newest first

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABS);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function run(mode, act) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(TABS, mode);
      const request = act(transaction.objectStore(TABS));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function tab() {
  // crypto.randomUUID is for secure contexts only, which a studio on another machine is not.
  const made = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
  const known = sessionStorage.getItem(NAME) ?? made();
  sessionStorage.setItem(NAME, known);
  return known;
}

/** Keeps the JSON of a session as this tab's. */
export async function keep(session) {
  await run("readwrite", (store) => store.put({ when: Date.now(), session }, tab()));
}

/** This tab's session, or undefined. */
export async function kept() {
  const found = await run("readonly", (store) => store.get(tab()));
  return found?.session;
}

/** Forgets the oldest sessions. */
export async function prune() {
  const keys = await run("readonly", (store) => store.getAllKeys());
  const values = await run("readonly", (store) => store.getAll());
  const oldest = keys
    .map((key, index) => ({ key, when: values[index].when }))
    .filter(({ key }) => key !== tab())
    .sort((a, b) => b.when - a.when)
    .slice(MOST);
  for (const { key } of oldest) await run("readwrite", (store) => store.delete(key));
}
