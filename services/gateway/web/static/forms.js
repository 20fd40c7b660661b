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

import { say } from "./saying.js";

const KEYS = new WeakMap(); // form → key of what it holds: sending it twice has one effect

// Ask the API. Returns {ok, status, body}; never throws: a server that is away is a problem like any other.
export async function ask(method, address, body, headers = {}) {
  try {
    const answer = await fetch(address, { method, body, headers: { Accept: "application/json", ...headers } });
    const text = await answer.text();
    return { ok: answer.ok, status: answer.status, body: text ? JSON.parse(text) : null };
  } catch (error) {
    return { ok: false, status: 0, body: { detail: "The server does not answer; nothing was changed as far as we know." } };
  }
}

// Return a key that nobody has. Not crypto.randomUUID: browsers lack it on plain HTTP from another machine.
export function freshKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
}

// Return what a person has to read of a problem.
export function told(problem) {
  const said = problem?.detail ?? "Something went wrong.";
  return `${said[0].toUpperCase()}${said.slice(1)}${/[.?!]$/.test(said) ? "" : "."}`;
}

// Go to a page as a link would.
export function go(address) {
  if (window.htmx) {
    window.htmx.ajax("GET", address, { target: "#main", select: "#main", swap: "outerHTML show:window:top", source: document.body })
      .then(() => { if (address !== location.pathname + location.search) history.pushState({ htmx: true }, "", address); });
  } else location.assign(address);
}

export async function send(form, submitter) {
  if (form.dataset.sure && !(await sure(form.dataset.sure, submitter?.textContent))) return;
  const [method, address] = form.dataset.api.split(" ");
  const { body, headers } = packed(form);
  const identity = `${address}\n${typeof body === "string" ? body : Math.random()}`;
  if (KEYS.get(form)?.identity !== identity) KEYS.set(form, { identity, key: freshKey() });
  const buttons = form.querySelectorAll("button");
  buttons.forEach((each) => (each.disabled = true));
  form.setAttribute("aria-busy", "true");
  const answer = await ask(method, filled(address, form), body, { ...headers, "Idempotency-Key": KEYS.get(form).key });
  buttons.forEach((each) => (each.disabled = false));
  form.removeAttribute("aria-busy");
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

function clear(form) {
  form.querySelectorAll(".wrong").forEach((each) => each.remove());
  form.querySelectorAll("[aria-invalid]").forEach((each) => each.removeAttribute("aria-invalid"));
}

// Show what is wrong: at its field where the problem names one.
export function blame(form, problem) {
  let elsewhere = !problem?.problems?.length;
  for (const each of problem?.problems ?? []) {
    const field = form.querySelector(`[name="${CSS.escape(each.field ?? "")}"]`);
    if (!field) { elsewhere = true; continue; }
    field.setAttribute("aria-invalid", "true");
    const line = wrong(`Has to be: ${each.problem}`);
    line.id = `wrong-${field.id || each.field}`;
    field.setAttribute("aria-describedby", line.id);
    field.after(line);
    field.focus();
  }
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
