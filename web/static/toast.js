// Short messages at the edge of the page. They stay while the mouse or the focus is on them.
const SHOWN_MS = 8_000;
let last = null;

/** `look` is ok, warn, bad or info; `undo` is {title, run}: a button that takes the deed back, also by Ctrl+Z. */
export function toast(look, text, undo = null) {
  const note = document.createElement("div");
  note.className = `note ${look}`;
  const words = document.createElement("span");
  words.textContent = text;
  note.append(words);
  if (undo) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button slim";
    button.textContent = undo.title;
    button.onclick = () => {
      last = null;
      note.remove();
      undo.run();
    };
    note.append(button);
    last = button;
  }
  document.getElementById("toasts").append(note);
  const leave = () => (note.matches(":hover, :focus-within") ? setTimeout(leave, 1_000) : note.remove());
  setTimeout(leave, SHOWN_MS);
}

/** Take back the last deed that can be; false when there is none. */
export function undoLast() {
  if (!last) return false;
  last.click();
  return true;
}
