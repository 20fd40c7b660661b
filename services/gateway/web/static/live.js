// Keeps a run's page up to date while the run goes on: its head and what it works on at once, lists that are larger now
// and then, and at the end the whole tab.

import { ENDINGS, follow } from "./stream.js";
import { freshen, look, put } from "./parts.js";
import { say } from "./saying.js";

const EVERY = 500; // ms between two looks at what is small
const SELDOM = 2_000; // and at what is large
const SAID = { RunCompleted: ["The run is completed", ""], RunFailed: ["The run has failed", "bad"], RunCancelled: ["The run was cancelled", ""] };

export default function live(element) {
  const tabs = element.querySelector(".tabs");
  const here = tabs.querySelector("[aria-current]");
  if (here) tabs.scrollLeft = here.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - here.offsetWidth) / 2; // on a phone
  if (!("going" in element.dataset)) return undefined;
  const base = `/run/${element.dataset.run}`;
  const lost = element.querySelector("[data-lost]");
  let ended = false;
  const small = often(EVERY, () => refresh());
  const lists = () => element.querySelector('[data-fresh="here"]:not([data-panel] *), [data-fresh="whole"]');
  const large = often(SELDOM, () => lists() && refresh(location.href));

  async function refresh(address = `${base}/standing`) {
    let found;
    try {
      found = await look(address);
    } catch {
      return; // the stream says that the connection is lost
    }
    if (!element.isConnected) return;
    if (!found.ok) {
      if (found.status === 401 || found.status === 404) gone(found.status);
      return;
    }
    freshen(element, found.page);
    if (address === location.href) {
      freshen(element, found.page, "here");
      if (element.querySelector('[data-fresh="whole"]') && !found.page.querySelector('[data-fresh="whole"]')) whole(found.page);
    }
    const going = found.page.querySelector("[data-run][data-going]");
    if (!going && !ended) finish();
  }

  // It is over: the tab as it is now, unless it shows that by itself.
  async function finish() {
    if (ended) return;
    ended = true;
    stop();
    const stays = element.querySelector("[data-stay]");
    if (stays) {
      await refresh(lists() ? location.href : undefined);
      return;
    }
    const found = await look(location.href).catch(() => undefined);
    if (!found || !element.isConnected) return;
    if (found.ok) whole(found.page);
    else if (found.status === 401 || found.status === 404) gone(found.status);
  }

  function whole(page) {
    const main = page.getElementById("main");
    const here = document.getElementById("main");
    if (!main || !here) return;
    put(here, document.adoptNode(main));
  }

  function gone(status) {
    stop();
    notice(
      status === 401 ? "You are signed out. What you see is how it was then." : "This run was deleted. What you see is how it was.",
      status === 401 ? ["Sign in", `/auth?next=${encodeURIComponent(location.pathname)}`] : ["All runs", "/runs"],
    );
  }

  function notice(text, link) {
    lost.replaceChildren(text);
    lost.hidden = !text;
    if (!link) return;
    const there = Object.assign(document.createElement("a"), { textContent: link[0], href: link[1] });
    lost.append(" ", there);
  }

  const unfollow = follow(element.dataset.run, Number(element.dataset.after), (type, data) => {
    if (type === "lost") notice("The connection is lost; what you see may be old. Trying again…");
    else if (type === "refused") gone(data.status);
    else if (type === "progress") {
      progress(element, data);
      large();
    } else if (ENDINGS.has(type)) {
      if (SAID[type]) say(...SAID[type]);
      finish();
    } else if (type === "over") finish();
    else {
      if (type === "open") notice("");
      small();
      if (type !== "open") large();
    }
  });

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
