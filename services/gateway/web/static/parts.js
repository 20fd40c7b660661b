// Brings parts of a run's page up to date from a newer version of it, and leaves alone what is the same or in hand.
//
// A part is an element with data-fresh and an id. Where scripts change a part, data-version says what it is.

import { arrived } from "./morph.js";

export async function look(address) {
  const answer = await fetch(address, { headers: { "HX-Request": "true" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { ok: answer.ok, status: answer.status, page };
}

// Replace the parts of `here` by those of `page`; `where` chooses among the values of data-fresh.
export function freshen(here, page, where = "") {
  for (const part of here.querySelectorAll(`[data-fresh="${where}"][id]`)) {
    const found = page.getElementById(part.id);
    if (found && !same(found, part)) put(part, document.adoptNode(found));
  }
}

// Put a new part in an old one's place; who was in it with the keyboard stays there. Return what stands there now.
export function put(old, part) {
  if (old.matches(":has(:active, [aria-busy])")) return old; // pressed at this moment
  const again = hold(old);
  old.replaceWith(part);
  arrived(part);
  again(part);
  return part;
}

// Return what puts the focus, where it is in a part, to the same place in a newer version; where that is gone, to what
// can be pressed there first, or to the beginning of the page.
export function hold(old) {
  const held = document.activeElement;
  if (!old.contains(held)) return () => {};
  const path = name(held);
  return (part) => {
    const again = held === old ? part : (path && part.querySelector(path)) ?? part.querySelector("button, a[href]");
    (again ?? document.getElementById("main"))?.focus({ preventScroll: true });
  };
}

// A selector that finds the same again in a newer version; null: nothing tells it apart.
function name(element) {
  const form = element.closest("form[data-api]");
  if (form) return `form[data-api="${CSS.escape(form.dataset.api)}"] button`;
  if (element.id) return `#${CSS.escape(element.id)}`;
  return element.hasAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;
}

function same(one, other) {
  if ("version" in one.dataset) return one.dataset.version === other.dataset.version;
  return plain(one) === plain(other);
}

// What the server said, without what scripts made of it here.
function plain(part) {
  const copy = part.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) {
    time.textContent = "";
    time.removeAttribute("title");
  }
  for (const each of copy.querySelectorAll('[class=""]')) each.removeAttribute("class");
  return copy.outerHTML;
}
