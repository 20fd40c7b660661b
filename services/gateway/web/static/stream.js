// A run's events, live: one connection per run and page, whoever listens.
//
// follow(run, after, heard) calls heard(type, data, position, time) for each event after that position, in order; `data`
// is the event's own, and its `subject` the stream. It returns a function that ends it. These are told like events, too:
//   open      connected, for the first time or again: what was missed meanwhile follows
//   lost      the connection broke and does not come again at once; it is tried until it does
//   refused   it will not come again; data.status says why (401: signed out, 404: the run is gone)
//   over      there is nothing more to come, and the last event was heard before
//
// A page that nobody sees lets go of its connection after a while: browsers have six for a server, over all tabs.

const TYPES = [
  "RunRequested", "RunStepsPlanned", "RunInputsAnalyzed", "RunPlanned", "RunReleased", "RunStepsScheduled",
  "RunStepsSatisfied", "RunStepsFailed", "RunPaused", "RunResumed", "RunCompleted", "RunFailed", "RunCancelled",
  "RunDeleted", "StepStarted", "StepCompleted", "StepAttemptFailed", "StepFailed", "StepCancelled", "progress",
];
export const ENDINGS = new Set(["RunCompleted", "RunFailed", "RunCancelled", "RunDeleted"]);
const OVER = new Set(["completed", "failed", "cancelled"]);

const SOONEST = 250; // ms
const LATEST = 8_000;
const UNSEEN = 60_000;

const streams = new Map(); // run → Stream

export function follow(run, after, heard) {
  let stream = streams.get(run);
  if (!stream) streams.set(run, (stream = new Stream(run, after)));
  const listener = { after, heard };
  stream.listeners.add(listener);
  if (after < stream.position) stream.open(after); // from there once more: who heard it before hears nothing twice
  return () => {
    stream.listeners.delete(listener);
    if (!stream.listeners.size) stream.stop();
  };
}

class Stream {
  constructor(run, after) {
    this.run = run;
    this.listeners = new Set();
    this.position = after;
    this.delay = SOONEST;
    this.lost = false;
    this.last = false; // the run is over: only what was missed is to come
    this.done = false;
    this.seen = () => this.look();
    this.online = () => this.lost && this.retry(0);
    document.addEventListener("visibilitychange", this.seen);
    addEventListener("online", this.online);
    this.open(after);
  }

  open(after) {
    if (this.done) return;
    clearTimeout(this.timer);
    this.source?.close();
    this.position = after;
    const source = (this.source = new EventSource(`/runs/${encodeURIComponent(this.run)}/events?last_event_id=${after}`));
    for (const type of TYPES) source.addEventListener(type, (event) => this.source === source && this.hear(type, event));
    source.addEventListener("open", () => {
      this.lost = false;
      this.tell("open", {});
    });
    source.addEventListener("error", () => this.source === source && this.broken());
  }

  hear(type, event) {
    this.delay = SOONEST;
    const said = JSON.parse(event.data);
    if (type === "progress") return this.tell(type, said);
    this.position = said.position;
    if (ENDINGS.has(type)) this.stop();
    for (const listener of [...this.listeners]) {
      if (said.position <= listener.after) continue;
      listener.after = said.position;
      listener.heard(type, { ...said.data, subject: said.subject }, said.position, said.time);
    }
  }

  tell(type, data) {
    for (const listener of [...this.listeners]) listener.heard(type, data, 0, "");
  }

  broken() {
    this.source.close();
    if (this.last) {
      this.stop();
      this.tell("over", {});
    } else this.retry(this.delay);
  }

  retry(delay) {
    clearTimeout(this.timer);
    this.delay = Math.min(LATEST, this.delay * 2);
    this.timer = setTimeout(() => this.probe(), delay);
  }

  // An EventSource does not say why it broke; the run's own address does.
  async probe() {
    let answer;
    try {
      answer = await fetch(`/runs/${encodeURIComponent(this.run)}`, { headers: { Accept: "application/json" } });
      if (answer.ok) this.last = OVER.has((await answer.json()).status);
    } catch {
      answer = { ok: false, status: 0 };
    }
    if (this.done || this.asleep) return;
    if (answer.ok) this.open(this.position);
    else if ([401, 403, 404].includes(answer.status)) {
      this.stop();
      this.tell("refused", { status: answer.status });
    } else {
      if (!this.lost) this.tell("lost", {});
      this.lost = true;
      this.retry(this.delay);
    }
  }

  look() {
    clearTimeout(this.sleeping);
    if (document.hidden) {
      this.sleeping = setTimeout(() => {
        this.asleep = true;
        clearTimeout(this.timer);
        this.source.close();
      }, UNSEEN);
    } else if (this.asleep) {
      this.asleep = false;
      this.retry(0);
    }
  }

  // Nothing more comes; whoever listens anew begins anew.
  stop() {
    this.done = true;
    this.source.close();
    clearTimeout(this.timer);
    clearTimeout(this.sleeping);
    document.removeEventListener("visibilitychange", this.seen);
    removeEventListener("online", this.online);
    if (streams.get(this.run) === this) streams.delete(this.run);
  }
}
