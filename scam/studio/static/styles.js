// SPDX-License-Identifier: Apache-2.0
/** The styles of a session: which label's latents come from elsewhere, and from where. */

/** The styles of a session with another one for a label, or with none of its own (null). */
export function withStyle(styles, label, style) {
  const others = styles
    .map((each) => ({ ...each, labels: each.labels.filter((other) => other !== label) }))
    .filter((each) => each.labels.length);
  return style ? [...others, { ...style, labels: [label] }] : others;
}

/** The last word on a label's style, or undefined. */
export function styleOf(styles, label) {
  return styles.findLast((style) => style.labels.includes(label));
}

export const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;

/** The words of a source in the menu, and back: "picture:ID", "mean", "random" or "". */
export function word(style) {
  if (!style) return "";
  const { picture } = style.from;
  return picture ? `picture:${picture}` : style.from.mean ? "mean" : "random";
}

export function source(chosen) {
  if (chosen.startsWith("picture:")) return { picture: chosen.slice("picture:".length) };
  return chosen === "mean" ? { mean: true } : { random: randomSeed() };
}
