// The form that runs a recipe (templates/run_form.html): content is chosen or uploaded for each input, parameters are set
// by sliders, and the plan can be looked at before anything is computed.
//
// Sent is what `POST /runs` and `POST /api/plan` take; of a run that is repeated only what changed, to its /rerun, which
// plans, too.

import { ask, blame, clear, freshKey, go } from "./forms.js";
import { pick } from "./picker.js";
import { say } from "./saying.js";

const PLANNING = ["requested", "analyzing"];

export default function runForm(element) {
  const form = element.querySelector("form");
  const plan = element.querySelector("[data-plan]");
  const inputs = [...element.querySelectorAll("[data-input]")].map((place) => new Input(place, element.querySelector("[data-choice]")));
  const { recipe, rerun } = element.dataset;
  let sent = { identity: "", key: "" };

  for (const slider of element.querySelectorAll("[data-slides]")) {
    const field = document.getElementById(slider.dataset.slides);
    slider.addEventListener("input", () => (field.value = slider.value));
    field.addEventListener("input", () => (slider.value = field.value));
  }
  // A picture that the server is still making is not there yet; static/picture.js asks for it again.
  for (const picture of element.querySelectorAll("[data-picture]")) {
    if (picture.currentSrc && picture.complete && !picture.naturalWidth) picture.hidden = true;
  }
  for (const [type, hidden] of [["error", true], ["load", false]]) {
    const heard = (event) => event.target.matches?.("[data-picture]") && (event.target.hidden = hidden);
    element.addEventListener(type, heard, { capture: true });
  }
  // What is wrong has to be seen, also where it is folded away.
  form.addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), { capture: true });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const missing = inputs.filter((input) => !input.ready());
    if (missing.length) missing[0].focus();
    else send(event.submitter?.value ?? "run");
  });
  plan.addEventListener("artdag:sent", (event) => {
    if (!("discard" in event.target.dataset)) return;
    event.preventDefault();
    plan.replaceChildren();
    form.querySelector("button[value=plan]").focus();
    say("The plan is discarded");
  });

  function body(how) {
    const found = { inputs: {} };
    for (const input of inputs) {
      const value = rerun ? input.change() : input.value();
      if (value !== undefined) found.inputs[input.name] = value;
    }
    const parameters = changed(form);
    if (Object.keys(parameters).length) found.parameters = parameters;
    const name = form.elements.output_name;
    if (rerun ? name.value !== name.defaultValue : name.value) found.output_name = name.value;
    const priority = form.elements.priority;
    if (!rerun || !priority.selectedOptions[0].defaultSelected) found.priority = priority.value;
    if (rerun && how === "plan") found.hold = true;
    return rerun ? found : { recipe, ...found };
  }

  async function send(how) {
    clear(form);
    plan.replaceChildren();
    const address = rerun ? `/runs/${rerun}/rerun` : how === "plan" ? "/api/plan" : "/runs";
    let text;
    try {
      text = JSON.stringify(body(how));
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      blame(form, { problems: [{ field: error.field, problem: "JSON, for example [1, 2] or \"text\"" }] });
      return;
    }
    const identity = `${address}\n${text}`;
    if (sent.identity !== identity) sent = { identity, key: freshKey() };
    const held = document.activeElement;
    busy(true);
    const answer = await ask("POST", address, text, { "Content-Type": "application/json", "Idempotency-Key": sent.key });
    if (answer.ok) {
      sent = { identity: "", key: "" };
      if (how === "plan" && !PLANNING.includes(answer.body.status)) await show(answer.body.run_id);
      else go(`/run/${answer.body.run_id}`);
    }
    busy(false);
    if (document.activeElement === document.body && form.contains(held)) held.focus({ preventScroll: true }); // as it was disabled
    if (!answer.ok) refused(answer.body);
  }

  async function show(run) {
    const answer = await fetch(`/recipe/${recipe}/outlook/${run}`, { headers: { "HX-Request": "true" } });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#outlook");
    if (!found || !element.isConnected) return go(`/run/${run}`);
    plan.replaceChildren(found);
    window.htmx?.process(found);
    found.querySelector("[tabindex]").focus();
    return undefined;
  }

  function refused(problem) {
    const problems = (problem?.problems ?? []).map((each) => {
      const input = inputs.find((one) => each?.field === `inputs.${one.name}`);
      input?.wrong(each.problem);
      return { ...each, field: nearest(each?.field ?? "") };
    });
    blame(form, { ...problem, problems });
    form.querySelector("[aria-invalid=true]")?.closest("details")?.setAttribute("open", "");
  }

  function busy(is) {
    form.querySelectorAll("[data-buttons] button").forEach((button) => (button.disabled = is));
    form.setAttribute("aria-busy", String(is));
  }

  for (const button of form.querySelectorAll("button")) button.disabled = false;
  element.dataset.alive = "";
  return () => inputs.forEach((input) => input.end());
}

// What was given for one input: pieces of content, in an order, each there already or on its way.
class Input {
  constructor(place, template) {
    this.place = place;
    this.name = place.dataset.input;
    this.many = "many" in place.dataset;
    this.was = (place.dataset.was ?? "").split(" ").filter(Boolean); // in the run that is repeated
    this.list = place.querySelector("[data-chosen]");
    this.template = template;
    this.ending = new AbortController();
    place.querySelector("[data-pick]").addEventListener("click", () => this.choose());
    const file = place.querySelector("[data-file]");
    const given = () => {
      this.take([...file.files]);
      file.value = "";
    };
    file.addEventListener("change", given);
    given(); // somebody may have been faster than the scripts
    this.list.addEventListener("click", (event) => {
      const line = event.target.closest("[data-remove]")?.closest("li");
      if (!line) return;
      drop(line);
      this.focus();
    });
    place.addEventListener("dragover", (event) => {
      event.preventDefault();
      place.classList.add("border-accent");
    });
    place.addEventListener("dragleave", () => place.classList.remove("border-accent"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      place.classList.remove("border-accent");
      this.take([...event.dataTransfer.files]);
    });
  }

  cids() {
    return [...this.list.children].map((line) => line.dataset.cid).filter(Boolean);
  }

  // What is given for it: content, or a list where it takes several; undefined: nothing.
  value(cids = this.cids()) {
    if (!cids.length) return undefined;
    return this.many ? cids : cids[0];
  }

  // The same where it is not as in the run that is repeated; what was taken away is what the recipe has instead.
  change() {
    const cids = this.cids();
    if (String(cids) === String(this.was)) return undefined;
    return this.value(cids.length ? cids : [this.place.dataset.default]);
  }

  ready() {
    const lines = [...this.list.children];
    if (lines.some((line) => !line.dataset.cid)) this.wrong("The upload is not done yet. Wait for it, or remove it.");
    else if (!lines.length && !("default" in this.place.dataset)) this.wrong(`Choose or upload something for ${this.name}.`);
    else {
      this.wrong("");
      return true;
    }
    return false;
  }

  wrong(text) {
    const line = this.place.querySelector("[data-wrong]");
    line.textContent = text;
    line.hidden = !text;
  }

  focus() {
    this.place.querySelector("[data-pick]").focus();
  }

  add({ cid = "", name, said = "", thumbnail = "" }) {
    if (!this.many) [...this.list.children].forEach(drop);
    const line = this.template.content.querySelector("li").cloneNode(true);
    line.dataset.cid = cid;
    line.querySelector("[data-name]").textContent = name;
    line.querySelector("[data-said]").textContent = said;
    line.querySelector("[data-remove]").setAttribute("aria-label", `Remove ${name}`);
    const picture = line.querySelector("[data-picture]");
    picture.hidden = !thumbnail;
    if (thumbnail) picture.src = thumbnail;
    this.list.append(line);
    document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: line } }));
    this.wrong("");
    return line;
  }

  async choose() {
    const found = await pick({ kind: this.place.dataset.kind, many: this.many, title: `Choose for ${this.name}` });
    for (const each of found) this.add(each);
  }

  async take(files) {
    for (const file of this.many ? files : files.slice(0, 1)) await this.upload(file);
  }

  async upload(file) {
    const line = this.add({ name: file.name, said: "uploading" });
    const said = line.querySelector("[data-said]");
    const progress = line.querySelector("[data-progress]");
    const gone = new AbortController();
    line.addEventListener("artdag:removed", () => gone.abort(new DOMException("removed", "AbortError")));
    progress.hidden = false;
    progress.setAttribute("aria-label", `Upload of ${file.name}`);
    try {
      const { upload } = await import("./upload.js");
      const told = (share, waiting) => {
        if (share !== null) progress.value = share;
        said.textContent = waiting || `uploading, ${Math.floor(progress.value * 100)} %`;
      };
      const { cid, name } = await upload(file, told, AbortSignal.any([gone.signal, this.ending.signal]));
      line.dataset.cid = cid;
      line.querySelector("[data-name]").textContent = name;
      said.textContent = "uploaded";
      progress.hidden = true;
    } catch (error) {
      line.remove();
      if (error.name !== "AbortError") this.wrong(`${file.name}: ${error.message}`);
    }
  }

  end() {
    this.ending.abort(new DOMException("the page is left", "AbortError"));
  }
}

// Take a piece of content out of the form; one that is on its way is broken off.
function drop(line) {
  line.dispatchEvent(new Event("artdag:removed"));
  line.remove();
}

class Unreadable extends Error {
  constructor(field) {
    super(field);
    this.field = field;
  }
}

// Return the name of the field that a place is in: of `parameters.cut.features[0]` that of the whole list.
function nearest(place) {
  for (let name = place; name; name = name.replace(/(\[\d+\]|\.?[^.[\]]+)$/, "")) {
    if (document.getElementsByName(name).length) return name;
  }
  return place;
}

// Return the parameters that are not as they were: node → parameter → value.
function changed(form) {
  const found = {};
  for (const field of form.querySelectorAll("[data-parameter]")) {
    if (!differs(field)) continue;
    (found[field.dataset.node] ??= {})[field.dataset.parameter] = meaning(field);
  }
  return found;
}

function differs(field) {
  if (field.type === "checkbox") return field.checked !== field.defaultChecked;
  if (field.tagName === "SELECT") return !field.selectedOptions[0]?.defaultSelected;
  return field.value !== field.defaultValue;
}

function meaning(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.dataset.means === "number") return field.value === "" ? null : Number(field.value);
  if (field.dataset.means === "json") {
    try {
      return JSON.parse(field.value);
    } catch (error) {
      throw new Unreadable(field.name);
    }
  }
  const listed = field.value.split(",").map((each) => each.trim()).filter(Boolean);
  if (field.dataset.means === "words") return listed;
  if (field.dataset.means === "numbers") return listed.map((each) => (Number.isNaN(Number(each)) ? each : Number(each)));
  return field.value === "" && "optional" in field.dataset ? null : field.value;
}
