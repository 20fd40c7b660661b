// A step's log: what it said, and what it says while it runs.

import { told } from "./forms.js";

export default function log(element) {
  const address = element.dataset.log;
  element.textContent = "Loading…";
  if (!("going" in element.dataset)) {
    whole(element, address);
    return undefined;
  }
  const source = new EventSource(`${address}?follow=true`);
  let attempt = 0;
  source.addEventListener("open", () => {
    if (!attempt) element.textContent = "Nothing yet.";
    attempt = 0; // when it came again, all is sent once more
  });
  source.addEventListener("log", (event) => {
    const said = JSON.parse(event.data);
    const atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 8;
    if (!attempt) element.textContent = "";
    if (said.attempt !== attempt && (attempt || said.attempt > 1)) element.append(`— attempt ${said.attempt} —\n`);
    attempt = said.attempt;
    element.append(said.text);
    if (atEnd) element.scrollTop = element.scrollHeight;
  });
  source.addEventListener("end", (event) => {
    source.close();
    const { note } = JSON.parse(event.data);
    if (attempt) return;
    if (note) element.textContent = told({ detail: note });
    else whole(element, address);
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED && !attempt) whole(element, address);
  });
  return () => source.close();
}

async function whole(element, address) {
  try {
    const answer = await fetch(address, { headers: { Accept: "application/json" } });
    const said = await answer.json();
    element.textContent = said.text || told({ detail: said.note || said.detail || "it has said nothing" });
  } catch {
    element.textContent = "The server does not answer.";
  }
}
