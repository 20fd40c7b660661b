// Lets people choose two of a list, and leads on to where they are compared. data-choose of the checkboxes is the id.

const WORDS = ["", "One run is chosen. Choose another to compare it with.", "Two runs are chosen."];

export default function choose(element) {
  const bar = element.querySelector("[data-chosen]");
  const text = bar.querySelector("[data-words]");
  let chosen = []; // checkboxes, in the order in which they were

  function change(event) {
    const box = event.target.closest("[data-choose]");
    if (!box) return;
    if (box.checked) chosen.push(box);
    chosen = chosen.filter((each) => each.checked && each.isConnected);
    if (chosen.length > 2) chosen.shift().checked = false;
    tell();
  }

  function tell() {
    bar.hidden = !chosen.length;
    text.textContent = WORDS[chosen.length];
    bar.querySelector("a")?.remove();
    if (chosen.length < 2) return;
    const link = document.createElement("a");
    link.className = "button button-main button-small";
    link.href = `/runs/compare?a=${chosen[0].dataset.choose}&b=${chosen[1].dataset.choose}`;
    link.textContent = "Compare them";
    text.after(link);
    window.htmx?.process(link);
  }

  function none() {
    for (const box of chosen) box.checked = false;
    chosen = [];
    tell();
    element.querySelector("[data-choose]")?.focus();
  }

  for (const box of element.querySelectorAll("[data-choose]:checked")) box.checked = false; // from before a reload
  element.dataset.alive = "";
  element.addEventListener("change", change);
  bar.querySelector("button").addEventListener("click", none);
}
