// From file to file by keyboard: j or → the next, k or ← the one before, u back to the request.
// A link says with data-key which of them it is; nothing happens while somebody writes.
const KEYS = { j: "next", ArrowRight: "next", k: "previous", ArrowLeft: "previous", u: "up" };

document.addEventListener("keydown", (event) => {
  const writes = event.target.closest("input, textarea, select, summary, .scroll");
  if (writes || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  const link = document.querySelector(`a[data-key="${KEYS[event.key]}"]`);
  if (link) link.click();
});
