// The page of one thing of content: its words are edited in place, what is found out about it comes in when it is known,
// and a refusal to delete it stays to be read.

import { ask, blame, clear, go, told } from "./forms.js";
import { look, put } from "./parts.js";
import { refused } from "./refusals.js";
import { say } from "./saying.js";

const LOOK_AGAIN = 1500; // ms

export default function item(element) {
  const over = new AbortController();
  const { signal } = over;
  const called = element.querySelector("[data-called]");
  const form = element.querySelector("[data-words]");
  const edit = element.querySelector("[data-edit]");

  function turn(editing) {
    called.hidden = editing;
    form.hidden = !editing;
    if (editing) form.elements.name.focus();
    else edit.focus();
  }

  edit?.addEventListener("click", () => turn(true), { signal });
  form?.querySelector("[data-leave]").addEventListener("click", () => leave(), { signal });
  form?.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
  }, { signal });
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    save(element.dataset.here, form);
  }, { signal });
  element.addEventListener("artdag:refused", (event) => {
    const place = element.querySelector("[data-refused]");
    if (!place?.parentElement.contains(event.target)) return;
    place.replaceChildren(refused(event.detail.body));
    place.hidden = false;
  }, { signal });

  function leave() {
    form.reset();
    clear(form);
    turn(false);
  }

  let timer = 0;

  function lookAgain() {
    if (element.querySelector("#seen[data-pending]")) timer = setTimeout(known, LOOK_AGAIN);
  }

  async function known() {
    const { ok, page } = await look(element.dataset.here).catch(() => ({}));
    if (signal.aborted) return;
    const seen = ok && page.getElementById("seen");
    if (seen && !("pending" in seen.dataset)) show(element.querySelector("#seen"), seen, page.getElementById("facts"));
    lookAgain();
  }

  lookAgain();
  element.dataset.alive = "";
  return () => {
    over.abort();
    clearTimeout(timer);
  };
}

// What plays, or was begun to be played, stays as it is.
function show(old, seen, facts) {
  put(document.getElementById("facts"), facts);
  const media = old.querySelector("video, audio");
  if (media && (!media.paused || media.currentTime)) {
    old.removeAttribute("data-pending");
    old.querySelector("[data-looking]").remove();
  } else put(old, seen);
}

async function save(here, form) {
  const change = changed(form);
  if (!Object.keys(change).length) {
    go(here);
    return;
  }
  const buttons = form.querySelectorAll("button");
  buttons.forEach((each) => (each.disabled = true));
  const headers = { "Content-Type": "application/merge-patch+json", "If-Match": form.dataset.tag };
  const answer = await ask("PATCH", `${here}/meta`, JSON.stringify(change), headers);
  buttons.forEach((each) => (each.disabled = false));
  clear(form);
  if (answer.ok) {
    say("Saved");
    go(here);
  } else if (answer.status === 412) await meanwhile(here, form);
  else blame(form, answer.body);
}

// What is said differently now: null takes a word away. What was left as it was is not sent.
function changed(form) {
  const { name, description, tags } = form.elements;
  const change = {};
  for (const field of [name, description]) {
    if (field.value !== field.defaultValue) change[field.name] = field.value.trim() || null;
  }
  if (tags.value !== tags.defaultValue) {
    change.tags = [...new Set(tags.value.split(",").map((each) => each.trim()).filter(Boolean))];
  }
  return change;
}

// Somebody changed it since the page was loaded: say how it is now, and let the reader decide.
async function meanwhile(here, form) {
  const answer = await ask("GET", `${here}/meta`);
  const now = answer.body;
  if (!answer.ok) {
    blame(form, now);
    return;
  }
  form.dataset.tag = answer.headers.get("ETag");
  const words = [now.name ?? "without a name", now.description, now.tags.join(", ")].filter(Boolean).join(" · ");
  blame(form, { detail: told({ detail: `It was changed meanwhile, and is now: ${words}. Save again to replace that with what stands here` }) });
}
