// Tries a page again that could not be shown now, as soon as the server said that it is worth it. People can be faster.

import { go } from "./forms.js";

export default function again(element) {
  let left = Math.max(3, Number(element.dataset.after));
  const shown = element.querySelector("[data-left]");

  function tell() {
    shown.textContent = `It is tried again by itself in ${left} s.`;
  }

  const timer = setInterval(() => {
    if (document.hidden) return;
    left -= 1;
    if (left > 0) return tell();
    clearInterval(timer);
    go(location.pathname + location.search);
    return undefined;
  }, 1000);
  tell();
  return () => clearInterval(timer);
}
