// Keeps a page up to date while somebody looks at it, and takes nothing from them: neither focus, nor place, nor what
// they have loaded below or chosen.
//
// The page's own address is asked again, sooner while something on it goes on. Elements with data-part and an id are
// made like those of the answer. A list says in data-rows at what address its first page is; its rows have an id, and in
// data-page the address of the page that they came on. Of pages further down only those are asked again on which
// something goes on. Where data-grows says "below", new rows come at the foot, and the last page is asked, too; with
// "anywhere" all pages are. A row with data-version is what that says, whatever scripts made of it.

import { arrived, leave, morph } from "./morph.js";
import { say } from "./saying.js";

const SOON = 2_000; // ms
const LATER = 15_000;
const STATES = ["requested", "analyzing", "running", "pending", "scheduled", "waiting"]; // of what may become another by itself
const GOING = STATES.map((each) => `[data-status="${each}"]`).join();

export default function fresh(element) {
  const first = location.pathname + location.search;
  let timer = 0;
  let asking = false;

  async function look() {
    clearTimeout(timer);
    if (asking || document.hidden) return;
    asking = true;
    await renew(element, first, page);
    asking = false;
    if (element.isConnected) timer = setTimeout(look, element.querySelector(GOING) ? SOON : LATER);
  }

  function sent(event) { // what a row's buttons do is shown in the list
    event.preventDefault();
    if (event.target.dataset.said) say(event.target.dataset.said);
    look();
  }

  element.addEventListener("artdag:sent", sent);
  document.addEventListener("visibilitychange", look);
  timer = setTimeout(look, SOON);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

async function page(address) {
  try {
    const answer = await fetch(address, { headers: { "HX-Request": "true" } });
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  } catch (error) {
    return null; // it may be back the next time
  }
}

// Make what an element shows like what the server shows now. Returns the page as it is now; null: it could not be had.
//
// `here` is the page's address; ask(address) resolves to the document there, or null.
export async function renew(element, here, ask) {
  const list = element.querySelector("[data-rows]");
  const { grows, rows: first = here } = list?.dataset ?? {};
  const loaded = [...new Set([first, ...[...(list?.children ?? [])].map((row) => row.dataset.page)])];
  const goes = new Set([...(list?.querySelectorAll(GOING) ?? [])].map((badge) => badge.closest("[data-page]").dataset.page));
  const last = grows ? loaded.at(-1) : "";
  let now = null;
  for (const address of loaded) {
    if (address !== first && address !== last && grows !== "anywhere" && !goes.has(address)) continue;
    const found = await ask(address);
    if (!found || !element.isConnected) return null;
    if (address === first) {
      now = found;
      for (const part of element.querySelectorAll("[data-part]")) remake(part, found);
    }
    if (list) rows(list, found, address, address === first, (page) => !grows || loaded.includes(page));
    if (address === last && [undefined, address].includes(list.lastElementChild?.dataset.page)) more(element, found);
  }
  return now;
}

function remake(part, found) {
  const there = found.getElementById(part.id);
  if (!there || part.isEqualNode(there)) return;
  morph(part, there);
  arrived(part);
}

// What leads on from the last page: there may be one now, or none any more.
function more(element, found) {
  const here = element.querySelector("#more");
  const there = found.getElementById("more");
  const leads = (place) => place?.querySelector("a")?.getAttribute("href");
  if (!here || !there || leads(here) === leads(there)) return;
  const added = document.importNode(there, true);
  here.replaceWith(added);
  arrived(added);
}

// Make the rows of a page like those of the answer. Of those that newer ones have pushed further down, the ones stay of
// whose page stays(address) is true; to the others the list leads on.
function rows(list, found, address, isFirst, stays) {
  const wanted = [...(found.querySelector("[data-rows]")?.children ?? [])];
  const known = new Map([...list.children].map((row) => [row.id, row]));
  const ids = new Set(wanted.map((row) => row.id));
  const last = known.get(wanted.at(-1)?.id);
  const following = found.querySelector("#more a")?.getAttribute("href");
  for (const row of known.values()) {
    if (row.dataset.page !== address || ids.has(row.id)) continue;
    const pushed = following && last && last.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (pushed && stays(following)) row.dataset.page = following;
    else leave(row);
  }
  let before = isFirst ? null : above(list, address);
  for (const row of wanted) {
    const here = known.get(row.id);
    if (here) {
      if (!same(here, row)) {
        morph(here, row);
        arrived(here);
      }
      before = here;
      continue;
    }
    const added = document.importNode(row, true);
    if (before) before.after(added);
    else list.prepend(added);
    arrived(added);
    before = added;
  }
}

// The row that stands above those of a page.
function above(list, address) {
  const top = [...list.children].find((row) => row.dataset.page === address);
  return top ? top.previousElementSibling : list.lastElementChild;
}

function same(here, row) {
  return "version" in here.dataset ? here.dataset.version === row.dataset.version : here.isEqualNode(row);
}
