// SPDX-License-Identifier: Apache-2.0
/** Host and donors: which pictures are on the page, and which is chosen. */

import { choose } from "./chooser.js";
import { byId, element, fail, say, takeFiles, thumbnail } from "./dom.js";
import { radios } from "./toolbar.js";

/** Makes a picture the host: its label map is the one to edit, styles and subject stay. */
export function takeHost(session, picture) {
  if (!session.pictures.has(picture.id)) session.addPicture(picture);
  const { host, settings } = session;
  const subject = settings.subject === picture.id ? null : settings.subject;
  const away = settings.away.filter((id) => id !== picture.id);
  const name =
    host && host.id !== picture.id
      ? `host changed to ${picture.name}; ${host.name} is a donor now`
      : `host ${picture.name} opened`;
  session.replace(name, picture.map, { host: picture.id, subject, away });
}

/** Pictures that may lend their looks. */
export function donors({ pictures, settings }) {
  const { host, away } = settings;
  return [...pictures.values()].filter(({ id }) => id !== host && !away.includes(id));
}

export function setUpPictures(context) {
  const { server, session, editor } = context;
  radios(byId("donors"));
  const show = () => {
    const known = donors(session);
    if (!known.some(({ id }) => id === editor.donor)) {
      const wanted = known.find(({ id }) => id === session.settings.subject) ?? known[0];
      const donor = wanted?.id ?? null;
      if (donor !== editor.donor) return editor.set({ donor }); // which shows it
    }
    showHost(context);
    showDonors(context, known);
    showTransfer(context);
  };
  for (const kind of ["pictures", "settings"]) session.addEventListener(kind, show);
  editor.addEventListener("donor", show);
  byId("transfer").addEventListener("click", () => transfer(context));
  byId("remove-donor").addEventListener("click", () => removeDonor(context));
  byId("donors").addEventListener("keydown", (event) => {
    if (!["Delete", "Backspace"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    removeDonor(context);
  });
  context.addDonor = async (files = []) => {
    const picture = await choose(server, session.model, "Choose a donor", files);
    if (!picture) return;
    if (picture.id === session.settings.host) {
      fail(new Error(`${picture.name} is the host already: choose another image`));
      return;
    }
    const { away } = session.settings;
    session.addPicture(picture);
    if (away.includes(picture.id)) {
      const others = away.filter((id) => id !== picture.id);
      session.change(`donor ${picture.name} added`, { away: others });
    } else say(`Donor ${picture.name} added.`);
    editor.set({ donor: picture.id });
  };
  context.changeHost = async (files = []) => {
    const picture = await choose(server, session.model, "Choose the host", files);
    if (picture) takeHost(session, picture);
  };
  // Elsewhere on the page a browser would leave it, to show the file.
  takeFiles(document.body, (files) => {
    if (session.model.lends && !document.querySelector("dialog[open]")) context.changeHost(files);
  });
  if (session.model.lends) {
    takeFiles(byId("host"), context.changeHost);
    takeFiles(byId("donor-row"), context.addDonor);
  }
  byId("add-donor").addEventListener("click", () => context.addDonor());
  show();
}

/** Transfers the chosen donor's subject into the host, or removes the transfer. */
export function transfer({ session, editor }) {
  const { donor } = editor;
  if (!donor) return;
  const back = session.settings.subject === donor;
  const { name } = session.pictures.get(donor);
  session.change(back ? "transfer removed" : `subject transferred from ${name}`, {
    subject: back ? null : donor,
  });
}

/** Removes the chosen donor and whatever comes from it. */
function removeDonor({ session, editor }) {
  const { donor } = editor;
  if (!donor) return;
  const { subject, styles, away } = session.settings;
  session.change(`donor ${session.pictures.get(donor).name} removed`, {
    subject: subject === donor ? null : subject,
    styles: styles.filter(({ from }) => from.picture !== donor),
    away: [...away, donor],
  });
}

function showHost({ session, changeHost }) {
  const { host } = session;
  const name = element("span", { textContent: host?.name ?? "No image yet" });
  const change = element("button", { type: "button", id: "change-host", textContent: host ? "Change…" : "Choose…" });
  change.addEventListener("click", () => changeHost());
  const focused = document.activeElement?.id;
  const words = element("div", {}, name, ...(session.model.lends ? [change] : []));
  byId("host").replaceChildren(...(host ? [thumbnail(host.photo)] : []), words);
  if (focused === "change-host") change.focus();
}

function showDonors(context, known) {
  const { session, editor } = context;
  const group = byId("donors");
  const focused = group.contains(document.activeElement);
  const cards = known.map(({ id, name, photo }) => {
    const chosen = id === editor.donor;
    const card = element("button", {
      type: "button",
      role: "radio",
      title: name,
      "aria-label": name,
    });
    card.setAttribute("aria-checked", chosen);
    card.tabIndex = chosen ? 0 : -1;
    card.append(thumbnail(photo));
    card.classList.toggle("used", id === session.settings.subject);
    card.addEventListener("click", () => {
      editor.set({ donor: id });
      byId("donors").querySelector("[aria-checked=true]").focus();
      say(`Donor: ${name}.`);
    });
    return card;
  });
  group.replaceChildren(...cards);
  if (focused) group.querySelector("[aria-checked=true]")?.focus();
}

function showTransfer({ session, editor }) {
  const button = byId("transfer");
  const done = editor.donor !== null && session.settings.subject === editor.donor;
  button.textContent = done ? "Remove transfer" : "Transfer the subject";
  button.disabled = !editor.donor || !session.host;
  button.classList.toggle("primary", !done);
  byId("remove-donor").disabled = !editor.donor;
}
