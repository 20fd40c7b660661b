// A graph of steps on a canvas: pan, zoom, find, group, go from step to step by keyboard; live while a run goes on.
//
// What is drawn comes from {data-graph}, or with the event artdag:graph, whose detail it is: a list for each fact (see
// services/gateway/web/run.py): names, types, levels and inputs; states, keys, progress, position and active of a run;
// configs, the parameters, where steps have no pages ({data-steps}). A canvas, because a thousand elements that change
// fifty times a second are too many; the table beside it says the same to everybody.

import { curve, ends as linesOf, paint as paintLines } from "./edges.js";
import { told } from "./forms.js";
import { HEIGHT, WIDTH, grouped, layout } from "./layout.js";
import { arrived } from "./morph.js";
import { freshen, look } from "./parts.js";
import { Standing, readersOf } from "./standing.js";
import { ENDINGS, follow } from "./stream.js";

const STATES = [
  ["pending", "mute"], ["scheduled", "wait"], ["running", "go"], ["waiting", "wait"], ["completed", "good"],
  ["cached", "kept"], ["failed", "bad"], ["cancelled", "mute"], ["skipped", "mute"],
];
const TONE = new Map(STATES);
const NAMES = new Map([["scheduled", "handed out"], ["waiting", "to be tried again"], ["cached", "from the cache"]]);
const COLOURS = ["panel", "ink", "mute", "edge", "accent", "sunk", "go", "good", "kept", "wait", "bad", "go-soft", "good-soft", "kept-soft", "wait-soft", "bad-soft", "accent-soft"];
const WORST_FIRST = ["failed", "running", "waiting", "scheduled", "pending"];
const LEAST = 0.01;
const MOST = 2.5;
const READABLE = 0.38; // of natural size; smaller, letters cannot be read
const BEGIN = 0.62; // how large a graph begins that does not fit readably into a small place
const FEW = 120; // steps, of which somebody wants to read the names at once
const MARGIN = 24;
const MANY_LINES = 1_500;
const DASHED = 60; // boxes in sight, beyond which their borders are plain: dashes cost more than all the rest
const REST = 120; // ms without movement, after which moved lines are drawn anew
const REDRAWN = 100; // ms between two pictures of what happens by itself
const REMEMBERED = 5_000; // events that may be newer than a plan which is on its way
const PICTURED = ["left", "top", "width", "height", "scale", "ratio", "colour"]; // what a picture of lines is of
const BOLD = "600 13px ui-sans-serif, system-ui, sans-serif";
const PLAIN = "12px ui-sans-serif, system-ui, sans-serif";

export default function dag(element) {
  const graph = new Graph(element);
  if (element.dataset.graph) graph.load();
  return () => graph.end();
}

class Graph {
  constructor(element) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.pen = this.canvas.getContext("2d");
    this.panel = element.querySelector("[data-panel]");
    this.waiting = element.querySelector("[data-waiting]");
    this.view = { x: 0, y: 0, scale: 1 };
    this.chosen = -1;
    this.shown = -1;
    this.opening = -1; // asked for, and not shown yet
    this.matches = new Set();
    this.apart = new Set();
    this.grouping = false;
    this.touched = false;
    this.progress = new Map();
    this.heard = [];
    this.cuts = new Map();
    this.arrangements = new Map(); // of this plan: "each", "alike", "opened"
    this.numbers = 0;
    this.stale = new Set(); // groups that look otherwise than they are drawn
    this.free = 0; // when the worker may be asked again
    this.ends = [];
    this.loads = 0;
    this.colours();
    this.listen();
  }

  // --- what there is ---

  async load() {
    if (!this.data) this.waiting.textContent = "Drawing the graph…";
    const mine = ++this.loads;
    let answer;
    let body;
    try {
      answer = await fetch(this.element.dataset.graph, { headers: { Accept: "application/json" } });
      body = await answer.json();
    } catch {
      if (!this.data) this.waiting.textContent = "The server does not answer. Reload the page to try again.";
      return;
    }
    if (mine !== this.loads || this.over) return;
    if (!answer.ok) {
      if (!this.data) this.waiting.textContent = told(body);
      return;
    }
    this.take(body, "The plan is made once the inputs are analysed.");
    if (this.data.active && !this.following && this.element.dataset.run) {
      this.following = follow(this.element.dataset.run, this.data.position, (...event) => this.hear(...event));
      this.ends.push(this.following);
    }
  }

  // Show this data; events that are newer are heard once more.
  take(data, ifEmpty) {
    const before = this.data?.names.length ?? 0;
    const known = this.data && sameSteps(this.data, data);
    this.data = data;
    const none = !data.names.length;
    this.data.states ??= data.names.map(() => "");
    this.words = undefined;
    this.waiting.hidden = !none;
    this.waiting.textContent = ifEmpty;
    this.progress = new Map((data.progress ?? []).map(([step, done, total]) => [step, done / total]));
    this.standing = new Standing(data.states, data.keys ?? [], data.inputs);
    for (const { type, said, position } of this.heard) if (position > (data.position ?? 0)) this.standing.hear(type, said);
    if (this.chosen >= data.names.length) this.choose(-1);
    if (!known) this.forget();
    this.arrange();
    if (none) return;
    if (!before || (!this.touched && before !== data.names.length)) this.fit(false);
    const linked = before ? null : /^#step-(\d+)$/.exec(location.hash);
    if (linked && Number(linked[1]) < data.names.length) this.choose(Number(linked[1]), true);
  }

  hear(type, said, position) {
    if (type === "open") {
      if (this.opened) this.again(); // progress is not kept: what was missed of it has to be asked for
      this.opened = true;
      return;
    }
    if (type === "progress") {
      this.progress.set(said.step, said.total ? said.done / said.total : 0);
      this.drawSoon([said.step]);
    } else if (position) {
      const changed = this.standing.hear(type, said);
      if (changed) {
        this.heard.push({ type, said, position });
        if (this.heard.length > REMEMBERED) this.heard.splice(0, REMEMBERED / 2);
        if (type === "StepStarted") for (const step of changed) this.progress.delete(step); // of an attempt before
        if (changed.includes(this.chosen)) this.changed();
        if (changed.length) this.drawSoon(changed);
      }
      if (!changed || ENDINGS.has(type)) this.again();
    }
  }

  // Look at the whole plan once more, but not many times a second.
  again() {
    this.reload ??= setTimeout(() => {
      this.reload = undefined;
      this.load();
    }, 300);
  }

  arrange() {
    const name = !this.grouping ? "each" : this.apart.size ? "opened" : "alike";
    if (name === "opened") this.forget(name); // others were open
    if (!this.arrangements.has(name)) this.arrangements.set(name, this.arrangement());
    this.now = this.arrangements.get(name);
    Object.assign(this, this.now.places);
    this.engage();
    this.find();
    this.key();
    this.draw();
  }

  // Work out where everything is: once for a plan, however often one goes to and fro between groups and steps.
  arrangement() {
    const { levels, types, inputs } = this.data;
    const found = this.grouping ? grouped(levels, types, inputs, this.apart) : {
      groups: levels.map((level, node) => ({ name: `${level} ${types[node]}`, members: [node] })),
      of: levels.map((_, node) => node),
      levels,
      inputs,
    };
    const { xs, ys } = layout(found.levels, found.inputs);
    return {
      number: ++this.numbers,
      places: { ...found, xs, ys, readers: readersOf(found.inputs), lines: linesOf(found.inputs, xs, ys) },
    };
  }

  // Let go of an arrangement, or of all.
  forget(name) {
    for (const each of name ? [name] : [...this.arrangements.keys()]) {
      const old = this.arrangements.get(each);
      if (!old) continue;
      old.picture?.picture.close();
      if (old.sent) this.worker.postMessage({ forget: old.number });
      this.arrangements.delete(each);
    }
  }

  // Many lines are drawn elsewhere.
  engage() {
    this.wanted = undefined;
    clearTimeout(this.rest);
    this.elsewhere = this.lines.length / 4 > MANY_LINES && typeof OffscreenCanvas !== "undefined";
    if (!this.elsewhere || this.now.sent) return;
    this.worker ??= this.painter();
    this.worker.postMessage({ number: this.now.number, lines: this.lines });
    this.now.sent = true;
  }

  painter() {
    const worker = new Worker(new URL("./edges.js", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      const { picture, number, began } = data;
      this.asked = false;
      this.free = 2 * performance.now() - began;
      const of = [...this.arrangements.values()].find((each) => each.number === number);
      if (of) {
        of.picture?.picture.close();
        of.picture = data;
      } else picture.close();
      if (of === this.now) this.draw();
      if (this.wanted && !(of === this.now && samePicture(data, this.wanted))) this.later(); // it changed meanwhile
    });
    return worker;
  }

  // --- drawing ---

  colours() {
    const probe = document.createElement("span");
    probe.hidden = true;
    this.element.append(probe);
    const style = getComputedStyle(probe);
    const read = (name) => {
      probe.style.setProperty("color", `var(--color-${name})`);
      return style.color;
    };
    this.colour = Object.fromEntries(COLOURS.map((name) => [name, read(name)]));
    this.colour["mute-soft"] = this.colour.sunk;
    probe.remove();
    if (this.data) this.draw();
  }

  // Draw everything anew with the next frame.
  draw() {
    this.whole = true;
    this.next();
  }

  // Draw steps anew that changed by themselves, and nothing else; many that do at once are drawn together.
  drawSoon(steps) {
    for (const step of steps) this.stale.add(this.of[step]);
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      this.key();
      this.next();
    }, REDRAWN);
  }

  next() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    if (!this.groups) return;
    const { canvas, pen, view } = this;
    const ratio = devicePixelRatio;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      this.whole = true;
    }
    const left = -view.x / view.scale;
    const top = -view.y / view.scale;
    const right = left + width / view.scale;
    const bottom = top + height / view.scale;
    const detailed = view.scale >= READABLE;
    const stale = [...this.stale].filter((group) => group < this.groups.length);
    if (!detailed && stale.some((group) => this.tone(group) === "mute")) this.whole = true; // what is pale hides nothing
    const { whole } = this;
    this.whole = false;
    this.stale.clear();
    const inSight = (whole ? [...this.groups.keys()] : stale).filter((group) => {
      const x = this.xs[group];
      const y = this.ys[group];
      return x <= right && y <= bottom && x + WIDTH >= left && y + HEIGHT >= top;
    });
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (whole) pen.clearRect(0, 0, width, height);
    pen.translate(view.x, view.y);
    pen.scale(view.scale, view.scale);
    if (whole) {
      this.between(left, top, right, bottom, ratio);
      this.dashed = inSight.length <= DASHED;
    }
    if (detailed) this.boxes(inSight);
    else for (const group of inSight) this.dot(group);
    for (const group of inSight) if (this.matches.has(group)) this.ring(group, this.colour.wait, 2 / view.scale + 1, detailed);
    const chosen = this.chosen < 0 ? -1 : this.of[this.chosen];
    if (whole ? chosen >= 0 : inSight.includes(chosen)) this.ring(chosen, this.colour.accent, 3 / view.scale + 1, detailed);
  }

  // The lines, and those of the chosen step once more.
  between(left, top, right, bottom, ratio) {
    const { pen, view } = this;
    const colour = this.colour.edge;
    if (!this.elsewhere) paintLines(pen, this.lines, { left, top, right, bottom, scale: view.scale, colour });
    else {
      const { picture } = this.now;
      const wanted = this.wantedPicture(ratio);
      if (picture) {
        pen.imageSmoothingEnabled = false; // it is only for moments that it is not drawn as it has to be
        pen.drawImage(picture.picture, picture.left, picture.top, picture.width, picture.height);
      }
      if (picture && samePicture(picture, wanted)) {
        this.wanted = wanted;
        clearTimeout(this.rest);
      } else if (!this.wanted || !samePicture(this.wanted, wanted)) { // else it is on its way
        const covers = picture && picture.colour === colour && picture.left <= left && picture.top <= top && picture.left + picture.width >= right && picture.top + picture.height >= bottom;
        const size = picture ? picture.scale / view.scale : 0;
        this.wanted = wanted;
        this.later(covers && size > 0.6 && size < 1.6 ? REST : 0);
      }
    }
    if (this.chosen < 0) return;
    const near = this.of[this.chosen];
    pen.beginPath();
    const line = (from, to) => {
      pen.moveTo(this.xs[from] + WIDTH, this.ys[from] + HEIGHT / 2);
      curve(pen, this.xs[from] + WIDTH, this.ys[from] + HEIGHT / 2, this.xs[to], this.ys[to] + HEIGHT / 2);
    };
    for (const each of this.inputs[near]) line(each, near);
    for (const each of this.readers[near]) line(near, each);
    pen.strokeStyle = this.colour.accent;
    pen.lineWidth = Math.max(1.5, 1.3 / view.scale);
    pen.stroke();
  }

  // What of the lines is to be drawn: some more on each side, for hands that pull.
  wantedPicture(ratio) {
    const { x, y, scale } = this.view;
    const width = this.canvas.clientWidth / scale;
    const height = this.canvas.clientHeight / scale;
    return { left: -x / scale - width / 4, top: -y / scale - height / 4, width: width * 1.5, height: height * 1.5, scale, ratio, colour: this.colour.edge };
  }

  // Have the picture drawn that is wanted by then: one at a time, and between two a pause as long as the last one took, so
  // that a machine that is slow at it has time for hands.
  later(pause = 0) {
    clearTimeout(this.rest);
    const wait = Math.max(pause, this.free - performance.now());
    if (wait > 0) this.rest = setTimeout(() => this.ask(), wait);
    else this.ask();
  }

  ask() {
    if (this.asked || !this.wanted || !this.elsewhere) return;
    this.asked = true;
    this.worker.postMessage({ ...this.wanted, number: this.now.number, began: performance.now() });
  }

  state(group) {
    const { members } = this.groups[group];
    const { states } = this.data;
    if (members.length === 1) return states[members[0]];
    const here = new Set(members.map((node) => states[node]));
    return WORST_FIRST.find((state) => here.has(state)) ?? states[members[0]];
  }

  tone(group, state = this.state(group)) {
    return TONE.get(state) ?? "accent";
  }

  dot(group) {
    const tone = this.tone(group);
    this.pen.fillStyle = this.colour[tone];
    this.pen.globalAlpha = tone === "mute" ? 0.4 : 1; // what nothing happens to stays behind
    this.pen.fillRect(this.xs[group], this.ys[group], WIDTH, HEIGHT);
    this.pen.globalAlpha = 1;
  }

  // Boxes with what they are and how they stand; each kind of letters at once, since changing between them takes time.
  boxes(groups) {
    const { pen } = this;
    const all = groups.map((group) => ({ group, state: this.state(group), x: this.xs[group], y: this.ys[group] }));
    for (const each of all) this.box(each);
    pen.textBaseline = "middle";
    pen.fillStyle = this.colour.ink;
    pen.font = BOLD;
    for (const { group, x, y } of all) pen.fillText(this.cut(this.title(group), BOLD), x + 10, y + 15);
    pen.font = PLAIN;
    for (const { group, state, x, y } of all) {
      const tone = this.tone(group, state);
      pen.fillStyle = tone === "mute" || tone === "accent" ? this.colour.mute : this.colour[tone];
      pen.fillText(this.cut(this.line(group, state), PLAIN), x + 10, y + 31);
    }
  }

  box({ group, state, x, y }) {
    const { pen } = this;
    const { members } = this.groups[group];
    const many = members.length > 1;
    const tone = this.tone(group, state);
    pen.fillStyle = this.colour[`${tone}-soft`];
    pen.strokeStyle = this.colour[tone];
    pen.lineWidth = 1.5;
    if (many) pen.strokeRect(x + 5, y - 4, WIDTH - 10, 6); // one upon the other
    pen.beginPath();
    pen.roundRect(x, y, WIDTH, HEIGHT, 8);
    pen.fill();
    const done = many ? this.share(members) : state === "running" ? this.progress.get(members[0]) ?? 0 : 0;
    if (done > 0 && (done < 1 || !many)) {
      pen.save();
      pen.clip();
      pen.fillStyle = this.colour[many ? "good" : "go"];
      pen.fillRect(x, y + HEIGHT - 5, WIDTH * Math.min(1, done), 5);
      pen.restore();
      pen.beginPath();
      pen.roundRect(x, y, WIDTH, HEIGHT, 8);
    }
    const open = this.dashed && (state === "pending" || state === "skipped");
    if (open) pen.setLineDash([4, 3]);
    pen.stroke();
    if (open) pen.setLineDash([]);
  }

  title(group) {
    const { members } = this.groups[group];
    return members.length > 1 ? `${members.length} × ${this.data.types[members[0]]}` : this.data.names[members[0]];
  }

  // How a group, or the step that it is, stands, in words.
  line(group, state = this.state(group)) {
    const { members } = this.groups[group];
    const { types } = this.data;
    if (members.length > 1) return this.data.active === undefined ? "" : `${percent(this.share(members))} done`;
    const said = NAMES.get(state) ?? state;
    const done = state === "running" ? this.progress.get(members[0]) : 0;
    return [types[members[0]], said && (done ? `${said} ${percent(done)}` : said)].filter(Boolean).join(" · ");
  }

  // What of a text has room in a box.
  cut(text, font) {
    const known = this.cuts.get(font + text);
    if (known !== undefined) return known;
    const { pen } = this;
    let kept = text;
    if (pen.measureText(text).width > WIDTH - 20) {
      while (kept && pen.measureText(`${kept}…`).width > WIDTH - 20) kept = kept.slice(0, -1);
      kept = `${kept}…`;
    }
    this.cuts.set(font + text, kept);
    return kept;
  }

  share(members) {
    const { states } = this.data;
    return members.filter((node) => states[node] === "completed" || states[node] === "cached").length / members.length;
  }

  ring(group, colour, width, round) {
    const { pen } = this;
    const place = [this.xs[group] - 3, this.ys[group] - 3, WIDTH + 6, HEIGHT + 6];
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    if (!round) return pen.strokeRect(...place); // there may be thousands
    pen.beginPath();
    pen.roundRect(...place, 10);
    return pen.stroke();
  }

  // What the colours mean, with how many steps there are of each; pressed, they are found.
  key() {
    const place = this.element.querySelector("[data-key]");
    const counts = new Map();
    for (const state of this.data.states) counts.set(state, (counts.get(state) ?? 0) + 1);
    for (const [state, tone] of STATES) {
      let button = place.querySelector(`[data-state="${state}"]`);
      const count = counts.get(state) ?? 0;
      if (!button && count) {
        const item = document.createElement("li");
        item.dataset.order = String(STATES.findIndex(([each]) => each === state));
        button = Object.assign(document.createElement("button"), { type: "button", className: `badge badge-${tone}` });
        button.dataset.state = state;
        item.append(button);
        place.insertBefore(item, [...place.children].find((each) => Number(each.dataset.order) > Number(item.dataset.order)) ?? null);
      }
      if (!button) continue;
      const text = `${count} ${NAMES.get(state) ?? state}`;
      button.parentElement.hidden = !count;
      if (button.textContent !== text) button.textContent = text;
    }
  }

  // --- moving ---

  // What of the canvas is not covered by the chosen step.
  room() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (this.shown < 0) return { width, height };
    const canvas = this.canvas.getBoundingClientRect();
    const panel = this.panel.getBoundingClientRect();
    const beside = panel.left >= canvas.right || panel.right <= canvas.left;
    return { width, height: beside ? height : Math.max(HEIGHT * 2, Math.min(height, panel.top - canvas.top)) };
  }

  // Show all; at the beginning, of what would be too small to be read, only that.
  fit(all = true) {
    if (!this.groups?.length) return;
    const { width, height } = this.room();
    const left = this.xs.reduce((a, b) => Math.min(a, b), Infinity);
    const right = this.xs.reduce((a, b) => Math.max(a, b), -Infinity) + WIDTH;
    const top = this.ys.reduce((a, b) => Math.min(a, b), Infinity);
    const bottom = this.ys.reduce((a, b) => Math.max(a, b), -Infinity) + HEIGHT;
    const scale = Math.min((width - 2 * MARGIN) / (right - left), (height - 2 * MARGIN) / (bottom - top), 1.2);
    if (!all && scale < READABLE && this.groups.length <= FEW) {
      this.view.scale = BEGIN;
      this.view.x = MARGIN - left * BEGIN;
    } else {
      this.view.scale = Math.max(LEAST, scale);
      this.view.x = (width - (left + right) * this.view.scale) / 2;
    }
    this.view.y = (height - (top + bottom) * this.view.scale) / 2;
    this.draw();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.view.scale;
    const after = Math.min(MOST, Math.max(LEAST, before * factor));
    this.view.x = x - (x - this.view.x) * (after / before);
    this.view.y = y - (y - this.view.y) * (after / before);
    this.view.scale = after;
    this.touched = true;
    this.draw();
  }

  // Bring a node into view.
  reveal(node) {
    const group = this.of[node];
    const { width, height } = this.room();
    if (this.view.scale < READABLE) this.view.scale = 0.8;
    const { scale } = this.view;
    const x = this.xs[group] * scale + this.view.x;
    const y = this.ys[group] * scale + this.view.y;
    const inside = x > 0 && y > 0 && x + WIDTH * scale < width && y + HEIGHT * scale < height;
    if (!inside) {
      this.view.x = width / 2 - (this.xs[group] + WIDTH / 2) * scale;
      this.view.y = height / 2 - (this.ys[group] + HEIGHT / 2) * scale;
    }
    this.draw();
  }

  at(x, y) {
    const px = (x - this.view.x) / this.view.scale;
    const py = (y - this.view.y) / this.view.scale;
    for (let group = 0; group < this.groups.length; group++) {
      if (px >= this.xs[group] && px <= this.xs[group] + WIDTH && py >= this.ys[group] && py <= this.ys[group] + HEIGHT) return group;
    }
    return -1;
  }

  // --- choosing ---

  // Choose a step; `opening`: and show what it is, "keyboard": and go there.
  choose(node, opening = false) {
    this.chosen = node;
    this.opener();
    if (node < 0) return this.close();
    this.reveal(node);
    this.tell();
    if (opening) this.show(node, opening === "keyboard");
    else if (this.shown >= 0 || this.opening >= 0) this.show(node);
    return undefined;
  }

  // Say to who does not see it what is chosen.
  tell() {
    const group = this.of[this.chosen];
    const { names, inputs } = this.data;
    const read = inputs[this.chosen].slice(0, 5).map((each) => names[each]);
    if (inputs[this.chosen].length > 5) read.push(`${inputs[this.chosen].length - 5} more`);
    const many = this.groups[group].members.length > 1;
    const said = [this.title(group), this.line(group), many ? "Enter opens the group" : read.length ? `reads ${read.join(", ")}` : "reads nothing"];
    this.element.querySelector("[data-told]").textContent = said.filter(Boolean).join(", ");
  }

  // The chosen step changed by itself.
  changed() {
    this.tell();
    if (this.shown !== this.chosen) return;
    this.renew ??= setTimeout(async () => {
      this.renew = undefined;
      const node = this.shown;
      if (node < 0) return;
      const found = await look(`${this.element.dataset.steps}${node}`).catch(() => undefined);
      if (found?.ok && this.shown === node) freshen(this.panel, found.page, "here");
    }, 400);
  }

  async show(node, going = false) {
    const address = this.element.dataset.steps && `${this.element.dataset.steps}${node}`;
    let step;
    this.opening = node;
    if (address) {
      const found = await look(address).catch(() => undefined);
      if (this.opening !== node || this.over) return; // another was chosen, or none
      step = found?.ok ? document.adoptNode(found.page.querySelector("#step")) : undefined;
      if (!step) {
        step = document.createElement("p");
        step.className = "text-bad";
        step.textContent = found?.page.querySelector("#main")?.innerText.trim() || "The server does not answer.";
      }
      history.replaceState(history.state, "", `#step-${node}`);
    } else step = this.described(node);
    const bar = document.createElement("p");
    bar.className = "mb-2 flex items-center justify-between gap-2 text-sm";
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close", className: "button button-small ml-auto" });
    close.addEventListener("click", () => this.close());
    if (address) bar.append(Object.assign(document.createElement("a"), { href: address, textContent: "As a page" }));
    bar.append(close);
    this.panel.replaceChildren(bar, step);
    this.panel.classList.remove("hidden");
    this.panel.scrollTop = 0;
    this.opening = -1;
    this.shown = node;
    arrived(this.panel);
    if (going) this.panel.focus({ preventScroll: true });
    if (getComputedStyle(this.panel).position === "fixed") this.canvas.scrollIntoView({ block: "start" });
    requestAnimationFrame(() => this.chosen === node && this.reveal(node));
  }

  // A step that has no page: its parameters, from the data.
  described(node) {
    const { names, types, inputs, configs } = this.data;
    const article = document.createElement("article");
    const make = (tag, className, ...inner) => {
      const made = document.createElement(tag);
      made.className = className;
      made.append(...inner);
      return made;
    };
    const links = (nodes) => nodes.slice(0, 20).flatMap((each, place) => {
      const link = make("button", "text-accent hover:underline", names[each]);
      link.type = "button";
      link.dataset.step = String(each);
      return place ? [", ", link] : [link];
    });
    const facts = make("dl", "facts mt-3");
    const add = (label, ...value) => facts.append(make("dt", "", label), make("dd", "", ...(value.length ? value : ["–"])));
    add("Reads", ...links(inputs[node]));
    add("Read by", ...links(inputs.flatMap((read, each) => (read.includes(node) ? [each] : []))));
    for (const [name, value] of Object.entries(configs?.[node] ?? {})) {
      add(make("code", "", name), make("code", "", typeof value === "string" ? value : JSON.stringify(value)));
    }
    article.append(make("h2", "", names[node]), make("p", "text-sm text-mute", types[node]), facts);
    return article;
  }

  close() {
    const held = this.panel.contains(document.activeElement);
    this.shown = this.opening = -1;
    this.panel.classList.add("hidden");
    this.panel.replaceChildren();
    if (location.hash.startsWith("#step-")) history.replaceState(history.state, "", location.pathname + location.search);
    if (held) this.canvas.focus({ preventScroll: true });
    this.draw();
  }

  press(group, by = "pointer") {
    const { members, name } = this.groups[group];
    if (members.length === 1) return this.choose(members[0], by);
    this.apart.add(name);
    this.arrange();
    return this.choose(members[0]);
  }

  // Whether the chosen step is of a group that was opened.
  opener() {
    const name = this.chosen >= 0 && this.grouping ? this.groups[this.of[this.chosen]].name : "";
    this.element.querySelector('[data-do="together"]').hidden = !this.apart.has(name);
    return name;
  }

  together() {
    const name = this.opener();
    if (!this.apart.delete(name)) return;
    this.arrange();
    this.choose(this.chosen);
    this.canvas.focus({ preventScroll: true });
  }

  group() {
    this.grouping = !this.grouping;
    this.apart.clear();
    this.element.querySelector('[data-do="group"]').setAttribute("aria-pressed", String(this.grouping));
    this.arrange();
    this.opener();
    this.fit(false);
  }

  find(next = false) {
    const field = this.element.querySelector("[data-find]");
    const wanted = field.value.trim().toLowerCase();
    const { names, types, states } = this.data;
    const found = [];
    if (wanted) {
      this.words ??= names.map((name, node) => `${name} ${types[node]}`.toLowerCase());
      const inState = new Set([...TONE.keys()].filter((state) => `${state} ${NAMES.get(state) ?? ""}`.includes(wanted)));
      this.words.forEach((text, node) => {
        if (text.includes(wanted) || inState.has(states[node])) found.push(node);
      });
    }
    this.matches = new Set(found.map((node) => this.of[node]));
    const said = wanted ? `${found.length} found${found.length ? "; Enter goes to the next" : ""}` : "";
    const place = this.element.querySelector("[data-found]");
    if (place.textContent !== said) place.textContent = said;
    if (next && found.length) this.choose(found.find((node) => node > this.chosen) ?? found[0]);
    else this.draw();
  }

  // Go from the chosen step in a direction: to what it reads, to what reads it, or along its level.
  step(key) {
    if (key === "End") return this.choose(this.data.output ?? this.data.names.length - 1);
    if (this.chosen < 0 || key === "Home") return this.choose(0);
    const group = this.of[this.chosen];
    const first = (groups) => groups.length && this.choose(this.groups[groups[0]].members[0]);
    if (key === "ArrowLeft") return first(this.inputs[group]);
    if (key === "ArrowRight") return first(this.readers[group]);
    const column = this.groups.map((_, each) => each).filter((each) => this.levels[each] === this.levels[group]);
    column.sort((a, b) => this.xs[a] - this.xs[b] || this.ys[a] - this.ys[b]);
    const place = column.indexOf(group) + (key === "ArrowDown" ? 1 : -1);
    return place >= 0 && place < column.length ? this.choose(this.groups[column[place]].members[0]) : undefined;
  }

  // --- hands ---

  listen() {
    const { canvas } = this;
    const on = (target, type, heard, options) => {
      target.addEventListener(type, heard, options);
      this.ends.push(() => target.removeEventListener(type, heard, options));
    };
    on(this.element, "artdag:graph", (event) => this.take(event.detail, "Nothing to draw yet."));
    this.pointers(on);
    on(canvas, "keydown", (event) => {
      if (!this.groups?.length || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") this.step(event.key);
      else if (event.key === "Enter" && this.chosen >= 0) this.press(this.of[this.chosen], "keyboard");
      else if (event.key === "+" || event.key === "=") this.zoom(1.25);
      else if (event.key === "-") this.zoom(0.8);
      else if (event.key === "0") this.fit();
      else if (event.key === "Escape" && (this.shown >= 0 || this.opening >= 0)) this.close();
      else return;
      event.preventDefault();
    });
    on(this.panel, "keydown", (event) => event.key === "Escape" && this.close());
    on(this.element, "click", (event) => this.pressed(event), { capture: true });
    const field = this.element.querySelector("[data-find]");
    on(field, "input", () => this.groups && this.find());
    on(field, "keydown", (event) => {
      if (event.key !== "Enter" || !this.groups) return;
      event.preventDefault();
      this.find(true);
    });
    on(document, "artdag:theme", () => this.colours());
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.colours());
    const sizes = new ResizeObserver(() => (this.touched || this.shown >= 0 ? this.draw() : this.fit(false)));
    sizes.observe(canvas);
    this.ends.push(() => sizes.disconnect());
  }

  pressed(event) {
    const other = event.target.closest("[data-panel] [data-step]");
    if (other && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      event.stopPropagation();
      this.choose(Number(other.dataset.step), event.detail ? "pointer" : "keyboard");
      return;
    }
    const state = event.target.closest("[data-key] [data-state]");
    if (state) {
      const field = this.element.querySelector("[data-find]");
      const word = NAMES.get(state.dataset.state) ?? state.dataset.state;
      field.value = field.value === word ? "" : word;
      this.find();
    }
    const what = event.target.closest("[data-do]")?.dataset.do;
    if (!what || !this.groups) return;
    if (what === "in") this.zoom(1.25);
    if (what === "out") this.zoom(0.8);
    if (what === "fit") this.fit();
    if (what === "group") this.group();
    if (what === "together") this.together();
  }

  pointers(on) {
    const { canvas } = this;
    const fingers = new Map();
    let moved = 0;
    on(canvas, "pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      moved = fingers.size ? Infinity : 0; // with two fingers nothing is pressed
      fingers.set(event.pointerId, event);
    });
    on(canvas, "pointermove", (event) => {
      if (!this.groups) return;
      const before = fingers.get(event.pointerId);
      if (!before) {
        canvas.style.cursor = this.at(event.offsetX, event.offsetY) < 0 ? "grab" : "pointer";
        return;
      }
      const dx = event.clientX - before.clientX;
      const dy = event.clientY - before.clientY;
      moved += Math.hypot(dx, dy);
      if (moved < 5) return; // a hand that shakes
      fingers.set(event.pointerId, event);
      if (fingers.size === 2) {
        const other = [...fingers.values()].find((each) => each.pointerId !== event.pointerId);
        const span = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY) || 1;
        this.zoom(span(event) / span(before), (event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2);
      } else {
        this.view.x += dx;
        this.view.y += dy;
        this.touched = true;
        canvas.style.cursor = "grabbing";
      }
      this.draw();
    });
    const up = (event) => {
      const pressed = fingers.delete(event.pointerId) && moved < 5 && event.type === "pointerup" && this.groups;
      canvas.style.cursor = "";
      const group = pressed ? this.at(event.offsetX, event.offsetY) : -1;
      if (group >= 0) this.press(group);
    };
    on(canvas, "pointerup", up);
    on(canvas, "pointercancel", up);
    on(canvas, "wheel", (event) => {
      if (!this.groups || (!event.ctrlKey && document.activeElement !== canvas)) return; // the page scrolls until then
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.offsetX, event.offsetY);
    }, { passive: false });
  }

  end() {
    this.over = true;
    for (const timer of [this.reload, this.soon, this.renew, this.rest]) clearTimeout(timer);
    cancelAnimationFrame(this.frame);
    this.forget();
    this.worker?.terminate();
    for (const each of this.ends) each();
  }
}

// Whether two plans have the same steps, however these stand.
function sameSteps(one, other) {
  const same = (a, b) => a.length === b.length && a.every((each, place) => each === b[place]);
  return ["names", "types", "levels"].every((name) => same(one[name], other[name])) && one.inputs.every((read, node) => same(read, other.inputs[node]));
}

function samePicture(one, other) {
  return PICTURED.every((name) => one[name] === other[name]);
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}
