// Short messages at the foot of the page, which are read aloud, too.

const SECONDS = { bad: 12, "": 4 };

// Say something. tone: "bad" for what went wrong.
export function say(text, tone = "") {
  const place = document.getElementById("said");
  const line = document.createElement("p");
  line.className = `panel pointer-events-auto px-4 py-2 shadow-lg ${tone === "bad" ? "notice-bad" : ""}`;
  line.textContent = text;
  line.addEventListener("click", () => line.remove());
  place.append(line);
  setTimeout(() => line.remove(), SECONDS[tone] * 1000);
}
