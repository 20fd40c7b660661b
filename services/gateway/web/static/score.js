// An analysis as a picture over time: lanes for the sound, its energy and bands, onsets and scenes, with the beats
// through all of them. Draws; what it draws for whom is told by analysis.js.

const RULER = 30;
const GAP = 10;
const GUTTER = 64; // for the lanes' names
const NARROW = 520; // px; below it the names stand in the lanes
const APART = 4; // px between lines, closer than which they say nothing
const LABEL_APART = 26;
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
const TICK_APART = 72;
const BANDS = ["bass", "mid", "high"];
const TONES = { energy: "go", bass: "bad", mid: "wait", high: "kept" };

export const COLOURS = ["panel", "sunk", "line", "edge", "ink", "mute", "accent", "accent-soft", "go", "bad", "wait", "kept"];

export class Score {
  // result: the document of ANALYZE, see docs/recipes.md; times in seconds.
  constructor(result) {
    const { audio = {}, video = {} } = result;
    this.duration = Math.max(audio.duration ?? 0, video.duration ?? 0);
    this.sound = audio.duration ?? 0;
    this.beats = audio.beats?.beat_times ?? [];
    this.tempo = audio.beats?.tempo ?? 0;
    this.downbeats = new Set(audio.beats?.downbeat_times ?? []);
    this.bars = numbered(this.beats, this.downbeats);
    this.onsets = audio.onsets ?? [];
    this.scenes = video.scene_changes;
    this.lanes = [];
    if (this.sound) this.lane("sound", 84, (...place) => this.paintSound(...place));
    if (audio.energy) this.lane("energy", 52, (...place) => this.paintCurve("energy", audio.energy.times, audio.energy.values, ...place));
    for (const band of BANDS) {
      const { times, [band]: values } = audio.spectrum ?? {};
      if (values) this.lane(band, 32, (...place) => this.paintCurve(band, times, values, ...place));
    }
    this.struck = this.end(); // how far down the beats' lines go
    if (this.onsets.length) this.lane("onsets", 16, (...place) => this.paintOnsets(...place));
    if (this.scenes) this.lane("scenes", 30, (...place) => this.paintScenes(...place));
    this.height = this.end() + 2;
  }

  lane(name, height, paint) {
    this.lanes.push({ name, top: this.end() + GAP, height, paint });
  }

  end() {
    const last = this.lanes.at(-1);
    return last ? last.top + last.height : RULER - GAP;
  }

  // What a time is called: "bar 2, beat 1"; empty before the first beat.
  name(time) {
    const beat = this.beatBefore(time + 0.005);
    return beat < 0 ? "" : this.bars[beat];
  }

  // The last beat up to a time; -1: none.
  beatBefore(time) {
    return firstAfter(this.beats, time) - 1;
  }

  gutter(width) {
    return width < NARROW ? 0 : GUTTER;
  }

  // Draws everything but the position. view: {from, to} in seconds; wave: the sound's peaks as a picture, or null.
  paint(pen, width, view, colour, wave) {
    Object.assign(this, { pen, width, view, colour, wave, left: this.gutter(width) });
    pen.clearRect(0, 0, width, this.height);
    this.paintRuler();
    for (const { name, top, height, paint } of this.lanes) {
      pen.fillStyle = colour.sunk;
      pen.fillRect(this.left, top, width - this.left, height);
      pen.save();
      pen.beginPath();
      pen.rect(this.left, top, width - this.left, height);
      pen.clip();
      paint(top, height);
      pen.restore();
      this.paintName(name, top, height);
    }
    this.paintBeats();
  }

  x(time) {
    return this.left + ((time - this.view.from) / (this.view.to - this.view.from)) * (this.width - this.left);
  }

  time(x, width, view) {
    const left = this.gutter(width);
    return view.from + ((x - left) / (width - left)) * (view.to - view.from);
  }

  paintName(name, top, height) {
    const { pen, colour, left } = this;
    pen.font = "12px ui-sans-serif, system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.textAlign = left ? "right" : "left";
    const x = left ? left - 8 : 4;
    const y = left ? top + height / 2 : top + 8;
    if (!left) {
      pen.fillStyle = colour.panel;
      pen.fillRect(0, top, pen.measureText(name).width + 8, 16);
    }
    pen.fillStyle = colour.mute;
    pen.fillText(name, x, y);
  }

  paintRuler() {
    const { pen, colour, view, width, left } = this;
    const second = (width - left) / (view.to - view.from); // px
    const step = STEPS.find((each) => each * second >= TICK_APART) ?? STEPS.at(-1);
    const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
    pen.font = "12px ui-sans-serif, system-ui, sans-serif";
    pen.textBaseline = "top";
    pen.textAlign = "left";
    for (let index = Math.ceil(view.from / step); index * step <= view.to; index += 1) {
      const x = Math.round(this.x(index * step)) + 0.5;
      pen.strokeStyle = colour.line;
      line(pen, x, 0, RULER - GAP + 4);
      pen.fillStyle = colour.mute;
      pen.fillText(minutes(index * step, digits), x + 4, 1);
    }
  }

  paintSound(top, height) {
    const { pen, colour, wave, view, sound } = this;
    if (!wave) return;
    const tinted = document.createElement("canvas");
    Object.assign(tinted, { width: wave.width, height: wave.height });
    const ink = tinted.getContext("2d");
    ink.drawImage(wave, 0, 0);
    ink.globalCompositeOperation = "source-in";
    ink.fillStyle = colour.ink;
    ink.fillRect(0, 0, wave.width, wave.height);
    const [from, to] = [Math.max(0, view.from), Math.min(sound, view.to)];
    if (to <= from) return;
    const share = wave.width / sound;
    pen.drawImage(tinted, from * share, 0, (to - from) * share, wave.height, this.x(from), top + 2, this.x(to) - this.x(from), height - 4);
  }

  paintCurve(name, times, values, top, height) {
    const { pen, colour, view } = this;
    const first = Math.max(0, firstAfter(times, view.from) - 2);
    const last = Math.min(times.length, firstAfter(times, view.to) + 2);
    if (last <= first) return;
    const floor = top + height;
    const y = (value) => floor - Math.min(1, Math.max(0, value)) * (height - 3);
    pen.beginPath();
    pen.moveTo(this.x(times[first]), floor);
    // Where several values share a pixel the greatest is shown, so that no peak is lost.
    for (let index = first; index < last;) {
      const x = this.x(times[index]);
      let value = values[index];
      for (index += 1; index < last && this.x(times[index]) < x + 1; index += 1) value = Math.max(value, values[index]);
      pen.lineTo(x, y(value));
    }
    pen.lineTo(this.x(times[last - 1]), floor);
    pen.closePath();
    pen.globalAlpha = 0.25;
    pen.fillStyle = colour[TONES[name]];
    pen.fill();
    pen.globalAlpha = 1;
    pen.strokeStyle = colour[TONES[name]];
    pen.lineWidth = 1.5;
    pen.stroke();
    pen.lineWidth = 1;
  }

  paintOnsets(top, height) {
    const { pen, colour } = this;
    pen.strokeStyle = colour.edge;
    for (const time of this.inView(this.onsets)) line(pen, Math.round(this.x(time)) + 0.5, top + 3, top + height - 3);
  }

  paintScenes(top, height) {
    const { pen, colour, duration } = this;
    const edges = [0, ...this.scenes, duration];
    for (let index = 0; index + 1 < edges.length; index += 1) {
      const [x, end] = [this.x(edges[index]), this.x(edges[index + 1])];
      if (end < this.left || x > this.width) continue;
      pen.fillStyle = index % 2 ? colour.sunk : colour["accent-soft"];
      pen.fillRect(x, top, end - x, height);
      pen.strokeStyle = colour.accent;
      if (index) line(pen, Math.round(x) + 0.5, top, top + height);
      if (end - Math.max(x, this.left) < LABEL_APART) continue;
      pen.fillStyle = colour.ink;
      pen.font = "12px ui-sans-serif, system-ui, sans-serif";
      pen.textAlign = "left";
      pen.textBaseline = "middle";
      pen.fillText(String(index + 1), Math.max(x, this.left) + 6, top + height / 2);
    }
  }

  paintBeats() {
    const { pen, colour, beats, downbeats } = this;
    const inView = this.inView(beats);
    if (!inView.length) return;
    const apart = (this.x(inView.at(-1)) - this.x(inView[0])) / Math.max(1, inView.length - 1) || Infinity;
    const bars = inView.filter((time) => downbeats.has(time));
    const barsApart = (this.x(bars.at(-1)) - this.x(bars[0])) / Math.max(1, bars.length - 1) || Infinity;
    const every = Math.max(1, Math.ceil(LABEL_APART / barsApart));
    pen.font = "11px ui-sans-serif, system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    const from = RULER - 2;
    for (const time of inView) {
      const down = downbeats.has(time);
      if ((down ? barsApart : apart) < APART) continue;
      const x = Math.round(this.x(time)) + 0.5;
      pen.strokeStyle = down ? colour.accent : colour.edge;
      pen.lineWidth = down ? 2 : 1;
      pen.setLineDash(down ? [] : [3, 3]);
      line(pen, x, from, Math.max(this.struck, from + 8));
      if (!down) continue;
      const bar = Number(this.name(time).match(/\d+/)?.[0] ?? 0);
      if ((bar - 1) % every) continue;
      pen.fillStyle = colour.accent;
      pen.fillText(String(bar), x, from);
    }
    pen.lineWidth = 1;
    pen.setLineDash([]);
  }

  inView(times) {
    return times.slice(firstAfter(times, this.view.from - 1e-6), firstAfter(times, this.view.to));
  }
}

// How each beat is called.
function numbered(beats, downbeats) {
  let [bar, beat] = [0, 0];
  return beats.map((time) => {
    if (downbeats.has(time)) [bar, beat] = [bar + 1, 0];
    beat += 1;
    if (bar) return `bar ${bar}, beat ${beat}`;
    return downbeats.size ? `upbeat ${beat}` : `beat ${beat}`;
  });
}

// The place of the first of ascending times that is after this one.
function firstAfter(times, time) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function line(pen, x, from, to) {
  pen.beginPath();
  pen.moveTo(x, from);
  pen.lineTo(x, to);
  pen.stroke();
}

function minutes(seconds, digits) {
  const rest = (seconds % 60).toFixed(digits);
  return `${Math.floor(seconds / 60)}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
}
