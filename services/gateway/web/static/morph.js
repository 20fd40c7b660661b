// Makes an element like another one, and lets stand what is the same: focus, what is chosen, opened or being sent stays.

import { show } from "./times.js";

const OWN = new Set(["open", "data-alive"]); // attributes that the reader or a script has set

// Make `here` like `there`. Children with an id are known by it, others by their place.
export function morph(here, there) {
  if (here.isEqualNode(there) || here.getAttribute("aria-busy") === "true") return;
  if (here.localName === "time" && here.dateTime === there.dateTime) return; // times.js has put words there
  for (const { name } of [...here.attributes]) if (!there.hasAttribute(name) && !OWN.has(name)) here.removeAttribute(name);
  for (const { name, value } of there.attributes) if (here.getAttribute(name) !== value) here.setAttribute(name, value);
  const ids = new Set([...there.children].map((each) => each.id).filter(Boolean));
  for (const each of [...here.children]) if (each.id && !ids.has(each.id)) leave(each);
  let place = here.firstChild;
  for (const wanted of [...there.childNodes]) {
    const known = wanted.id ? [...here.children].find((each) => each.id === wanted.id) : alike(place, wanted) && place;
    if (!known) here.insertBefore(adopted(wanted), place);
    else if (known === place) place = place.nextSibling;
    else here.insertBefore(known, place);
    if (known && known.nodeType === Node.ELEMENT_NODE) morph(known, wanted);
    else if (known && known.data !== wanted.data) known.data = wanted.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function alike(here, there) {
  return here && here.nodeType === there.nodeType && here.nodeName === there.nodeName && !here.id;
}

function adopted(node) {
  return document.importNode(node, true);
}

// Take an element away. Who was in it is taken to the next one, not to the beginning of the page.
export function leave(element) {
  const next = element.nextElementSibling ?? element.previousElementSibling;
  if (element.contains(document.activeElement)) next?.querySelector("a, button")?.focus({ preventScroll: true });
  element.remove();
}

// Tell everybody that something new stands on the page.
export function arrived(element) {
  window.htmx?.process(element);
  document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: element } }));
  show(element);
}
