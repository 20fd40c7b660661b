// The gallery: files that are uploaded, several items chosen and something done with them, films that play at a glance.
//
// Uploads belong to the visit, not to the page: they go on while other pages are looked at, and are on the list again
// when the gallery is.

import { ask, go, sure } from "./forms.js";
import { arrived } from "./morph.js";
import { refused } from "./refusals.js";
import { say } from "./saying.js";
import { plural, size } from "./units.js";
import { upload } from "./upload.js";

const AT_ONCE = 3;
const GLANCE = 150; // ms that the pointer rests before a film plays
const LOOK_AGAIN = 1500; // ms between two looks for what is being found out about new media
const LOOKS = 40;
const PATIENCE = 10_000; // ms for what was uploaded to come to the list; where something else is looked for it never does
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

const queue = []; // uploads: {file, state, share, word, cid, stop}; state: waiting, going, done, failed, cancelled
let here = null; // the gallery on this page

export default function gallery(element) {
  here = new Gallery(element);
  return () => {
    here?.end();
    here = null;
  };
}

// --- uploads ---

function add(files) {
  for (const file of files) queue.push({ file, state: "waiting", share: 0, word: "Waiting for the others", stop: new AbortController() });
  work();
}

function work() {
  const going = queue.filter((each) => each.state === "going").length;
  for (const each of queue.filter((one) => one.state === "waiting").slice(0, AT_ONCE - going)) carry(each);
  here?.drawUploads();
}

async function carry(entry) {
  entry.state = "going";
  entry.word = "";
  try {
    const { cid } = await upload(entry.file, (share, word) => {
      entry.share = share ?? entry.share;
      entry.word = word;
      here?.drawUpload(entry);
    }, entry.stop.signal);
    Object.assign(entry, { state: "done", share: 1, word: "", cid });
    if (here) here.uploaded(cid);
    else say(`${entry.file.name} is uploaded`);
  } catch (error) {
    if (entry.stop.signal.aborted) Object.assign(entry, { state: "cancelled", word: "Cancelled" });
    else {
      Object.assign(entry, { state: "failed", word: error.message });
      say(`${entry.file.name}: ${error.message}`, "bad");
    }
  }
  work();
}

window.addEventListener("beforeunload", (event) => {
  if (queue.some((each) => each.state === "going" || each.state === "waiting")) event.preventDefault();
});

// --- the page ---

class Gallery {
  constructor(element) {
    this.element = element;
    this.over = new AbortController();
    this.rows = new Map(); // upload → its row
    this.last = null; // the item that was chosen last, from which a range goes
    this.looks = 0;
    this.awaited = new Map(); // CID of what was uploaded and is not on the list yet → until when it is looked for
    this.busy = this.again = false; // it looks, and is to look once more then
    this.gone = new Set(); // what was deleted here, which the list may still hold for a moment
    this.turn = 0; // how often what is shown was changed here: answers from before that are old
    this.bar = element.querySelector("[data-chosen]");
    this.outcome = element.querySelector("[data-outcome]");
    this.drop = element.querySelector("[data-drop]");
    this.listen();
    this.drawUploads();
    this.drawChosen();
    this.lookAgain();
    element.dataset.alive = "";
  }

  end() {
    this.over.abort();
    clearTimeout(this.looking);
    this.unglance();
  }

  listen() {
    const { element } = this;
    const { signal } = this.over;
    element.addEventListener("click", (event) => this.clicked(event), { signal });
    element.addEventListener("change", (event) => {
      if (event.target.matches("[data-pick]")) this.drawChosen();
      if (event.target.matches("[data-files]")) {
        add([...event.target.files]);
        event.target.value = "";
      }
    }, { signal });
    element.addEventListener("submit", (event) => {
      if (!event.target.matches("[data-tagging]")) return;
      event.preventDefault();
      this.tag(event.target);
    }, { signal });
    element.addEventListener("keydown", (event) => this.key(event), { signal });
    element.addEventListener("pointerover", (event) => {
      if (event.pointerType === "mouse") this.glance(event.target.closest("a[data-preview]"));
    }, { signal });
    element.addEventListener("pointerleave", () => this.unglance(), { signal });
    element.addEventListener("focusin", (event) => this.glance(event.target.closest("a[data-preview]")), { signal });
    document.addEventListener("htmx:load", (event) => {
      if (element.contains(event.detail.elt)) this.drawChosen();
    }, { signal });
    if (this.drop) this.listenToDrops(signal);
  }

  listenToDrops(signal) {
    const files = (event) => event.dataTransfer?.types.includes("Files");
    const show = (shown) => (this.drop.hidden = !shown);
    document.addEventListener("dragover", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      show(true);
    }, { signal });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) show(false); // out of the window
    }, { signal });
    document.addEventListener("drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      show(false);
      const folders = [...event.dataTransfer.items].map((each) => each.webkitGetAsEntry?.()?.isDirectory ?? false);
      if (folders.includes(true)) say("Folders are not uploaded: drop the files in them.", "bad");
      add([...event.dataTransfer.files].filter((_, index) => !folders[index]));
    }, { signal });
  }

  clicked(event) {
    const { target } = event;
    if (target.closest("[data-choose]")) this.element.querySelector("[data-files]").click();
    if (target.matches("[data-pick]")) {
      if (event.shiftKey && this.last?.isConnected) this.range(this.last, target);
      this.last = target;
      this.drawChosen();
    }
    const does = target.closest("[data-do]")?.dataset.do;
    if (does === "delete") this.remove(target.closest("[data-do]"));
    if (does === "none") this.none();
    if (does === "tidy") {
      for (const each of queue.filter((one) => !/waiting|going/.test(one.state))) queue.splice(queue.indexOf(each), 1);
      this.drawUploads();
    }
  }

  // --- choosing ---

  picks() {
    return [...this.element.querySelectorAll("[data-pick]")];
  }

  chosen() {
    return this.picks().filter((each) => each.checked).map((each) => each.closest("[data-card]"));
  }

  range(from, to) {
    const picks = this.picks();
    const [first, last] = [picks.indexOf(from), picks.indexOf(to)].sort((a, b) => a - b);
    for (const each of picks.slice(first, last + 1)) each.checked = to.checked;
  }

  none() {
    for (const each of this.picks()) each.checked = false;
    this.drawChosen();
    this.picks()[0]?.focus();
  }

  key(event) {
    if (event.target.matches("input:not([data-pick]), textarea, select")) return;
    const picks = this.picks();
    if (event.key === "Escape" && picks.some((each) => each.checked)) this.none();
    else if (event.key === "a" && (event.ctrlKey || event.metaKey) && event.target.closest("#items")) {
      for (const each of picks) each.checked = true;
    } else if (event.target.matches("[data-pick]") && event.key.startsWith("Arrow")) {
      const next = picks[this.neighbour(picks, picks.indexOf(event.target), event.key)];
      if (next) {
        next.focus();
        if (event.shiftKey) next.checked = event.target.checked;
      }
    } else return;
    event.preventDefault();
    this.drawChosen();
  }

  neighbour(picks, place, key) {
    if (key === "ArrowLeft") return place - 1;
    if (key === "ArrowRight") return place + 1;
    const top = picks[0].getBoundingClientRect().top;
    const columns = picks.filter((each) => each.getBoundingClientRect().top === top).length;
    return key === "ArrowUp" ? place - columns : place + columns;
  }

  drawChosen() {
    if (!this.bar) return;
    const cids = this.chosen().map((each) => each.dataset.card);
    this.bar.hidden = !cids.length;
    this.bar.querySelector("[data-count]").textContent = cids.length ? `${cids.length} chosen` : "";
    this.bar.querySelector("[data-use]").href = `/recipes?${new URLSearchParams(cids.map((cid) => ["media", cid]))}`;
  }

  // --- doing something with what is chosen ---

  async tag(form) {
    const tags = [...new Set(form.elements.tag.value.split(",").map((each) => each.trim()).filter(Boolean))];
    if (!tags.length) return;
    const cards = this.chosen();
    const failures = await this.each(cards, (card) => tagged(card, tags));
    if (!failures.length) form.reset();
    const said = tags.map((each) => `“${each}”`).join(", ");
    this.tell(failures, `${plural(cards.length - failures.length, "item")} tagged ${said}`);
  }

  async remove(button) {
    const cards = this.chosen();
    const question = `Delete ${cards.length === 1 ? `“${cards[0].dataset.name}”` : plural(cards.length, "item")}? This cannot be undone. What a run, a recipe or a publication needs stays, and you are told what that is.`;
    if (!(await sure(question, "Delete"))) return;
    button.disabled = true;
    const failures = await this.each(cards, async (card) => {
      const answer = await ask("DELETE", `/cache/${card.dataset.card}`);
      if (answer.ok) {
        this.gone.add(card.dataset.card);
        card.remove();
      }
      return answer;
    });
    button.disabled = false;
    this.drawChosen();
    this.tell(failures, `${plural(cards.length - failures.length, "item")} deleted`);
    if (!this.element.querySelector("[data-card]")) {
      go(location.pathname + location.search);
      return;
    }
    if (!failures.length) this.picks()[0]?.focus({ preventScroll: true });
    this.renew();
  }

  // Does it with one after the other. Returns those with which it did not work: [card, problem].
  async each(cards, work) {
    const failures = [];
    this.turn += 1;
    this.working = true;
    for (const card of cards) {
      const answer = await work(card);
      if (!answer.ok) failures.push([card, answer.body]);
    }
    this.working = false;
    this.turn += 1;
    return failures;
  }

  tell(failures, done) {
    if (!/^0 /.test(done)) say(done);
    this.outcome.hidden = !failures.length;
    this.outcome.replaceChildren(...failures.map(([card, problem]) => refused(problem, card.dataset.name)));
    if (failures.length) this.outcome.focus();
  }

  // --- films at a glance ---

  glance(link) {
    if (link === this.glanced) return;
    this.unglance();
    if (!link || CALM.matches) return;
    this.glanced = link;
    this.waiting = setTimeout(() => {
      const film = document.createElement("video");
      Object.assign(film, { muted: true, loop: true, playsInline: true, autoplay: true, src: link.dataset.preview });
      film.className = "absolute inset-0 size-full object-cover";
      film.setAttribute("aria-hidden", "true");
      film.tabIndex = -1;
      film.addEventListener("error", () => film.remove());
      link.firstElementChild.append(film);
      this.film = film;
    }, GLANCE);
  }

  unglance() {
    clearTimeout(this.waiting);
    this.glanced = null;
    if (!this.film) return;
    this.film.remove();
    this.film.removeAttribute("src");
    this.film.load(); // lets the connection go
    this.film = null;
  }

  // --- what comes in ---

  drawUploads() {
    const place = this.element.querySelector("[data-uploading]");
    if (!place) return;
    place.hidden = !queue.length;
    place.querySelector('[data-do="tidy"]').hidden = !queue.some((each) => !/waiting|going/.test(each.state));
    for (const [entry, row] of this.rows) {
      if (queue.includes(entry)) continue;
      row.remove();
      this.rows.delete(entry);
    }
    for (const entry of queue) this.drawUpload(entry);
  }

  drawUpload(entry) {
    const list = this.element.querySelector("[data-uploads]");
    if (!list) return;
    let row = this.rows.get(entry);
    if (!row) {
      row = uploadRow(entry);
      this.rows.set(entry, row);
      list.append(row);
    }
    const { name, bar, word, button } = row.parts;
    row.dataset.state = entry.state;
    bar.value = entry.share;
    bar.hidden = entry.state === "failed" || entry.state === "cancelled" || entry.state === "done";
    word.className = entry.state === "failed" ? "wrong" : "hint";
    word.textContent = { done: "Uploaded" }[entry.state] ?? (entry.word || `${Math.floor(entry.share * 100)} %`);
    button.textContent = { going: "Cancel", waiting: "Cancel", done: "" }[entry.state] ?? "Try again";
    button.hidden = entry.state === "done";
    button.setAttribute("aria-label", `${button.textContent} ${entry.file.name}`);
    if (entry.cid && !name.querySelector("a")) {
      const link = document.createElement("a");
      link.href = `/cache/${entry.cid}`;
      link.textContent = entry.file.name;
      name.replaceChildren(link);
      window.htmx?.process(row);
    }
  }

  uploaded(cid) {
    this.gone.delete(cid);
    this.awaited.set(cid, performance.now() + PATIENCE);
    this.looks = 0;
    this.look();
  }

  // Length and pictures of what came in just now are found out about after it came, and the list follows, too.
  lookAgain() {
    clearTimeout(this.looking);
    const pending = this.looks < LOOKS && this.element.querySelector("[data-pending]");
    if (pending || this.awaited.size) this.looking = setTimeout(() => this.look(), LOOK_AGAIN);
  }

  async look() {
    clearTimeout(this.looking);
    this.again = this.busy;
    if (this.busy) return;
    this.busy = true;
    this.looks += 1;
    await this.renew();
    this.busy = false;
    for (const [cid, until] of this.awaited) {
      const there = this.element.querySelector(`[data-card="${CSS.escape(cid)}"]`);
      if (there || performance.now() > until) this.awaited.delete(cid);
    }
    if (this.over.signal.aborted) return;
    if (this.again) this.look();
    else this.lookAgain();
  }

  // Show what is new since the page was loaded: media, how many there are, and what was found out about some of them.
  async renew() {
    const { turn } = this;
    const gallery = this.element.querySelector("#gallery");
    const there = this.working ? null : await this.now();
    if (!there || turn !== this.turn || !gallery.isConnected) return; // something else is looked for by now
    const list = gallery.querySelector("#items");
    const found = [...(there.querySelector("#items")?.children ?? [])].filter((each) => !this.gone.has(each.dataset.card));
    if (!list) {
      if (found.length) gallery.replaceWith(there);
      if (found.length) arrived(there);
      return;
    }
    gallery.querySelector("[role=status]").textContent = there.querySelector("[role=status]").textContent;
    const cards = new Map([...list.children].map((each) => [each.dataset.card, each]));
    const last = found.findLastIndex((each) => cards.has(each.dataset.card)); // those after it come by "Show more"
    const fresh = found.filter((each, index) => !cards.has(each.dataset.card) && (index < last || last < 0));
    list.prepend(...fresh);
    fresh.forEach(arrived);
    for (const each of found) {
      const old = cards.get(each.dataset.card);
      if (!old || !("pending" in old.dataset) || "pending" in each.dataset) continue;
      if (old.contains(this.last)) this.last = each.querySelector("[data-pick]"); // a range still goes from there
      exchange(old, each);
    }
  }

  async now() {
    const answer = await fetch(location.href, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#gallery");
  }
}

// Puts an item in the place of the same from before; it stays chosen, and who was in it with the keyboard stays there.
function exchange(old, card) {
  const pick = card.querySelector("[data-pick]");
  if (pick) pick.checked = old.querySelector("[data-pick]").checked;
  const focused = old.contains(document.activeElement) && (document.activeElement.matches("[data-pick]") ? "[data-pick]" : "a");
  old.replaceWith(card);
  arrived(card);
  if (focused) card.querySelector(focused)?.focus({ preventScroll: true });
}

function uploadRow(entry) {
  const row = document.createElement("li");
  const line = document.createElement("div");
  line.className = "flex items-center gap-3";
  const name = document.createElement("span");
  name.className = "min-w-0 flex-1 truncate font-medium";
  name.textContent = entry.file.name;
  const bytes = document.createElement("span");
  bytes.className = "text-sm whitespace-nowrap text-mute";
  bytes.textContent = size(entry.file.size);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-small";
  button.addEventListener("click", () => {
    if (entry.state === "going") entry.stop.abort();
    else if (entry.state === "waiting") Object.assign(entry, { state: "cancelled", word: "Cancelled" });
    else Object.assign(entry, { state: "waiting", share: 0, word: "Waiting for the others", stop: new AbortController() });
    work();
  });
  line.append(name, bytes, button);
  const bar = document.createElement("progress");
  bar.className = "bar";
  bar.max = 1;
  bar.setAttribute("aria-label", `Upload of ${entry.file.name}`);
  const word = document.createElement("p");
  row.append(line, bar, word);
  row.parts = { name, bar, word, button };
  return row;
}

// Adds tags to those that an item has; again where somebody changed them meanwhile.
async function tagged(card, tags) {
  const address = `/cache/${card.dataset.card}/meta`;
  let answer;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const found = await ask("GET", address);
    const fresh = found.ok ? tags.filter((each) => !found.body.tags.includes(each)) : [];
    if (!fresh.length) return found;
    const headers = { "Content-Type": "application/merge-patch+json", "If-Match": found.headers.get("ETag") };
    answer = await ask("PATCH", address, JSON.stringify({ tags: [...found.body.tags, ...fresh] }), headers);
    if (answer.ok) fresh.forEach((each) => label(card, each));
    if (answer.status !== 412) break;
  }
  return answer;
}

function label(card, tag) {
  const link = document.createElement("a");
  link.className = "rounded-full bg-sunk px-2 py-0.5 text-sm text-mute";
  link.href = `/media?${new URLSearchParams({ tag })}`;
  link.textContent = tag;
  card.querySelector("[data-tags]").append(link);
  window.htmx?.process(link);
}
