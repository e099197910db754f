// What is being typed, kept on this computer until the server has the result: {text, unsent, choice, open, at}.
const PREFIX = "zvonar.note.";
const KEPT_FOR_MS = 3 * 86_400_000;

export function readNote(attempt) {
  return JSON.parse(localStorage.getItem(PREFIX + attempt) || "null");
}

export function writeNote(attempt, note) {
  if (attempt) localStorage.setItem(PREFIX + attempt, JSON.stringify({ ...note, at: Date.now() }));
}

export function clearNote(attempt) {
  localStorage.removeItem(PREFIX + attempt);
}

/** Forget notes that nobody came back to. */
export function sweepNotes() {
  for (const key of Object.keys(localStorage).filter((key) => key.startsWith(PREFIX))) {
    const note = JSON.parse(localStorage.getItem(key));
    if (Date.now() - note.at > KEPT_FOR_MS) localStorage.removeItem(key);
  }
}
