// Uploads a file piece by piece, by the server's tus routes (docs/api.md): what has arrived stays there when the
// connection is lost, and for a day after that.
//
// upload(file, onProgress, signal) resolves to {cid, name}. onProgress(share, waiting): 0 to 1, and in words why nothing
// moves at the moment, or "". It goes on by itself once the server answers again; the same file chosen again goes on
// where it was. What is refused throws an Error whose message says what to do; an abort gives up what has arrived, and
// throws the signal's reason.

import { told } from "./forms.js";

const PLACE = "/cache/uploads";
const TUS = { "Tus-Resumable": "1.0.0" };
const BODY = "application/offset+octet-stream";
const PIECE_BYTES = 4 << 20;
const NAME_CHARACTERS = 200;
const FIRST_WAIT = 500; // ms; doubles with each attempt
const LONGEST_WAIT = 10_000;
const PATIENCE = 600_000; // ms without a byte that arrives, after which it is not tried any more
const SILENCE = 30_000; // ms without a byte that leaves, after which a connection counts as lost
const LATER = new Set([409, 423, 429, 500, 502, 503, 504]); // ask where it stands, and go on

const active = new Set(); // files that are being uploaded by this page

class Lost extends Error {} // the connection, or the server for a moment
class Gone extends Error {} // the upload: nothing came for a day, or it was given up

export async function upload(file, onProgress = () => {}, signal = undefined) {
  const identity = `artdag-upload ${file.size} ${file.lastModified} ${file.name}`;
  const alone = !active.has(identity);
  if (alone) active.add(identity);
  try {
    return await carried(file, onProgress, signal, alone ? identity : "");
  } finally {
    if (alone) active.delete(identity);
  }
}

async function carried(file, onProgress, signal, identity) {
  const name = nameOf(file.name);
  let place = recall(identity);
  let offset = null; // not known
  let furthest = -1;
  let heard = Date.now();
  let wait = FIRST_WAIT;
  let anew = 0;
  try {
    for (;;) {
      signal?.throwIfAborted();
      try {
        let standing;
        if (!place) {
          standing = await begin(file, name, signal);
          place = standing.place;
          remember(identity, place);
        } else if (offset === null) {
          standing = await ask(place, signal);
        } else {
          const from = offset;
          offset = null;
          standing = await send(place, file, from, (bytes) => onProgress((from + bytes) / file.size, ""), signal);
        }
        if (standing.offset > furthest) [heard, wait, furthest] = [Date.now(), FIRST_WAIT, standing.offset];
        offset = standing.offset;
        onProgress(file.size ? offset / file.size : 1, "");
        if (standing.cid) {
          forget(identity);
          return { cid: standing.cid, name };
        }
        // All is there, and it is being made content: its state says when.
        if (offset === file.size) throw new Lost("Being taken in");
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof Gone && anew < 2) {
          anew += 1;
          forget(identity);
          [place, offset] = ["", null];
          continue;
        }
        if (!(error instanceof Lost)) throw error;
        if (!(await readable(file))) throw new Error("The file cannot be read any more: it was changed, moved or deleted. Choose it again.");
        if (Date.now() - heard > PATIENCE) {
          throw new Error("The server was not to be reached for ten minutes. Choose the file again when it is back: what has arrived is kept for a day.");
        }
        offset = null;
        onProgress(file.size ? Math.max(0, furthest) / file.size : 0, error.message);
        await pause(wait, signal);
        wait = Math.min(2 * wait, LONGEST_WAIT);
      }
    }
  } catch (error) {
    if (signal?.aborted) {
      forget(identity);
      if (place) giveUp(place);
      throw signal.reason;
    }
    throw error;
  }
}

// Browsers read a file when they send it, and call it a lost connection where they cannot.
async function readable(file) {
  return file.slice(0, 1).arrayBuffer().then(() => true, () => false);
}

async function begin(file, name, signal) {
  const metadata = [["filename", file.name.slice(-NAME_CHARACTERS)], ["name", name]]
    .map(([key, text]) => `${key} ${base64(text)}`).join(",");
  const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": metadata };
  const answer = await asked(PLACE, { method: "POST", headers, signal });
  return { ...standingOf((header) => answer.headers.get(header)), place: answer.headers.get("Location") };
}

async function ask(place, signal) {
  const answer = await asked(place, { method: "HEAD", headers: TUS, signal });
  return standingOf((header) => answer.headers.get(header));
}

async function asked(address, options) {
  let answer;
  try {
    answer = await fetch(address, { ...options, headers: { Accept: "application/json", ...options.headers } });
  } catch (error) {
    throw new Lost("The connection is lost; trying again");
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text().catch(() => ""));
  return answer;
}

// Sends a piece. By XMLHttpRequest, which tells how much of it has left; fetch does not.
function send(place, file, from, moved, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let silence = 0;
    const stop = () => request.abort();
    const watch = () => {
      clearTimeout(silence);
      silence = setTimeout(stop, SILENCE);
    };
    request.open("PATCH", place);
    for (const [header, value] of Object.entries(TUS)) request.setRequestHeader(header, value);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", BODY);
    request.setRequestHeader("Upload-Offset", String(from));
    request.upload.addEventListener("progress", (event) => {
      watch();
      moved(event.loaded);
    });
    request.upload.addEventListener("load", () => clearTimeout(silence)); // from now on the server works
    request.addEventListener("loadend", () => {
      clearTimeout(silence);
      signal?.removeEventListener("abort", stop);
      window.removeEventListener("offline", stop);
      if (request.status >= 200 && request.status < 300) resolve(standingOf((header) => request.getResponseHeader(header)));
      else if (request.status) reject(refusal(request.status, request.responseText));
      else reject(new Lost("The connection is lost; trying again"));
    });
    signal?.addEventListener("abort", stop);
    window.addEventListener("offline", stop);
    watch();
    request.send(file.slice(from, from + PIECE_BYTES));
  });
}

function standingOf(header) {
  const content = header("Content-Location");
  return { offset: Number(header("Upload-Offset")), cid: content ? content.split("/").at(-1) : "" };
}

function refusal(status, text) {
  if (status === 404 || status === 410) return new Gone();
  if (LATER.has(status)) return new Lost("The server is busy; trying again");
  if (status === 401) {
    return new Error("You are signed out. Sign in, then choose the file again: what has arrived is kept for a day.");
  }
  let problem = null;
  try {
    problem = JSON.parse(text);
  } catch (error) {
    // no words: of an answer to HEAD, or of a proxy
  }
  const hint = problem?.hint ? ` ${problem.hint}` : "";
  return new Error(problem ? `${told(problem)}${hint}` : `The server refused it (status ${status}). Try it again later.`);
}

// Removes what has arrived. Whoever wrote to it may still hold it for a moment.
async function giveUp(place) {
  for (let wait = FIRST_WAIT; wait < LONGEST_WAIT; wait *= 2) {
    const answer = await fetch(place, { method: "DELETE", headers: TUS, keepalive: true }).catch(() => null);
    if (answer && answer.status !== 423) return;
    await pause(wait);
  }
}

// Waits; not longer than until the machine is connected again.
function pause(time, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      window.removeEventListener("online", over);
      signal?.removeEventListener("abort", over);
      resolve();
    };
    const timer = setTimeout(over, time);
    window.addEventListener("online", over);
    signal?.addEventListener("abort", over);
  });
}

// What a file is called here: its name without the ending, in characters that are seen.
export function nameOf(filename) {
  const seen = filename.replace(/[\p{C}\p{Z}]+/gu, " ").trim();
  const stem = seen.replace(/(?<=.)\.[A-Za-z0-9]{1,8}$/, "");
  return [...stem].slice(0, NAME_CHARACTERS).join("").trim();
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

// Where uploads that did not come to their end stand, for when the page is opened again. Without storage they begin anew.
function recall(identity) {
  try {
    return (identity && localStorage.getItem(identity)) || "";
  } catch (error) {
    return "";
  }
}

function remember(identity, place) {
  try {
    if (identity) localStorage.setItem(identity, place);
  } catch (error) {
    // full, or forbidden
  }
}

function forget(identity) {
  try {
    if (identity) localStorage.removeItem(identity);
  } catch (error) {
    // forbidden
  }
}
