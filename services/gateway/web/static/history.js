// All events of a run in a table, as they come, each in words.

import { follow } from "./stream.js";
import { show } from "./times.js";

const KEPT = 1_000; // rows; of a long run the newest
const NAMED = 4;

export default function history(element) {
  const rows = element.querySelector("[data-rows]");
  const count = element.querySelector("[data-count]");
  const steps = element.querySelector("[data-steps]");
  const place = rows.closest("[role=region]");
  const names = new Map(); // cache id → name of the step
  const kept = { run: [], all: [] };
  let fresh = [];
  let frame = 0;
  let seen = 0;

  const ofRun = (event) => event.subject.startsWith("run-");

  function draw() {
    frame = 0;
    const atEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 40;
    const fragment = document.createDocumentFragment();
    for (const each of fresh.filter((event) => steps.checked || ofRun(event)).slice(-KEPT)) fragment.append(row(each));
    fresh = [];
    show(fragment);
    rows.append(fragment);
    while (rows.children.length > KEPT) rows.firstElementChild.remove();
    const older = seen > KEPT && rows.children.length >= KEPT ? `; shown are the newest ${KEPT.toLocaleString()}` : "";
    count.textContent = `${seen.toLocaleString()} ${seen === 1 ? "event" : "events"}${older}`;
    if (atEnd) place.scrollTop = place.scrollHeight;
  }

  function all() {
    rows.replaceChildren();
    fresh = [...(steps.checked ? kept.all : kept.run)];
    draw();
  }
  steps.addEventListener("change", all);

  const unfollow = follow(element.dataset.run, 0, (type, data, position, at) => {
    if (!position) return;
    if (type === "RunStepsPlanned") for (const step of data.steps) names.set(step.cache_id, step.node);
    const event = { type, position, at, subject: data.subject, said: words(type, data, names.get(data.subject.slice("step-".length))) };
    for (const list of ofRun(event) ? [kept.run, kept.all] : [kept.all]) {
      list.push(event);
      if (list.length > 2 * KEPT) list.splice(0, KEPT);
    }
    fresh.push(event);
    seen += 1;
    frame ||= requestAnimationFrame(draw);
  });
  return () => {
    steps.removeEventListener("change", all);
    cancelAnimationFrame(frame);
    unfollow();
  };
}

// Say what an event means; `step`: the name of the step that it is about.
export function words(type, data, step = "A step") {
  const several = () => {
    const named = data.steps.slice(0, NAMED).map((each) => each.node).join(", ");
    return data.steps.length > NAMED ? `${named} and ${(data.steps.length - NAMED).toLocaleString()} more` : named;
  };
  const again = data.attempt > 1 ? ` (attempt ${data.attempt})` : "";
  switch (type) {
    case "RunRequested": return `Asked for: ${data.recipe_name}`;
    case "RunStepsPlanned": return `Planned: ${several()}`;
    case "RunInputsAnalyzed": return data.analyses.length === 1 ? "The input is analysed" : "The inputs are analysed";
    case "RunPlanned": return `The plan is complete: ${data.total.toLocaleString()} steps, ${data.cached.toLocaleString()} of them from the cache`;
    case "RunReleased": return "Let go";
    case "RunStepsScheduled": return `Handed out: ${several()}`;
    case "RunStepsSatisfied": return `There: ${several()}`;
    case "RunStepsFailed": return `Failed: ${data.steps.map((each) => `${each.node}: ${each.reason}`).join("; ")}`;
    case "RunPaused": return "Paused";
    case "RunResumed": return "Resumed";
    case "RunCompleted": return `Completed: ${data.computed.toLocaleString()} computed, ${data.cached.toLocaleString()} from the cache`;
    case "RunFailed": return `Failed: ${data.node ? `${data.node}: ` : ""}${data.reason}`;
    case "RunCancelled": return data.reason ? `Cancelled: ${data.reason}` : "Cancelled";
    case "RunDeleted": return "Deleted";
    case "StepStarted": return `${step} begun${again}`;
    case "StepCompleted": return `${step} done in ${(data.duration_ms / 1000).toLocaleString(undefined, { maximumFractionDigits: 2 })} s${again}`;
    case "StepAttemptFailed": return `${step}: ${data.reason}; tried again ${data.retry_ms ? `in ${data.retry_ms / 1000} s` : "at once"}`;
    case "StepFailed": return `${step} failed: ${data.reason}`;
    case "StepCancelled": return `${step} broken off`;
    default: return "";
  }
}

function row({ type, position, at, said }) {
  const line = document.createElement("tr");
  const time = document.createElement("time");
  time.dateTime = at;
  const code = document.createElement("code");
  code.textContent = type;
  for (const [inner, look] of [[String(position), "text-mute"], [time, "whitespace-nowrap text-mute"], [said, ""], [code, ""]]) {
    const cell = document.createElement("td");
    cell.className = look;
    cell.append(inner);
    line.append(cell);
  }
  return line;
}
