// Who has called: one of several clients is picked, an unknown one is written down. What is typed is kept with the note
// of the call, so that it survives a reload, the end of the call, and the next one.
import { isTyping } from "./keys.js";
import { readNote, writeNote } from "./notes.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

const formOf = (tab) => tab?.pane.querySelector("#newcomer");

/** Listens on the desk. `current()` is the tab that is looked at, `send(verb, args)` asks the server. */
export function serveCaller(desk, { current, send }) {
  desk.addEventListener("input", (event) => {
    if (formOf(current())?.contains(event.target)) keep(current());
  });
  desk.addEventListener("submit", (event) => {
    if (event.target.id !== "newcomer") return;
    event.preventDefault();
    save(current(), send);
  });
  desk.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pick]");
    if (button) pick(button, current(), send);
  });
  // Before the desk's own keys: while somebody is to be picked, digits mean people and not results.
  addEventListener(
    "keydown",
    (event) => {
      const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
      if (!digit || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || isTyping()) return;
      if (document.activeElement?.tagName === "SELECT") return;
      const button = current()?.pane.querySelector(`[data-pick-key="${digit}"]`);
      if (!button || document.querySelector(":popover-open, dialog[open]")) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      button.focus();
      button.click();
    },
    { capture: true },
  );
}

/** Fill in what was typed before. */
export function fillCaller(tab) {
  for (const [name, value] of Object.entries(readNote(tab.attempt)?.caller || {})) {
    const field = formOf(tab)?.elements.namedItem(name);
    if (field && !field.readOnly) field.value = value;
  }
}

/** Where the operator goes on while it is to be said who called. */
export function whom(tab) {
  return tab.pane.querySelector("[data-pick]") || formOf(tab)?.elements.namedItem("name");
}

function keep(tab) {
  writeNote(tab.attempt, { ...readNote(tab.attempt), caller: Object.fromEntries(new FormData(formOf(tab))), open: true });
}

async function pick(button, tab, send) {
  button.setAttribute("aria-busy", "true");
  const answer = await send("attach", { attempt: tab.attempt, lead: Number(button.dataset.pick) });
  button.removeAttribute("aria-busy");
  if (answer.type === "nack") toast("bad", answer.words || t("No connection to the server."));
}

async function save(tab, send) {
  const typed = Object.fromEntries(new FormData(formOf(tab)));
  const fields = {};
  for (const [name, value] of Object.entries(typed)) {
    if (name.startsWith("field:")) fields[name.slice("field:".length)] = value;
  }
  const { name = "", number = "", zone = "" } = typed;
  problem(tab, "");
  const answer = await send("caller", { attempt: tab.attempt, name, number, zone, fields });
  if (answer.type === "nack") return problem(tab, answer.words || t("No connection to the server."));
  const { caller, ...rest } = readNote(tab.attempt) || {};
  if (caller) writeNote(tab.attempt, rest);
  return toast("ok", t("Saved: %(name)s", { name }));
}

function problem(tab, text) {
  const error = tab.pane.querySelector("#caller-error");
  if (!error) return;
  error.textContent = text;
  error.hidden = !text;
}
