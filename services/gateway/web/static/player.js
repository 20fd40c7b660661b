// Plays video and sound to the frame: comma and point go a frame back and on, J, K and L play backwards, stop and play
// (pressed again, faster); time and frame are told, speed and loop can be chosen. The keys count while the focus is in
// the player, so that they mean nothing else on the page.
//
// What browsers cannot play is turned into what they can by the server; until then the player says so. data-instead of
// what this browser may play as it is says where that is found if it does not.

const FASTEST = 8;
const BACK_SECONDS = 5; // of J, where there are no frames to go back by
const ASK_AGAIN = 1000; // ms
const ASKS = 30; // for what a film is, while that is found out
const NEAR = 2; // frames between the clock and what is shown, while a film plays
const SILENT = "OnMediaSinkAudioError"; // Firefox, where there is no device for sound: it plays on without
const TRIES = 2; // of a file that is there, and still is not played

export default function player(element) {
  const media = element.querySelector("video, audio");
  if (!media) return undefined;
  const it = new Player(element, media);
  return () => it.end();
}

class Player {
  constructor(element, media) {
    this.element = element;
    this.media = media;
    this.rate = 0;
    this.last = -1;
    this.frame = 0; // that was shown last
    this.aim = null; // that a step went to last
    this.reverse = 0; // how fast it goes backwards
    this.tries = 0;
    this.over = new AbortController();
    this.controls = element.querySelector("[data-controls]");
    this.listen();
    if (this.controls) this.controls.hidden = false;
    if (media.error || media.networkState === HTMLMediaElement.NETWORK_NO_SOURCE) this.missing();
    if (element.dataset.rate) this.know(Number(element.dataset.rate), Number(element.dataset.frames));
    else if (element.dataset.about) this.learn(ASKS);
    this.told();
  }

  // From now on there are frames to go by.
  know(rate, frames) {
    if (!(rate > 0)) return;
    this.rate = rate;
    this.element.dataset.rate = String(rate); // also for together.js
    this.last = frames - 1;
    for (const button of this.element.querySelectorAll("[data-step-frame]")) button.hidden = false;
    if ("requestVideoFrameCallback" in this.media) this.watch();
    else this.told();
  }

  async learn(asks) {
    const { signal } = this.over;
    const answer = await fetch(this.element.dataset.about, { headers: { Accept: "application/json" }, signal }).catch(() => null);
    const facts = answer?.ok ? (await answer.json().catch(() => null))?.facts : null;
    if (signal.aborted) return;
    if (facts?.status === "known") {
      this.know(facts.video?.frame_rate, facts.video?.frames);
      this.told();
    } else if (facts?.status !== "unreadable" && asks > 1) this.asking = setTimeout(() => this.learn(asks - 1), ASK_AGAIN);
  }

  end() {
    this.over.abort();
    clearTimeout(this.timer);
    clearTimeout(this.asking);
    cancelAnimationFrame(this.turning);
    this.media.pause();
  }

  listen() {
    const { signal } = this.over;
    const { media, element } = this;
    for (const type of ["timeupdate", "seeked", "loadedmetadata", "pause"]) {
      media.addEventListener(type, () => this.told(), { signal });
    }
    media.addEventListener("play", () => this.stopReverse(), { signal });
    media.addEventListener("error", () => {
      if (!media.error?.message.includes(SILENT)) this.missing();
    }, { signal });
    media.addEventListener("canplay", () => this.say(""), { signal });
    element.addEventListener("keydown", (event) => this.key(event), { signal });
    element.addEventListener("click", (event) => {
      const step = event.target.closest("[data-step-frame]");
      if (step) this.step(Number(step.dataset.stepFrame));
      const loop = event.target.closest("[data-loop]");
      if (loop) {
        media.loop = !media.loop;
        loop.setAttribute("aria-pressed", String(media.loop));
      }
    }, { signal });
    element.querySelector("[data-speed]")?.addEventListener("change", (event) => {
      media.playbackRate = media.defaultPlaybackRate = Number(event.target.value);
    }, { signal });
    const wave = element.querySelector("[data-wave]");
    wave?.addEventListener("click", (event) => {
      const box = wave.getBoundingClientRect();
      if (media.duration) media.currentTime = ((event.clientX - box.left) / box.width) * media.duration;
    }, { signal });
  }

  // Follows which frame is shown: the picture's own time, not the clock's.
  watch() {
    this.media.requestVideoFrameCallback((now, shown) => {
      if (this.over.signal.aborted) return;
      this.frame = Math.round(shown.mediaTime * this.rate);
      this.told();
      this.watch();
    });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const does = {
      ",": () => this.step(-1),
      ".": () => this.step(1),
      j: () => this.back(),
      k: () => this.stop(),
      l: () => this.play(),
    }[event.key.toLowerCase()];
    if (!does) return;
    event.preventDefault();
    does();
  }

  step(by) {
    if (!this.rate) return;
    this.stop();
    this.aim = this.bounded(this.here() + by);
    this.media.currentTime = (this.aim + 0.5) / this.rate; // the middle: no rounding leads to a neighbour
    this.told();
    const heard = this.element.querySelector("[data-heard]");
    if (heard) heard.textContent = `Frame ${this.aim}, ${clock(this.media.currentTime)}`;
  }

  play() {
    this.stopReverse();
    const { media } = this;
    if (media.paused) media.play().catch(() => {}); // there is nothing to play, which is said, or the page is left
    else media.playbackRate = Math.min(FASTEST, media.playbackRate * 2);
  }

  stop() {
    this.stopReverse();
    this.media.pause();
    this.media.playbackRate = this.media.defaultPlaybackRate;
  }

  // Backwards, which no browser plays: picture by picture, as fast as they come.
  back() {
    const { media } = this;
    if (!this.rate) {
      media.currentTime = Math.max(0, media.currentTime - BACK_SECONDS);
      return;
    }
    media.pause();
    this.reverse = this.reverse ? Math.min(FASTEST, this.reverse * 2) : 1;
    if (this.turning) return;
    let place = media.currentTime;
    let before = performance.now();
    const turn = (now) => {
      place -= ((now - before) / 1000) * this.reverse;
      before = now;
      if (!media.seeking) media.currentTime = Math.max(0, place);
      this.turning = place > 0 ? requestAnimationFrame(turn) : 0;
      if (!this.turning) this.reverse = 0;
    };
    this.turning = requestAnimationFrame(turn);
  }

  stopReverse() {
    cancelAnimationFrame(this.turning);
    this.turning = 0;
    this.reverse = 0;
  }

  // Where it stands: at the frame that a step went to, while it is nowhere else. Browsers show that one later, and may
  // show others on the way, so that what is shown counts only where no step led, and once it is near.
  here() {
    const place = this.media.currentTime * this.rate;
    if (this.aim !== null && Math.abs(place - this.aim - 0.5) < 0.25) return this.aim;
    const near = "requestVideoFrameCallback" in this.media && Math.abs(place - this.frame - 0.5) < NEAR;
    return near ? this.frame : this.bounded(Math.floor(place + 1e-3));
  }

  bounded(frame) {
    return Math.max(0, this.last >= 0 ? Math.min(frame, this.last) : frame);
  }

  told() {
    const { media, element } = this;
    const time = element.querySelector("[data-time]");
    if (time) time.textContent = clock(media.currentTime);
    const frame = element.querySelector("[data-frame]");
    if (frame && this.rate) frame.textContent = ` · frame ${this.here()}${this.last >= 0 ? ` of 0–${this.last}` : ""}`;
    const needle = element.querySelector("[data-needle]");
    if (needle && media.duration) {
      needle.hidden = false;
      needle.style.left = `${(media.currentTime / media.duration) * 100}%`;
    }
  }

  say(text) {
    const place = this.element.querySelector("[data-state]");
    if (!place) return;
    place.textContent = text;
    place.hidden = !text;
  }

  // The film is not there: is it being made, or is there none?
  async missing() {
    const address = this.media.currentSrc || this.media.src;
    const answer = await fetch(address, { method: "HEAD" }).catch(() => null);
    if (this.over.signal.aborted) return;
    if (answer?.status === 200 && this.media.dataset.instead) {
      this.media.src = this.media.dataset.instead;
      delete this.media.dataset.instead;
    } else if (answer?.status === 200 && this.tries < TRIES) {
      this.tries += 1;
      this.media.load();
    } else if (answer?.status === 200) {
      this.say("Your browser cannot play this. Download it instead.");
    } else if (!answer || answer.status === 202 || answer.status >= 500) {
      this.say(answer?.status === 202 ? "A form of it that browsers play is being made…" : "The server does not answer; trying again…");
      this.timer = setTimeout(() => this.missing(), ASK_AGAIN);
    } else {
      const refusal = await fetch(address, { headers: { Accept: "application/json" } }).then((each) => each.json()).catch(() => null);
      this.say(`This cannot be played${refusal?.detail ? `: ${refusal.detail}` : ""}.`);
    }
  }
}

// 75.25 → 1:15.250
export function clock(seconds) {
  const whole = Math.max(0, Math.round((seconds || 0) * 1000));
  const [minutes, rest] = [Math.floor(whole / 60_000), whole % 60_000];
  return `${minutes}:${String(Math.floor(rest / 1000)).padStart(2, "0")}.${String(rest % 1000).padStart(3, "0")}`;
}
