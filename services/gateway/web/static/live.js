// Keeps a run's page up to date while the run goes on: its head and what it works on at once, lists that are larger now
// and then, and at the end the whole tab.

import { renew } from "./fresh.js";
import { ENDINGS, follow } from "./stream.js";
import { freshen, look, put } from "./parts.js";
import { say } from "./saying.js";

const EVERY = 500; // ms between two looks at what is small
const SELDOM = 2_000; // and at what is large
const SAID = new Map([
  ["RunPaused", ["The run is paused"]], ["RunResumed", ["The run goes on"]], ["RunCompleted", ["The run is completed"]],
  ["RunFailed", ["The run has failed", "bad"]], ["RunCancelled", ["The run was cancelled"]],
]);

export default function live(element) {
  const tabs = element.querySelector(".tabs");
  const chosen = tabs.querySelector("[aria-current]");
  if (chosen) tabs.scrollLeft = chosen.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - chosen.offsetWidth) / 2; // on a phone
  if (!("going" in element.dataset)) return undefined;
  const here = location.pathname + location.search;
  const lost = element.querySelector("[data-lost]");
  let ended = false;
  let refused = false;
  const small = often(EVERY, head);
  const large = often(SELDOM, all);

  // The server's page at an address; null: it could not be had, and why is said where it matters.
  async function ask(address) {
    const found = await look(address).catch(() => null); // the stream says that the connection is lost
    if (!found || !element.isConnected) return null;
    if (found.status === 401 || found.status === 404) gone(found.status);
    return found.ok ? found.page : null;
  }

  async function head() {
    const page = await ask(`/run/${element.dataset.run}/standing`);
    if (page) shown(page);
    return page !== null;
  }

  async function all() {
    if (!element.querySelector('[data-grows], [data-fresh="here"]:not([data-panel] *)')) return true;
    const page = await renew(element, here, ask);
    if (!page) return false;
    freshen(element, page, "here");
    shown(page);
    return true;
  }

  function shown(page) {
    freshen(element, page);
    if (!page.querySelector("[data-run][data-going]")) finish();
  }

  // It is over: the tab as it is now, unless it shows that by itself.
  async function finish() {
    if (ended) return;
    ended = true;
    stop();
    while (!(await renewed())) await new Promise((done) => setTimeout(done, EVERY));
  }

  // Show the tab as it is now. Returns whether that is done, or not to be done any more.
  async function renewed() {
    if (!element.isConnected || refused) return true;
    if (element.matches(":has(:active, [aria-busy])")) return false; // what is in hand would stay as it is
    if (element.querySelector("[data-stay]")) {
      return (await head()) && (await all());
    }
    const page = await ask(here);
    const main = document.getElementById("main");
    return page !== null && element.isConnected && put(main, document.adoptNode(page.getElementById("main"))) !== main;
  }

  function gone(status) {
    ended = refused = true;
    stop();
    notice(
      status === 401 ? "You are signed out. What you see is how it was then." : "This run was deleted. What you see is how it was.",
      status === 401 ? ["Sign in", `/auth?next=${encodeURIComponent(here)}`] : ["All runs", "/runs"],
    );
  }

  function notice(text, link) {
    lost.replaceChildren(text);
    lost.hidden = !text;
    if (!link) return;
    const there = Object.assign(document.createElement("a"), { textContent: link[0], href: link[1] });
    lost.append(" ", there);
  }

  // What the buttons do is shown here, and the reader stays where they are.
  function sent(event) {
    if (ended || event.target.dataset.then) return;
    event.preventDefault();
    head();
  }

  const unfollow = follow(element.dataset.run, Number(element.dataset.after), (type, data) => {
    if (SAID.has(type)) say(...SAID.get(type));
    if (type === "lost") notice("The connection is lost; what you see may be old. Trying again…");
    else if (type === "refused") gone(data.status);
    else if (type === "progress") progress(element, data);
    else if (ENDINGS.has(type) || type === "over") finish();
    else {
      if (type === "open") notice("");
      small();
      if (type !== "open") large();
    }
  });
  element.addEventListener("artdag:sent", sent);

  function stop() {
    small.end();
    large.end();
    unfollow();
  }
  return stop;
}

// Return a function that has something done soon, but not more often than that, and never twice at a time.
function often(pause, work) {
  let timer = 0;
  let busy = false;
  let again = false;
  let over = false;
  function begin() {
    if (timer || over) return;
    if (busy) {
      again = true;
      return;
    }
    timer = setTimeout(async () => {
      timer = 0;
      busy = true;
      await work();
      busy = false;
      if (again) begin();
      again = false;
    }, pause);
  }
  begin.end = () => {
    over = true;
    clearTimeout(timer);
  };
  return begin;
}

function progress(element, data) {
  const bar = element.querySelector(`progress[data-step="${data.step}"]`);
  if (bar && data.total) Object.assign(bar, { max: data.total, value: data.done });
}
