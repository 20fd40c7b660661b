// A small recipe's DAG as a drawing: a box for each node, from left to right; pressing one tells which it was.

import { HEIGHT, WIDTH, layout } from "./layout.js";

const SVG = "http://www.w3.org/2000/svg";
const MOST = 400; // nodes; more of them nobody reads while writing
const MARGIN = 6;
const SMALLEST = 0.65; // of natural size

// Draw {names, types, levels, inputs, output} in `place`. pressed(name) is called for a node that somebody chooses.
export function draw(place, graph, pressed) {
  const count = graph.names.length;
  if (count > MOST) {
    const line = Object.assign(document.createElement("p"), { className: "text-mute", textContent: `${count} nodes: too many to draw while you write.` });
    place.replaceChildren(line);
    return;
  }
  const { xs, ys } = layout(graph.levels, graph.inputs);
  const left = Math.min(...xs) - MARGIN;
  const top = Math.min(...ys) - MARGIN;
  const width = Math.max(...xs) + WIDTH + MARGIN - left;
  const height = Math.max(...ys) + HEIGHT + MARGIN - top;
  const picture = shape("svg", { viewBox: `${left} ${top} ${width} ${height}`, role: "group", "aria-label": `The recipe's ${count} nodes`, class: "block" });
  // As wide as the place, but never larger than life, nor so small that nobody could read it.
  Object.assign(picture.style, { width: "100%", minWidth: `${width * SMALLEST}px`, maxWidth: `${width}px` });
  const edges = shape("g", { "aria-hidden": "true", class: "fill-none stroke-edge stroke-[1.5]" });
  graph.inputs.forEach((read, node) => {
    for (const each of read) {
      const [x1, y1, x2, y2] = [xs[each] + WIDTH, ys[each] + HEIGHT / 2, xs[node], ys[node] + HEIGHT / 2];
      const bend = Math.max(20, (x2 - x1) / 2);
      edges.append(shape("path", { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` }));
    }
  });
  picture.append(edges, ...graph.names.map((name, node) => box(graph, name, node, xs[node], ys[node], pressed)));
  place.replaceChildren(picture);
}

function box(graph, name, node, x, y, pressed) {
  const source = graph.types[node].startsWith("SOURCE");
  const result = node === graph.output;
  const reads = graph.inputs[node].map((each) => graph.names[each]).join(", ");
  const said = `${name}, ${graph.types[node]}${reads ? `, reads ${reads}` : ""}${result ? ", the result" : ""}: show in the text`;
  const group = shape("g", { role: "button", tabindex: "0", "aria-label": said, class: "cursor-pointer" });
  const fill = result ? "fill-good-soft stroke-good" : source ? "fill-sunk stroke-edge" : "fill-accent-soft stroke-accent";
  group.append(
    shape("rect", { x, y, width: WIDTH, height: HEIGHT, rx: 8, class: `${fill} stroke-[1.5]` }),
    words(name, x + 10, y + 19, "fill-ink text-[13px] font-semibold", 22),
    words(graph.types[node], x + 10, y + 36, "fill-mute text-xs", 24),
  );
  group.addEventListener("click", () => pressed(name));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    pressed(name);
  });
  return group;
}

function words(text, x, y, look, longest) {
  const element = shape("text", { x, y, class: look });
  element.textContent = text.length > longest ? `${text.slice(0, longest - 1)}…` : text;
  return element;
}

function shape(kind, attributes) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
