// What keys do, by `code`: on a Cyrillic layout `key` is another letter. A button with `data-hotkey` is pressed by that
// key wherever it stands; what has no button is registered with `onKey`. Each user may switch keys off.
import { t } from "./words.js";

/** Every key there is, in the order of the list: [key, what it does]. */
export const KEYS = [
  ["F2", t("The main button: start, ready, call, take")],
  ["F4", t("Hold, and back")],
  ["F8", t("Transfer")],
  ["Alt+J", t("All three: the client, the colleague and you")],
  ["Alt+M", t("Microphone off, and on")],
  ["Alt+T", t("Digits to the client")],
  ["Alt+V", t("Recording: pause, go on, begin")],
  ["F9", t("Hang up")],
  ["1–9", t("Result of the call")],
  ["Alt+C", t("Call back: choose when")],
  ["Alt+R", t("Repeat the last order")],
  ["Ctrl+Enter", t("Save and next")],
  ["Ctrl+S", t("Save and stay")],
  ["Ctrl+Z", t("Undo, outside of text")],
  ["Alt+P", t("Pause, and back")],
  ["Alt+S", t("Skip this client")],
  ["Alt+N", t("Open another client in a tab")],
  ["Alt+[", t("The tab to the left")],
  ["Alt+]", t("The tab to the right")],
  ["J K", t("Rows of a list, down and up")],
  ["Ctrl+K", t("Find a client or a command")],
  ["Ctrl+/", t("All keys")],
];
/** These two lead to the switch itself. */
export const ALWAYS_ON = new Set(["Ctrl+K", "Ctrl+/"]);

const NAMES = { BracketLeft: "[", BracketRight: "]", Slash: "/", NumpadEnter: "Enter", NumpadDivide: "/" };
const prefs = JSON.parse(document.getElementById("prefs")?.textContent || "{}");
const off = new Set(prefs.keys_off || []);
const handlers = new Map();

export function isOff(key) {
  return off.has(key) && !ALWAYS_ON.has(key);
}

export function setOff(keys) {
  off.clear();
  for (const key of keys) off.add(key);
}

/** Do `run(event)` at this key; a `run` that returns false has not used it. */
export function onKey(key, run) {
  handlers.set(key, run);
}

/** The buttons that can be pressed now, by their keys. */
export function pressable(key) {
  const selector = key ? `[data-hotkey~="${CSS.escape(key)}"]:not(:disabled)` : "[data-hotkey]:not(:disabled)";
  return [...document.querySelectorAll(selector)].filter((button) => button.offsetParent !== null);
}

export function isTyping() {
  const at = document.activeElement;
  return at?.tagName === "TEXTAREA" || (at?.tagName === "INPUT" && !["radio", "checkbox", "button"].includes(at.type));
}

/** A key with what is held, as `KEYS` writes it; letters and digits by their place on the keyboard. */
function nameOf({ code, altKey, ctrlKey, metaKey, shiftKey }) {
  const plain = NAMES[code] || code.replace(/^(Key|Digit|Numpad)/, "");
  const held = [(ctrlKey || metaKey) && "Ctrl", altKey && "Alt", shiftKey && "Shift"];
  return [...held.filter(Boolean), plain].join("+");
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.isComposing) return;
  const key = nameOf(event);
  const shared = /^[1-9]$/.test(key) ? "1–9" : key === "J" || key === "K" ? "J K" : key;
  if (isOff(shared)) return;
  const modal = document.querySelector("dialog[open]");
  if (modal && !ALWAYS_ON.has(key)) return;
  const [button] = modal ? [] : pressable(key);
  if (button) {
    event.preventDefault();
    button.click();
    return;
  }
  const run = handlers.get(shared);
  if (run && run(event) !== false) event.preventDefault();
});

// ── rows of a list: J, K, and Enter on the link itself ──────────────────────────────────────────────────────────

onKey("J K", ({ code }) => {
  if (isTyping()) return false;
  const links = [...document.querySelectorAll("[data-rows] tbody tr a:first-of-type")];
  if (!links.length) return false;
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + (code === "KeyJ" ? 1 : -1)))].focus();
  return true;
});
