// A dialog in which content is chosen from what somebody sees of the media: searched by name, by mouse or by keyboard.
//
// pick({kind, many, title}) resolves to [{cid, name, said, thumbnail}], in the order in which they were chosen; empty:
// nothing was. kind: "video", "audio", "image", or "" for all.

import { ask, told } from "./forms.js";

const PAGE = 24;
const PATIENCE = 250; // ms after the last letter

let opened = 0;

export function pick({ kind = "", many = false, title = "Choose" }) {
  const picker = new Picker(kind, many, title);
  picker.look();
  return picker.done;
}

class Picker {
  constructor(kind, many, title) {
    this.kind = kind;
    this.many = many;
    this.chosen = new Map();
    this.asked = 0;
    this.cursor = "";
    const id = `picker-${(opened += 1)}`;
    this.dialog = made("dialog", "panel m-auto w-[min(56rem,94vw)] max-h-[88vh] flex-col gap-3 p-4 text-ink backdrop:bg-black/50 open:flex");
    this.dialog.setAttribute("aria-labelledby", id);
    const heading = made("h2", "", title);
    heading.id = id;
    const close = button("Close", "button button-small");
    const head = made("div", "flex items-center justify-between gap-3");
    head.append(heading, close);
    this.field = made("input", "input");
    Object.assign(this.field, { type: "search", placeholder: "Part of a name, or a CID", autocomplete: "off", maxLength: 200 });
    this.field.setAttribute("aria-label", "Search your media");
    this.told = made("p", "text-sm text-mute");
    this.told.setAttribute("role", "status");
    this.list = made("ul", "grid grid-cols-2 gap-3 sm:grid-cols-3 lg:grid-cols-4");
    this.list.setAttribute("aria-label", "Media");
    this.rest = button("Show more", "button");
    this.rest.hidden = true;
    this.take = button("Take it as it is written", "button");
    this.take.hidden = true;
    const middle = made("div", "flex min-h-40 flex-col gap-3 overflow-y-auto p-1");
    middle.append(this.list, this.rest, this.take);
    this.ready = button("Take what is chosen", "button button-main");
    this.ready.hidden = !many;
    this.ready.disabled = true;
    this.dialog.append(head, this.field, this.told, middle, this.ready);
    document.body.append(this.dialog);
    this.listen(close);
    this.dialog.showModal();
    this.field.focus();
  }

  listen(close) {
    let waiting = 0;
    this.field.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => this.look(), PATIENCE);
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        this.list.querySelector("button")?.focus();
      } else if (event.key === "Enter") {
        event.preventDefault();
        clearTimeout(waiting);
        this.look();
      }
    });
    this.list.addEventListener("keydown", (event) => this.move(event));
    this.rest.addEventListener("click", () => this.look(true));
    this.take.addEventListener("click", () => {
      const name = this.field.value.trim();
      this.press({ cid: name, name, said: "", thumbnail: "" });
    });
    this.ready.addEventListener("click", () => this.end([...this.chosen.values()]));
    close.addEventListener("click", () => this.end([]));
    this.done = new Promise((resolve) => {
      this.end = (found) => {
        clearTimeout(waiting);
        this.asked += 1;
        resolve(found);
        this.dialog.close();
      };
      this.dialog.addEventListener("close", () => {
        resolve([]); // by Escape
        this.dialog.remove();
      });
    });
  }

  // Fetch what there is: anew, or the following page.
  async look(further = false) {
    const asked = (this.asked += 1);
    const name = this.field.value.trim();
    const query = new URLSearchParams({ limit: PAGE, ...(this.kind && { kind: this.kind }), ...(name && { name }), ...(further && { cursor: this.cursor }) });
    this.told.textContent = "Looking…";
    const answer = await ask("GET", `/media?${query}`);
    if (asked !== this.asked) return;
    if (!answer.ok) {
      this.told.textContent = told(answer.body);
      return;
    }
    const { media, total, next } = answer.body;
    if (!further) this.list.replaceChildren();
    for (const each of media) this.list.append(this.tile(each));
    this.cursor = next ?? "";
    this.rest.hidden = !next;
    this.take.hidden = !name || total > 0;
    this.told.textContent = total ? `${total} found` : name ? "Nothing of that name among what you see" : "There is nothing of this kind yet: close this, and upload it";
  }

  tile(it) {
    const name = it.title || it.cid;
    const said = [it.facts?.duration ? `${Math.round(it.facts.duration * 10) / 10} s` : "", it.media_type].filter(Boolean).join(" · ");
    const press = button("", "panel flex w-full flex-col overflow-hidden text-left hover:border-accent aria-pressed:border-accent aria-pressed:bg-accent-soft");
    const frame = made("span", "flex aspect-video w-full items-center justify-center overflow-hidden bg-sunk text-sm text-mute");
    const thumbnail = it.preview?.thumbnail ?? it.preview?.waveform ?? "";
    if (thumbnail) {
      const picture = made("img", it.preview.thumbnail ? "size-full object-cover" : "h-2/3 w-full");
      Object.assign(picture, { src: thumbnail, alt: "", loading: "lazy" });
      picture.addEventListener("error", () => picture.replaceWith(it.kind ?? ""));
      frame.append(picture);
    } else frame.append(it.kind ?? "data");
    press.append(frame, made("span", "w-full truncate px-2 pt-1 font-medium", name), made("span", "w-full truncate px-2 pb-1 text-sm text-mute", said));
    if (this.many) press.setAttribute("aria-pressed", String(this.chosen.has(it.cid)));
    press.addEventListener("click", () => this.press({ cid: it.cid, name, said, thumbnail }, press));
    const line = made("li", "min-w-0");
    line.append(press);
    return line;
  }

  press(it, tile) {
    if (!this.many) return this.end([it]);
    if (this.chosen.has(it.cid)) this.chosen.delete(it.cid);
    else this.chosen.set(it.cid, it);
    tile?.setAttribute("aria-pressed", String(this.chosen.has(it.cid)));
    this.ready.disabled = !this.chosen.size;
    this.ready.textContent = this.chosen.size ? `Take ${this.chosen.size}` : "Take what is chosen";
    if (!tile) this.told.textContent = `${it.name} is chosen`;
    return undefined;
  }

  // Arrow keys go over the tiles as they lie.
  move(event) {
    const tiles = [...this.list.querySelectorAll("button")];
    const at = tiles.indexOf(document.activeElement);
    const wide = tiles.findIndex((tile) => tile.offsetTop > tiles[0].offsetTop);
    const far = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: wide < 0 ? tiles.length : wide, ArrowUp: wide < 0 ? -tiles.length : -wide }[event.key];
    if (far === undefined || at < 0) return;
    event.preventDefault();
    const next = at + far;
    if (next < 0 && event.key === "ArrowUp") this.field.focus();
    else tiles[Math.min(tiles.length - 1, Math.max(0, next))].focus();
  }
}

function made(tag, look, text = "") {
  const element = document.createElement(tag);
  element.className = look;
  if (text) element.textContent = text;
  return element;
}

function button(text, look) {
  return Object.assign(made("button", look, text), { type: "button" });
}
