// What was heard and seen in a medium, over its time: drawn by score.js, with the position of the player that stands
// beside it. A click on a beat plays it, keys go from beat to beat; the table below says the same.

import { clock } from "./player.js";
import { COLOURS, Score } from "./score.js";

const NEAR = 8; // px around a beat in which a click means the beat
const DRAG = 4; // px from which on a click moves what is shown
const LEAST_SECONDS = 0.5; // that are shown at once
const SHORTEST_BEAT = 0.35; // s, so that something is heard
const AHEAD = 0.12; // s before which ticks are handed to the sound card
const WAVE_WAITS = [1000, 2000, 3000, 5000, 8000, 13_000];
const WITHOUT_BEATS = 1; // s that the keys go

export default function analysis(element) {
  const it = new Analysis(element);
  it.load();
  return () => it.end();
}

class Analysis {
  constructor(element) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.media = element.querySelector("video, audio");
    this.waiting = element.querySelector("[data-waiting]");
    this.still = document.createElement("canvas"); // all but the position, kept until something of it changes
    this.over = new AbortController();
    this.wave = null;
    this.time = 0; // where there is nothing to play
    this.until = Infinity;
    this.frame = 0;
    this.stale = true;
  }

  end() {
    this.over.abort();
    this.sized?.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.sound?.close();
  }

  async load() {
    const { signal } = this.over;
    let result;
    try {
      const answer = await fetch(this.element.dataset.result, { signal });
      if (!answer.ok) throw new Error(String(answer.status));
      result = await answer.json();
    } catch (error) {
      if (!signal.aborted) this.waiting.textContent = "The analysis could not be read. Reload the page to try again.";
      return;
    }
    this.score = new Score(result);
    if (!this.score.lanes.length || !this.score.duration) {
      this.waiting.textContent = "There is nothing to draw: the facts beside say all that was found.";
      this.canvas.hidden = true;
      return;
    }
    this.waiting.hidden = true;
    this.view = { from: 0, to: this.score.duration };
    this.canvas.style.height = `${this.score.height}px`;
    this.canvas.setAttribute("aria-valuemax", this.score.duration.toFixed(2));
    this.element.querySelector("[data-tools]").hidden = false;
    this.element.querySelector("[data-ticks]").closest("label").hidden = !this.score.beats.length || !this.media;
    this.colours();
    this.listen();
    this.told();
    if (this.element.dataset.wave && this.score.sound) this.loadWave(WAVE_WAITS);
  }

  // The picture of the sound may still be made.
  async loadWave([wait, ...waits]) {
    const answer = await fetch(this.element.dataset.wave, { signal: this.over.signal }).catch(() => null);
    if (this.over.signal.aborted) return;
    if (answer?.status === 200) {
      this.wave = await createImageBitmap(await answer.blob()).catch(() => null);
      this.draw(true);
    } else if ((!answer || answer.status === 202 || answer.status >= 500) && wait) {
      this.timer = setTimeout(() => this.loadWave(waits), wait);
    }
  }

  colours() {
    const probe = document.createElement("span");
    probe.hidden = true;
    this.element.append(probe);
    const style = getComputedStyle(probe);
    this.colour = Object.fromEntries(COLOURS.map((name) => {
      probe.style.color = `var(--color-${name})`;
      return [name, style.color];
    }));
    probe.remove();
    this.draw(true);
  }

  listen() {
    const { canvas, media, element } = this;
    const { signal } = this.over;
    const on = (target, type, does, options = {}) => target.addEventListener(type, does, { signal, ...options });
    on(document, "artdag:theme", () => this.colours());
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.colours());
    this.sized = new ResizeObserver(() => this.draw(true));
    this.sized.observe(canvas);
    on(canvas, "pointerdown", (event) => this.grab(event));
    on(canvas, "pointermove", (event) => this.drag(event));
    on(canvas, "pointerup", (event) => this.release(event));
    on(canvas, "pointercancel", () => (this.held = null));
    on(canvas, "wheel", (event) => this.wheel(event), { passive: false });
    on(canvas, "keydown", (event) => this.key(event));
    on(element, "click", (event) => {
      const zoom = event.target.closest("[data-zoom]");
      if (zoom) this.zoom(Number(zoom.dataset.zoom), this.place());
    });
    on(element.querySelector("[data-ticks]"), "change", (event) => this.listenToBeats(event.target.checked));
    if (!media) return;
    for (const type of ["timeupdate", "loadedmetadata"]) on(media, type, () => this.draw());
    on(media, "seeked", () => {
      this.ticked = -1;
      this.told();
    });
    on(media, "play", () => {
      this.ticked = -1;
      this.draw();
    });
    on(media, "pause", () => {
      this.until = Infinity;
      this.told();
    });
  }

  // --- time ---

  place() {
    return this.media ? this.media.currentTime : this.time;
  }

  seek(time) {
    const bounded = Math.min(this.score.duration, Math.max(0, time));
    if (this.media) this.media.currentTime = bounded;
    this.time = bounded;
    this.show(bounded);
    this.told(bounded);
  }

  // Plays a beat until the next one; what plays already goes on from there.
  hear(beat) {
    const { beats, tempo } = this.score;
    const from = beats[beat];
    this.seek(from);
    if (!this.media?.paused) return;
    const next = beats[beat + 1] ?? from + (tempo ? 60 / tempo : 0.5);
    this.media.play().then(() => (this.until = Math.max(next, from + SHORTEST_BEAT)), () => {});
  }

  go(by) {
    const { beats } = this.score;
    const here = this.place();
    if (!beats.length) {
      this.seek(here + by * WITHOUT_BEATS);
      return;
    }
    const before = this.score.beatBefore(here + 0.005);
    const on = before >= 0 && Math.abs(beats[before] - here) < 0.01;
    const next = by > 0 ? before + 1 : on ? before - 1 : before;
    if (next >= 0 && next < beats.length) this.seek(beats[next]);
    else this.seek(by > 0 ? this.score.duration : 0);
  }

  // --- what is shown ---

  zoom(by, around) {
    const { duration } = this.score;
    const { from, to } = this.view;
    if (!by) this.view = { from: 0, to: duration };
    else {
      const span = Math.min(duration, Math.max(Math.min(LEAST_SECONDS, duration), (to - from) / by));
      const middle = around >= from && around <= to ? around : (from + to) / 2;
      const share = (middle - from) / (to - from);
      this.look(middle - share * span, span);
    }
    this.draw(true);
  }

  look(from, span) {
    const start = Math.min(Math.max(0, from), this.score.duration - span);
    this.view = { from: start, to: start + span };
    this.draw(true);
  }

  pan(share) {
    const span = this.view.to - this.view.from;
    this.look(this.view.from + share * span, span);
  }

  show(time) {
    const { from, to } = this.view;
    if (time < from || time > to) this.look(time - (to - from) / 4, to - from);
  }

  // --- hands ---

  at(event) {
    return event.clientX - this.canvas.getBoundingClientRect().left;
  }

  grab(event) {
    if (event.button) return;
    this.held = { x: this.at(event), view: this.view, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  drag(event) {
    const { held } = this;
    if (!held) return;
    const width = this.canvas.clientWidth;
    const by = this.at(event) - held.x;
    held.moved ||= Math.abs(by) > DRAG;
    const span = held.view.to - held.view.from;
    if (held.moved && span < this.score.duration) this.look(held.view.from - (by / (width - this.score.gutter(width))) * span, span);
  }

  release(event) {
    const { held, score } = this;
    this.held = null;
    if (!held || (held.moved && this.view !== held.view)) return;
    const width = this.canvas.clientWidth;
    const time = score.time(this.at(event), width, this.view);
    const second = (width - score.gutter(width)) / (this.view.to - this.view.from);
    const before = score.beatBefore(time);
    const [beat] = [before, before + 1].filter((each) => each in score.beats)
      .sort((a, b) => Math.abs(score.beats[a] - time) - Math.abs(score.beats[b] - time));
    if (beat !== undefined && Math.abs(score.beats[beat] - time) * second <= NEAR) this.hear(beat);
    else this.seek(time);
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      const around = this.score.time(this.at(event), this.canvas.clientWidth, this.view);
      this.zoom(2 ** (-event.deltaY / 200), around);
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.pan((event.deltaX || event.deltaY) / this.canvas.clientWidth);
    } else return;
    event.preventDefault();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    const does = {
      Enter: () => {
        const beat = this.score.beatBefore(this.place() + 0.005);
        if (beat >= 0) this.hear(beat);
      },
      " ": () => {
        this.until = Infinity;
        if (this.media?.paused) this.media.play().catch(() => {});
        else this.media?.pause();
      },
      Home: () => this.seek(0),
      End: () => this.seek(this.score.duration),
      "+": () => this.zoom(2, this.place()),
      "=": () => this.zoom(2, this.place()),
      "-": () => this.zoom(0.5, this.place()),
      0: () => this.zoom(0),
    }[event.key] ?? (by && (() => (event.shiftKey ? this.pan(by * 0.25) : this.go(by))));
    if (!does) return;
    event.preventDefault();
    does();
  }

  // --- ticks on the beats ---

  listenToBeats(wanted) {
    this.ticking = wanted;
    this.ticked = -1;
    if (wanted) {
      this.sound ??= new AudioContext();
      this.sound.resume();
    }
  }

  tick() {
    const { media, sound, score } = this;
    const now = media.currentTime;
    const last = score.beatBefore(now + AHEAD * media.playbackRate);
    const first = Math.max(this.ticked, score.beatBefore(now - 0.02)) + 1;
    for (let beat = first; beat <= last; beat += 1) {
      const at = sound.currentTime + Math.max(0, score.beats[beat] - now) / media.playbackRate;
      const [tone, volume] = [sound.createOscillator(), sound.createGain()];
      tone.frequency.value = score.downbeats.has(score.beats[beat]) ? 1760 : 1175;
      volume.gain.setValueAtTime(0.35, at);
      volume.gain.exponentialRampToValueAtTime(0.001, at + 0.06);
      tone.connect(volume).connect(sound.destination);
      tone.start(at);
      tone.stop(at + 0.07);
    }
    this.ticked = Math.max(this.ticked, last);
  }

  // --- drawing ---

  draw(anew = false) {
    this.stale ||= anew;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { canvas, still, score, media } = this;
    if (!score || this.over.signal.aborted) return;
    const playing = media && !media.paused && !media.ended;
    if (playing && media.currentTime >= this.until) media.pause();
    if (playing && !this.held) this.show(media.currentTime);
    if (playing && this.ticking) this.tick();
    const width = canvas.clientWidth;
    const scale = devicePixelRatio;
    if (!width) return;
    if (this.stale) {
      for (const each of [canvas, still]) Object.assign(each, { width: Math.round(width * scale), height: Math.round(score.height * scale) });
      const pen = still.getContext("2d");
      pen.scale(scale, scale);
      score.paint(pen, width, this.view, this.colour, this.wave);
      this.stale = false;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(still, 0, 0);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const x = score.x(this.place());
    if (x >= score.left && x <= width) {
      pen.fillStyle = this.colour.ink;
      pen.fillRect(x - 1, 14, 2, score.height - 14);
      pen.beginPath();
      pen.moveTo(x - 6, 14);
      pen.lineTo(x + 6, 14);
      pen.lineTo(x, 22);
      pen.fill();
    }
    this.write(this.place());
    if (playing) this.draw();
  }

  write(time) {
    const name = this.score.name(time);
    this.element.querySelector("[data-place]").textContent = name ? `${clock(time)} · ${name}` : clock(time);
  }

  // Says where it stands to those who listen to the page; not while it plays.
  told(time = this.place()) {
    const name = this.score.name(time);
    this.canvas.setAttribute("aria-valuenow", time.toFixed(2));
    this.canvas.setAttribute("aria-valuetext", `${name ? `${name}, ` : ""}${time.toFixed(2)} seconds`);
    this.draw();
  }
}
