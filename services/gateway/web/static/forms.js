// Sends forms to the API as programs would: <form data-api="POST /runs/{id}/cancel">.
//
// data-then   where to go after it: an address, in which {name} stands for a member of the answer; without it the page
//             is fetched anew
// data-sure   a question to be answered with yes before anything is sent
// data-type   "form" sends the fields as multipart/form-data, "yaml" the field named body as a recipe; else JSON, in
//             which a name with dots is a member of a member, data-kind="number|list|json" of a field says what its
//             text means, and empty fields are left out, or null where they have data-clears
//
// What the server finds wrong with a field is shown at the field, everything else above the form's buttons.

import { hold } from "./parts.js";
import { say } from "./saying.js";

const WRONG = "wrong-"; // before the id of what is said of a field
const KEYS = new WeakMap(); // form → key of what it holds: sending it twice has one effect

const AGAIN = 500; // ms after which what the server keeps for later (202) is asked for again, under its key
const PATIENCE = 120_000; // ms after which it is not any more
const KEPT = "The server keeps it, and has not come to it yet. It will be done; look again in some minutes.";

// Ask the API. Returns {ok, status, headers, body}; never throws: a server that is away is a problem like any other, and
// so is one that does not come to what it keeps.
export async function ask(method, address, body, headers = {}) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const answer = await once(method, address, body, headers);
    if (answer.status !== 202 || !answer.body?.command_id || !headers["Idempotency-Key"]) return answer;
    if (Date.now() > until) return { ...answer, ok: false, body: { detail: KEPT } };
    await new Promise((done) => setTimeout(done, AGAIN));
  }
}

async function once(method, address, body, headers) {
  try {
    const answer = await fetch(address, { method, body, headers: { Accept: "application/json", ...headers } });
    const text = await answer.text();
    return { ok: answer.ok, status: answer.status, headers: answer.headers, body: text ? JSON.parse(text) : null };
  } catch (error) {
    return { ok: false, status: 0, headers: new Headers(), body: { detail: "The server does not answer; nothing was changed as far as we know." } };
  }
}

// Return a key that nobody has. Not crypto.randomUUID: browsers lack it on plain HTTP from another machine.
export function freshKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
}

const SIGNED_OUT = ["unauthenticated", "token-revoked", "token-expired"]; // codes of problems

// Return what a person has to read of a problem.
export function told(problem) {
  if (SIGNED_OUT.includes(problem?.code)) return "You are not signed in, or not any more. Sign in in another tab, then do this again.";
  const said = problem?.detail ?? "Something went wrong.";
  return `${said[0].toUpperCase()}${said.slice(1)}${/[.?!]$/.test(said) ? "" : "."}`;
}

// Go to a page as a link would. The page that is shown is fetched anew; whoever looks at it stays where they are on it.
export async function go(address) {
  if (!window.htmx) {
    location.assign(address);
    return;
  }
  const here = address === location.pathname + location.search;
  const again = here ? hold(document.getElementById("main")) : () => document.getElementById("main").focus({ preventScroll: true });
  const swap = here ? "outerHTML" : "outerHTML show:window:top";
  const how = { target: "#main", select: "#main", swap, source: document.body, push: here ? undefined : "true" };
  const arrived = await window.htmx.ajax("GET", address, how).then(() => true, () => false); // why not is said by app.js
  if (arrived) again(document.getElementById("main"));
}

export async function send(form, submitter) {
  if (form.dataset.sure && !(await sure(form.dataset.sure, submitter?.textContent))) return;
  const [method, address] = form.dataset.api.split(" ");
  const { body, headers } = packed(form);
  const there = filled(address, form);
  const identity = `${there}\n${typeof body === "string" ? body : Math.random()}`;
  if (KEYS.get(form)?.identity !== identity) KEYS.set(form, { identity, key: freshKey() });
  const held = document.activeElement;
  const buttons = form.querySelectorAll("button:enabled");
  buttons.forEach((each) => (each.disabled = true));
  form.setAttribute("aria-busy", "true");
  const answer = await ask(method, there, body, { ...headers, "Idempotency-Key": KEYS.get(form).key });
  buttons.forEach((each) => (each.disabled = false));
  form.removeAttribute("aria-busy");
  if (document.activeElement === document.body && form.contains(held)) held.focus({ preventScroll: true }); // as it was disabled
  clear(form);
  if (!answer.ok) {
    blame(form, answer.body);
    form.dispatchEvent(new CustomEvent("artdag:refused", { bubbles: true, detail: answer }));
    return;
  }
  KEYS.delete(form);
  const done = new CustomEvent("artdag:sent", { bubbles: true, cancelable: true, detail: answer });
  if (!form.dispatchEvent(done)) return;
  if (form.dataset.said) say(form.dataset.said);
  if (form.dataset.then) go(form.dataset.then.replace(/\{([^}]+)\}/g, (_, name) => encodeURIComponent(answer.body?.[name] ?? "")));
  else go(location.pathname + location.search);
}

function filled(address, form) {
  return address.replace(/\{([^}]+)\}/g, (_, name) => encodeURIComponent(form.elements[name]?.value ?? ""));
}

function packed(form) {
  const data = new FormData(form);
  if (form.dataset.type === "form") return { body: data, headers: {} };
  if (form.dataset.type === "yaml") return { body: data.get("body"), headers: { "Content-Type": "application/yaml" } };
  const members = {};
  for (const [name, value] of data) {
    if (form.dataset.api.includes(`{${name}}`)) continue;
    const field = form.querySelector(`[name="${CSS.escape(name)}"]`);
    const clears = value === "" && field && "clears" in field.dataset;
    const meant = clears ? null : meaning(value, field?.dataset.kind ?? (field?.type === "checkbox" ? "flag" : ""));
    if (meant === undefined) continue;
    const path = name.split(".");
    let place = members;
    for (const part of path.slice(0, -1)) place = place[part] ??= {};
    place[path.at(-1)] = meant;
  }
  return Object.keys(members).length || data.keys().next().value !== undefined
    ? { body: JSON.stringify(members), headers: { "Content-Type": "application/json" } }
    : { body: undefined, headers: {} };
}

function meaning(text, kind) {
  if (text === "") return undefined;
  if (kind === "flag") return true;
  if (kind === "number") return Number(text);
  if (kind === "list") return text.split(",").map((each) => each.trim()).filter(Boolean);
  if (kind === "json") return JSON.parse(text);
  return text;
}

// Take away what blame showed.
export function clear(form) {
  form.querySelectorAll(".wrong:not([data-wrong])").forEach((each) => each.remove());
  form.querySelectorAll("[aria-invalid]").forEach((each) => {
    each.removeAttribute("aria-invalid");
    describe(each, hints(each).filter((id) => !id.startsWith(WRONG)));
  });
}

function hints(field) {
  return (field.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean);
}

function describe(field, ids) {
  if (ids.length) field.setAttribute("aria-describedby", ids.join(" "));
  else field.removeAttribute("aria-describedby");
}

// Show what is wrong: at its field where the problem names one.
export function blame(form, problem) {
  let elsewhere = !problem?.problems?.length;
  let first = null;
  for (const each of problem?.problems ?? []) {
    const field = form.querySelector(`[name="${CSS.escape(each.field ?? "")}"]`);
    if (!field) { elsewhere = true; continue; }
    field.setAttribute("aria-invalid", "true");
    const line = wrong(`Has to be: ${each.problem}`);
    line.id = `${WRONG}${field.id || each.field}`;
    describe(field, [line.id, ...hints(field)]);
    field.after(line);
    first ??= field;
  }
  first?.focus();
  if (!elsewhere) return;
  const text = told(problem);
  if (form.querySelector("input:not([type=hidden]), textarea, select")) {
    const line = wrong(text);
    line.setAttribute("role", "alert");
    const buttons = form.querySelector("[data-buttons]") ?? form.querySelector("button:last-of-type");
    buttons.before(line);
  } else say(text, "bad");
}

function wrong(text) {
  const line = document.createElement("p");
  line.className = "wrong";
  line.textContent = text;
  return line;
}

// Ask a question that has to be answered before something is done. Resolves to whether it is to be done.
export function sure(question, yes = "Yes") {
  const dialog = document.createElement("dialog");
  dialog.className = "panel m-auto max-w-md p-6 text-ink backdrop:bg-black/50";
  dialog.setAttribute("aria-label", question);
  const text = document.createElement("p");
  text.className = "mb-4";
  text.textContent = question;
  const form = document.createElement("form");
  form.method = "dialog";
  form.className = "flex justify-end gap-2";
  for (const [value, label, look] of [["", "No, go back", "button"], ["yes", yes.trim(), "button button-bad"]]) {
    const button = document.createElement("button");
    Object.assign(button, { value, textContent: label, className: look });
    form.append(button);
  }
  dialog.append(text, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    resolve(dialog.returnValue === "yes");
    dialog.remove();
  }));
}
