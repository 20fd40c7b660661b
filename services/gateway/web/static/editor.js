// The recipe editor: the text with its highlighting, what the server finds wrong with it at its lines, its DAG, drawn
// while somebody types, and what the step takes in which the cursor is. The text area that the page came with holds what
// is sent.
//
// The editor itself is CodeMirror (static/editor-code.js, built from styles/editor-code.js). It puts one style sheet into
// the page, which the nonce lets through.

import { create } from "./editor-code.js";
import { ask, sure, told } from "./forms.js";
import { draw } from "./sketch.js";

const PATIENCE = 300; // ms after the last letter

export default function editor(form) {
  const area = form.querySelector("textarea");
  const place = form.querySelector("[data-place]");
  const found = form.querySelector("[data-found]");
  const list = form.querySelector("[data-problems]");
  const graph = form.querySelector("[data-graph]");
  const stale = form.querySelector("[data-stale]");
  const taken = form.querySelector("[data-taken]");
  const types = new Map([...taken.querySelectorAll("[data-type]")].map((each) => [each.dataset.type, each]));
  const effects = new Map([...taken.querySelectorAll("[data-effect]")].map((each) => [each.dataset.effect, each]));
  const began = area.value;
  let asked = 0;
  let waiting = 0;
  let saved = false;

  const code = create({
    text: area.value,
    parent: place,
    nonce: form.dataset.nonce,
    label: "The recipe, as YAML",
    changed: (text) => {
      area.value = text;
      clearTimeout(waiting);
      waiting = setTimeout(check, PATIENCE);
    },
    types: new Set(types.keys()),
    moved: unfold,
  });
  area.hidden = true;

  // Show what a step of this type takes, with this effect, and nothing else.
  function unfold(type, effect) {
    const wanted = [types.get(type), ...(type === "EFFECT" ? [effects.get(effect)] : [])].filter(Boolean);
    for (const each of taken.querySelectorAll("details")) each.open = wanted.includes(each);
    taken.scrollTop = wanted.at(-1).getBoundingClientRect().top - taken.getBoundingClientRect().top + taken.scrollTop;
  }

  async function check() {
    if (!form.dataset.check) {
      found.textContent = "Sign in to have it checked.";
      found.removeAttribute("data-waiting");
      return;
    }
    const turn = (asked += 1);
    const answer = await ask("POST", form.dataset.check, area.value, { "Content-Type": "application/yaml" });
    if (turn !== asked || !form.isConnected) return;
    found.removeAttribute("data-waiting");
    if (!answer.ok) {
      found.textContent = told(answer.body);
      return;
    }
    const { problems } = answer.body;
    found.textContent = problems.length ? `${problems.length} ${problems.length === 1 ? "problem" : "problems"}` : "None: it can be saved.";
    list.replaceChildren(...problems.map(line));
    code.mark(problems);
    if (answer.body.graph) draw(graph, answer.body.graph, (name) => code.find(name));
    stale.hidden = !problems.length || !graph.querySelector("svg");
  }

  function line(problem) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.className = "notice notice-bad w-full px-3 py-2 text-left text-sm";
    const where = document.createElement("span");
    where.className = "font-medium";
    where.textContent = `Line ${problem.line}${problem.field ? `, ${problem.field}` : ""}: `;
    button.append(where, problem.problem);
    button.addEventListener("click", () => code.go(problem.line, problem.column));
    item.append(button);
    return item;
  }

  const unsaved = () => !saved && area.value !== began;
  const leave = (event) => {
    if (unsaved()) event.preventDefault();
  };
  const follow = async (event) => {
    if (event.defaultPrevented || event.detail.target?.id !== "main" || !unsaved()) return;
    event.preventDefault();
    if (!(await sure("Leave this page? What you changed is not saved.", "Leave"))) return;
    saved = true;
    event.detail.issueRequest(true);
  };
  form.addEventListener("artdag:sent", () => (saved = true));
  form.addEventListener("artdag:refused", () => check());
  window.addEventListener("beforeunload", leave);
  document.addEventListener("htmx:confirm", follow);
  check();
  return () => {
    clearTimeout(waiting);
    window.removeEventListener("beforeunload", leave);
    document.removeEventListener("htmx:confirm", follow);
    code.end();
  };
}
