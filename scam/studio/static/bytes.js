// SPDX-License-Identifier: Apache-2.0
/** Bytes in JSON: base64, and zlib for label maps. */

/** Base64 of a Uint8Array. */
export function base64(bytes) {
  let text = "";
  // A call takes a limited number of arguments, so the bytes go in by pieces.
  for (let at = 0; at < bytes.length; at += 32768) {
    text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  }
  return btoa(text);
}

async function through(stream, bytes) {
  const piped = new Blob([bytes]).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(piped).arrayBuffer());
}

/** zlib of bytes ("deflate" is the web's word for zlib, RFC 1950). */
export const deflated = (bytes) => through(new CompressionStream("deflate"), bytes);

/** The bytes of {@link deflated}. */
export const inflated = (bytes) => through(new DecompressionStream("deflate"), bytes);

/** Base64 of zlib of bytes. */
export async function encoded(bytes) {
  return base64(await deflated(bytes));
}

/** The bytes of {@link encoded}. */
export async function decoded(text) {
  return inflated(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)));
}
