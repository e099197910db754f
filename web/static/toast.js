// Short messages at the edge of the page. They stay while the mouse or the focus is on them.
const SHOWN_MS = 8_000;

/** `look` is ok, warn, bad or info. */
export function toast(look, text) {
  const note = document.createElement("div");
  note.className = `note ${look}`;
  note.textContent = text;
  document.getElementById("toasts").append(note);
  const leave = () => (note.matches(":hover, :focus-within") ? setTimeout(leave, 1_000) : note.remove());
  setTimeout(leave, SHOWN_MS);
}
