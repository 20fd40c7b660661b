// A picture that the server may still be making: asked for again until it is there, and taken away if it never comes.

const FIRST_WAIT = 800; // ms; half as much again with each attempt
const ATTEMPTS = 12;

export default function picture(element) {
  const image = element.querySelector("img");
  if (!image) return undefined;
  const rest = element.querySelector("[data-otherwise]");
  let attempts = 0;
  let timer = 0;

  async function look() {
    if (!element.isConnected) return;
    const answer = await fetch(image.src).catch(() => null);
    if (!element.isConnected) return;
    if (answer?.status === 200) image.src = image.src; // it is in the browser's cache now
    else if (answer && answer.status !== 202 && answer.status < 500) without();
    else later();
  }

  function later() {
    attempts += 1;
    if (attempts > ATTEMPTS) without();
    else timer = setTimeout(look, FIRST_WAIT * 1.5 ** attempts);
  }

  function without() {
    image.hidden = true;
    if (rest) rest.hidden = false;
  }

  image.addEventListener("error", later);
  if (image.complete && image.currentSrc && !image.naturalWidth) later();
  return () => clearTimeout(timer);
}
