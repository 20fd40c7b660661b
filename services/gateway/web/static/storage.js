// A place of storage: room is typed in gigabytes and sent in bytes, what a test found is shown beside its button.

const GIGA = 1e9;

export default function storage(element) {
  const result = element.querySelector("[data-result]");

  function pack(event) {
    const gigabytes = event.formData.get("capacity_bytes");
    if (gigabytes) event.formData.set("capacity_bytes", String(Math.round(Number(gigabytes) * GIGA)));
  }

  function tested(event) {
    if (!event.target.dataset.api.endsWith("/test")) return;
    event.preventDefault();
    const found = event.detail.body;
    result.hidden = false;
    result.className = `notice ${found.ok ? "notice-mute" : "notice-bad"}`;
    result.textContent = found.ok
      ? "It works: something small was stored there, read back and removed."
      : `It does not work: ${found.reason ?? "it did not say why"}`;
    window.htmx.ajax("GET", location.pathname, { target: "#standing", select: "#standing", swap: "outerHTML", source: element });
  }

  element.addEventListener("formdata", pack, true);
  element.addEventListener("artdag:sent", tested);
}
