// Numbers with their units, as the server writes them (web/words.py).

const BYTES = ["B", "kB", "MB", "GB", "TB"];

// 1500 → "1.5 kB"
export function size(count) {
  let [value, unit] = [count, 0];
  while (value >= 999.5 && unit < BYTES.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toFixed(unit === 0 || value >= 99.95 ? 0 : 1)} ${BYTES[unit]}`;
}

// 12345 → "12 345" (thin no-break spaces)
export function number(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

// "1 item", "2 items"
export function plural(count, one) {
  return `${number(count)} ${count === 1 ? one : `${one}s`}`;
}
