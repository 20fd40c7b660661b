// How the steps of a run stand, moved on by its events as the server's read model moves them.

const ASKED = new Set(["scheduled", "running", "waiting"]);
const LISTENING = new Set([...ASKED, "failed"]);
const OF_STEPS = { StepStarted: "running", StepCompleted: "completed", StepAttemptFailed: "waiting", StepFailed: "failed", StepCancelled: "scheduled" };
const LOOK = new Set(["RunStepsPlanned", "RunPlanned", "RunCompleted", "RunDeleted"]);

export class Standing {
  // states, keys (cache ids) and inputs: a list for each, in the order of the steps; states are changed in place.
  constructor(states, keys, inputs) {
    this.states = states;
    this.inputs = inputs;
    this.places = new Map();
    keys.forEach((key, step) => {
      const here = this.places.get(key);
      if (here) here.push(step);
      else this.places.set(key, [step]);
    });
    this.begun = new Set(); // steps that an executor has before their run has asked for them
    this.lost = new Set(); // steps that the run does without
  }

  // Take an event in. Returns the steps that changed; undefined: what is known does not suffice, look at the plan again.
  hear(type, data) {
    this.changed = [];
    if (LOOK.has(type)) return undefined;
    if (type in OF_STEPS) this.step(type, data);
    else if (type === "RunStepsScheduled") {
      for (const each of data.steps) this.move(each.step, this.begun.has(each.step) ? "running" : "scheduled");
    } else if (type === "RunStepsSatisfied") {
      for (const each of data.steps) this.move(each.step, "completed");
    } else if (type === "RunStepsFailed") {
      for (const each of data.steps) this.lose(each.step);
    } else if (type === "RunFailed" || type === "RunCancelled") this.end(data.step ?? -1);
    return this.changed;
  }

  step(type, data) {
    for (const step of this.places.get(data.subject.slice("step-".length)) ?? []) {
      if (LISTENING.has(this.states[step]) && !this.lost.has(step)) this.move(step, OF_STEPS[type]);
      else if (this.states[step] === "pending") {
        if (type === "StepStarted") this.begun.add(step);
        else this.begun.delete(step);
      }
    }
  }

  lose(step) {
    this.lost.add(step);
    this.move(step, "failed");
    this.readers ??= readersOf(this.inputs);
    const left = [...(this.readers[step] ?? [])];
    while (left.length) {
      const reader = left.pop();
      if (this.states[reader] !== "pending") continue;
      this.move(reader, "skipped");
      left.push(...this.readers[reader]);
    }
  }

  end(blamed) {
    this.states.forEach((state, step) => {
      if (this.lost.has(step)) return;
      if (step === blamed) this.move(step, "failed");
      else if (state === "pending") this.move(step, "skipped");
      else if (ASKED.has(state)) this.move(step, "cancelled");
    });
  }

  move(step, state) {
    if (step >= this.states.length || this.states[step] === state) return; // of a part of the plan that is not here yet
    this.states[step] = state;
    this.changed.push(step);
  }
}

export function readersOf(inputs) {
  const readers = inputs.map(() => []);
  inputs.forEach((read, step) => read.forEach((each) => readers[each].push(step)));
  return readers;
}
