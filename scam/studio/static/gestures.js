// SPDX-License-Identifier: Apache-2.0
/** Mouse, pen and fingers on a pane: one draws, two (or the wheel, or the held space bar) move. */

const HELD = { space: false };

for (const type of ["keydown", "keyup"]) {
  window.addEventListener(type, (event) => {
    if (event.code === "Space") HELD.space = type === "keydown";
  });
}

window.addEventListener("blur", () => {
  HELD.space = false;
});

/**
 * Calls `hand.down(point)`, `move(point)` and `up(point)` for what one pointer draws, in map pixels,
 * `cancel()` where it turned out to be something else, and `hover(point or null)`.
 */
export function listen(pane, hand) {
  const { canvas, viewport } = pane;
  const pointers = new Map();
  let doing = null; // "draw", "move" or null

  const moved = (event) => {
    const last = pointers.get(event.pointerId);
    const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
    const other = [...pointers.keys()].find((id) => id !== event.pointerId);
    if (other !== undefined) {
      const apart = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
      const fixed = pointers.get(other);
      viewport.zoomBy(apart(event, fixed) / apart(last, fixed), pane.toMap(fixed));
    }
    const fingers = pointers.size;
    viewport.pan(-dx / pane.scale / fingers, -dy / pane.scale / fingers);
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    if (pointers.size > 1 || event.button === 1 || HELD.space) {
      if (doing === "draw") hand.cancel();
      doing = "move";
    } else if (event.button === 0) {
      doing = "draw";
      hand.down(pane.toMap(event));
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    if (doing === "move" && pointers.has(event.pointerId)) {
      moved(event);
      pointers.set(event.pointerId, event);
    } else if (doing === "draw" && pointers.has(event.pointerId)) {
      // A fast pointer reports several places at once.
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length ? all : [event]) hand.move(pane.toMap(each));
    }
    hand.hover(pane.toMap(event));
  });

  const ended = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (doing === "draw") {
      if (event.type === "pointerup") hand.up(pane.toMap(event));
      else hand.cancel();
    }
    if (doing === "draw" || pointers.size === 0) doing = null;
  };
  canvas.addEventListener("pointerup", ended);
  canvas.addEventListener("pointercancel", ended);
  canvas.addEventListener("pointerleave", () => hand.hover(null));
  canvas.addEventListener("auxclick", (event) => event.preventDefault());

  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      // A notch of a wheel is some 100 pixels; a pinch on a touch pad comes as small steps.
      const speed = event.ctrlKey ? 0.01 : 0.002;
      viewport.zoomBy(Math.exp(-event.deltaY * speed), pane.toMap(event));
    },
    { passive: false },
  );
}
