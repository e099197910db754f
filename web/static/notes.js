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

/** Forget all notes: somebody else may sit down here. */
export function forgetNotes() {
  for (const key of noteKeys()) localStorage.removeItem(key);
}

/** Forget notes that nobody came back to. */
export function sweepNotes() {
  for (const key of noteKeys()) {
    const note = JSON.parse(localStorage.getItem(key));
    if (Date.now() - note.at > KEPT_FOR_MS) localStorage.removeItem(key);
  }
}

function noteKeys() {
  return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
}
