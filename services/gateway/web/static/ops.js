// Keeps the operator's page up to date while it is looked at: asks for it again every two seconds, and puts in what is
// different. Nothing is taken from the reader: focus, place, what is opened, typed or selected stays.

import { renew } from "./fresh.js";
import { say } from "./saying.js";
import { show } from "./times.js";

const EVERY = 2_000; // ms

export default function ops(element) {
  const here = location.pathname + location.search;
  const button = element.querySelector("[data-pause]");
  const lost = element.querySelector("[data-lost]");
  let timer = 0;
  let asking = false;
  let paused = false;
  let over = false;

  async function ask(address) {
    const answer = await fetch(address, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (answer?.ok) return new DOMParser().parseFromString(await answer.text(), "text/html");
    over = answer?.status === 401 || answer?.status === 403;
    notice(over ? "You are signed out. What you see is how it was then." : "The server does not answer; what you see is how it was. Trying again…");
    return null;
  }

  async function look(asked = false) { // asked: by the reader, also while nothing is to move
    clearTimeout(timer);
    if (asking || over || document.hidden || !element.isConnected || (paused && !asked)) return;
    asking = true;
    const now = await renew(element, here, ask).catch(() => null);
    asking = false;
    if (!element.isConnected) return;
    if (now) {
      notice("");
      show(element);
    }
    clearTimeout(timer);
    if (!paused && !over) timer = setTimeout(look, EVERY);
  }

  function notice(text) {
    if (lost.textContent === text) return;
    lost.textContent = text;
    lost.hidden = !text;
  }

  function pause() {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    element.dataset.paused = paused ? "yes" : "";
    look();
  }

  function sent(event) { // what was done to a dead letter shows here
    event.preventDefault();
    if (event.target.dataset.said) say(event.target.dataset.said);
    event.target.closest("li")?.querySelector("details")?.removeAttribute("open");
    setTimeout(() => look(true), 600); // what was found is shown for half a second to all who ask
  }

  const seen = () => look();
  element.addEventListener("artdag:sent", sent);
  document.addEventListener("visibilitychange", seen);
  button.addEventListener("click", pause);
  button.hidden = false;
  timer = setTimeout(look, EVERY);
  return () => {
    over = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
