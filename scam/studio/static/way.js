// SPDX-License-Identifier: Apache-2.0
/** How far the result goes from the host to the edit, and whether it is pasted back. */

import { byId } from "./dom.js";

export function setUpWay({ session }) {
  const [amount, paste, feather] = ["amount", "paste", "feather"].map(byId);
  amount.addEventListener("input", () => session.preview({ amount: Number(amount.value) }));
  amount.addEventListener("change", () => session.commit("amount"));
  const pasted = () => session.change("paste back", { paste: paste.checked ? edge() : null });
  const edge = () => Math.min(64, Math.max(0, Math.round(Number(feather.value)) || 0));
  paste.addEventListener("input", pasted);
  feather.addEventListener("change", pasted);
  const show = () => {
    const { settings } = session;
    amount.value = settings.amount;
    byId("amount-shown").value = `${Math.round(100 * settings.amount)} %`;
    paste.checked = settings.paste !== null;
    if (settings.paste !== null) feather.value = settings.paste;
    for (const part of document.querySelectorAll(".for-paste")) part.hidden = !paste.checked;
  };
  session.addEventListener("settings", show);
  show();
}
