// Begins what stands on a page, and ends it when another page takes its place.
//
// An element with data-module="dag" is given to the default export of dag.js: (element) => a function that ends it, or
// nothing. Modules are loaded when a page needs them.

import { send } from "./forms.js";
import { show } from "./times.js";
import { say } from "./saying.js";

const ends = new Map(); // element → what ends its module

async function begin(element) {
  if (ends.has(element)) return;
  ends.set(element, () => {});
  try {
    const module = await import(`./${element.dataset.module}.js`);
    if (!element.isConnected) return;
    ends.set(element, module.default(element) ?? (() => {}));
  } catch (error) {
    console.error(error);
    say(`This part of the page could not be started (${element.dataset.module}). Reload the page.`, "bad");
  }
}

function arrive(root) {
  for (const [element, end] of ends) {
    if (!element.isConnected) {
      ends.delete(element);
      end();
    }
  }
  if (root.matches?.("[data-module]")) begin(root);
  for (const element of root.querySelectorAll("[data-module]")) begin(element);
  show(root);
  const main = document.getElementById("main");
  if (main?.dataset.title) document.title = main.dataset.title;
}

document.addEventListener("htmx:load", (event) => arrive(event.detail.elt));
arrive(document.body); // before htmx is there, and without it

// An answer to what has left the page changes nothing on the one that came instead.
document.addEventListener("htmx:beforeCleanupElement", ({ target }) => {
  if (target.classList.contains("htmx-request")) target.addEventListener("htmx:beforeOnLoad", (late) => late.preventDefault());
});
document.addEventListener("htmx:sendError", () => say("The server does not answer. Is it still running?", "bad"));
document.addEventListener("htmx:afterSettle", (event) => {
  // Who reads by ear or goes by keyboard is taken to the new page, as if the browser had loaded it.
  if (event.detail.target.id === "main" && event.detail.boosted) document.getElementById("main").focus({ preventScroll: true });
});

// Links and forms are htmx's, by hx-boost; those that are sent to the API are not.
document.addEventListener("htmx:confirm", (event) => {
  if (event.target.dataset.api) event.preventDefault();
});
document.addEventListener("submit", (event) => {
  if (event.target.dataset.api) {
    event.preventDefault();
    send(event.target, event.submitter);
  }
});

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    // Browsers give no clipboard to pages on plain HTTP from another machine.
    const copied = await navigator.clipboard?.writeText(copy.dataset.copy).then(() => true, () => false);
    say(copied ? "Copied" : `Your browser does not let this page copy. Here it is: ${copy.dataset.copy}`);
  }
  if (event.target.closest("[data-theme-switch]")) {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `artdag_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
    document.dispatchEvent(new Event("artdag:theme"));
  }
});
