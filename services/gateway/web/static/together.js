// Two films or sounds that are played as one: play, pause and seek together, with the sound of one of them.

const DRIFT = 0.08; // seconds that they may be apart while they play
const RATE = 25; // frames a second, where nobody says it

export default function together(element) {
  const media = [...element.querySelectorAll("video, audio")];
  const bar = element.querySelector("[data-together]");
  if (media.length !== 2) return undefined;
  const button = bar.querySelector('[data-do="play"]');
  const place = bar.querySelector("[data-place]");
  const time = bar.querySelector("[data-time]");
  const sound = bar.querySelector("[data-sound]");
  const off = new AbortController();
  const on = (target, type, heard) => target.addEventListener(type, heard, { signal: off.signal });
  let frame = 0;
  bar.hidden = false;

  const rates = () => [...element.querySelectorAll("[data-rate]")].map((each) => Number(each.dataset.rate));
  const step = () => 1 / (Math.max(0, ...rates()) || RATE); // of the film that has more frames
  const length = () => Math.max(...media.map((each) => each.duration || 0));
  const position = () => Math.max(...media.map((each) => each.currentTime));
  const playing = () => media.some((each) => !each.paused && !each.ended);

  function show() {
    const now = position();
    place.value = String(length() ? now / length() : 0);
    place.setAttribute("aria-valuetext", spoken(now));
    time.textContent = spoken(now);
    button.textContent = playing() ? "Pause both" : "Play both";
  }

  function run() {
    const longest = media[0].duration >= media[1].duration ? media[0] : media[1];
    const other = media.find((each) => each !== longest);
    if (!other.ended && !other.paused && Math.abs(other.currentTime - longest.currentTime) > DRIFT) other.currentTime = longest.currentTime;
    show();
    frame = playing() ? requestAnimationFrame(run) : 0;
  }

  function seek(to) {
    for (const each of media) each.currentTime = Math.min(Math.max(0, to), each.duration || to);
    show();
  }

  async function play() {
    if (playing()) {
      media.forEach((each) => each.pause());
      return;
    }
    const now = position();
    seek(now >= length() - 0.05 ? 0 : now);
    await Promise.allSettled(media.filter((each) => each.currentTime < (each.duration || Infinity) - 0.05).map((each) => each.play()));
  }

  function hush() {
    media.forEach((each, index) => (each.muted = sound.value !== String(index)));
  }

  on(button, "click", play);
  on(bar.querySelector('[data-do="back"]'), "click", () => seek(position() - step()));
  on(bar.querySelector('[data-do="on"]'), "click", () => seek(position() + step()));
  on(place, "input", () => seek(Number(place.value) * length()));
  on(sound, "change", hush);
  for (const each of media) {
    for (const type of ["play", "pause", "ended", "loadedmetadata", "seeked"]) {
      on(each, type, () => {
        show();
        if (playing()) frame ||= requestAnimationFrame(run);
      });
    }
  }
  hush();
  show();
  return () => {
    off.abort();
    cancelAnimationFrame(frame);
  };
}

function spoken(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - minutes * 60).toFixed(1).padStart(4, "0")}`;
}
