// The lines of a graph. Few are drawn with everything else; many in a worker, which this file is, too: it gives pictures
// that the graph lies on, and hands are never kept waiting by ten thousand curves.

import { HEIGHT, WIDTH } from "./layout.js";

const STRAIGHT_BELOW = 0.38; // of natural size
const MOST = 12_000; // in one picture; of more, which nobody could tell apart, some are drawn, evenly taken

// Return the ends of all lines: x1, y1, x2, y2 of each.
export function ends(inputs, xs, ys) {
  const count = inputs.reduce((sum, read) => sum + read.length, 0);
  const found = new Float32Array(count * 4);
  let place = 0;
  inputs.forEach((read, node) => {
    for (const each of read) {
      found[place++] = xs[each] + WIDTH;
      found[place++] = ys[each] + HEIGHT / 2;
      found[place++] = xs[node];
      found[place++] = ys[node] + HEIGHT / 2;
    }
  });
  return found;
}

// Draw what of the lines is between these borders; the pen has the view's scale.
export function paint(pen, lines, { left, top, right, bottom, scale, colour }) {
  const straight = scale < STRAIGHT_BELOW;
  const visible = [];
  for (let at = 0; at < lines.length; at += 4) {
    const x1 = lines[at];
    const y1 = lines[at + 1];
    const x2 = lines[at + 2];
    const y2 = lines[at + 3];
    if (Math.max(x1, x2) < left || Math.min(x1, x2) > right || Math.max(y1, y2) < top || Math.min(y1, y2) > bottom) continue;
    visible.push(at);
  }
  const every = Math.max(1, visible.length / MOST);
  pen.strokeStyle = colour;
  pen.lineWidth = Math.max(1, 0.7 / scale);
  pen.globalAlpha = straight ? 0.35 : 0.55;
  for (let from = 0; from < visible.length; from += 2000 * every) { // one path with all of them would take far longer
    pen.beginPath();
    for (let place = from; place < Math.min(visible.length, from + 2000 * every); place += every) {
      const at = visible[Math.floor(place)];
      pen.moveTo(lines[at], lines[at + 1]);
      if (straight) pen.lineTo(lines[at + 2], lines[at + 3]);
      else curve(pen, lines[at], lines[at + 1], lines[at + 2], lines[at + 3]);
    }
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

export function curve(pen, x1, y1, x2, y2) {
  const bend = Math.max(24, (x2 - x1) / 2);
  pen.bezierCurveTo(x1 + bend, y1, x2 - bend, y2, x2, y2);
}

if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  const known = new Map(); // number of an arrangement → its lines
  self.addEventListener("message", ({ data }) => {
    if (data.lines) known.set(data.number, data.lines);
    else if (data.forget) known.delete(data.forget);
    else draw(data, known.get(data.number));
  });

  function draw(wanted, lines) {
    const { left, top, width, height, scale, ratio } = wanted;
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale * ratio)), Math.max(1, Math.round(height * scale * ratio)));
    const pen = canvas.getContext("2d");
    pen.scale(scale * ratio, scale * ratio);
    pen.translate(-left, -top);
    paint(pen, lines, { ...wanted, right: left + width, bottom: top + height });
    const picture = canvas.transferToImageBitmap();
    self.postMessage({ ...wanted, picture }, [picture]);
  }
}
