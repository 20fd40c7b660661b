// Shows <time datetime> in the reader's zone: how long ago, and the exact moment on hover.

const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const UNITS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 14]];

export function ago(moment, now = Date.now()) {
  let span = (moment - now) / 1000;
  for (const [unit, many] of UNITS) {
    if (Math.abs(span) < many) return RELATIVE.format(Math.round(span), unit);
    span /= many;
  }
  return DAY.format(moment);
}

export function show(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    element.textContent = ago(moment);
    element.title = EXACT.format(moment);
  }
}

setInterval(show, 20_000);
