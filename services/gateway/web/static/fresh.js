// Keeps a page up to date while somebody looks at it, and takes nothing from them: neither focus, nor place, nor what
// they have loaded below or chosen.
//
// The page's own address is asked again, sooner while something on it goes on. Elements with data-part and an id are
// made like those of the answer. In a list with data-rows the rows have an id, and in data-page the address of the page
// of the list that they came on; of pages further down only those are asked again on which something goes on.

import { arrived, leave, morph } from "./morph.js";
import { say } from "./saying.js";

const SOON = 2_000; // ms
const LATER = 15_000;
const GOING = ["requested", "analyzing", "running"].map((each) => `[data-status="${each}"]`).join();

export default function fresh(element) {
  const first = location.pathname + location.search;
  const list = element.querySelector("[data-rows]");
  let timer = 0;
  let asking = false;

  async function look() {
    clearTimeout(timer);
    if (asking || document.hidden) return;
    asking = true;
    const addresses = new Set([first]);
    for (const badge of list?.querySelectorAll(GOING) ?? []) addresses.add(badge.closest("[data-page]").dataset.page);
    for (const address of addresses) {
      const found = await page(address);
      if (!found || !element.isConnected) break;
      if (address === first) for (const part of element.querySelectorAll("[data-part]")) renew(part, found);
      if (list) rows(list, found, address);
    }
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

function renew(part, found) {
  const there = found.getElementById(part.id);
  if (!there || part.isEqualNode(there)) return;
  morph(part, there);
  arrived(part);
}

function rows(list, found, address) {
  const wanted = [...(found.querySelector("[data-rows]")?.children ?? [])];
  const known = new Map([...list.children].map((row) => [row.id, row]));
  const ids = new Set(wanted.map((row) => row.id));
  const last = known.get(wanted.at(-1)?.id);
  const following = found.querySelector("#more a")?.getAttribute("href");
  for (const row of known.values()) {
    if (row.dataset.page !== address || ids.has(row.id)) continue;
    const pushed = following && last && last.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    if (pushed) row.dataset.page = following; // newer ones have come above it
    else leave(row);
  }
  let before = null;
  for (const row of wanted) {
    const here = known.get(row.id);
    if (here) {
      if (!here.isEqualNode(row)) {
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
