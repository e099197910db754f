// The operator's desk. Frames fill islands that nobody types in; what is typed changes only by the operator's hand.
import { newId, openBus } from "./bus-tab.js";
import { clearNote, forgetNotes, readNote, sweepNotes, writeNote } from "./notes.js";
import { draw, setNow } from "./timers.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

const RECONNECTING_SHOWN_AFTER_MS = 3_000;
const NOTE_SAVED_EVERY_MS = 2_000;
const TRY_AGAIN_MS = 3_000;
const TYPING_MS = 2_000;
const PENDING = "zvonar.pending";

const desk = document.getElementById("desk");
const work = document.getElementById("work");
const build = document.documentElement.dataset.build;
const reader = desk.dataset.reader;
const now = { attempt: "", state: "", name: "", live: false, disposed: false };
// A conversation that was left without a result, as it stood on the desk; and the desk without any.
let unfinished = null;
let idle = "";
let noteTimer = 0;
let typedAt = 0;
let lostTimer = 0;

if (!("WebSocket" in window)) document.getElementById("no-sockets").hidden = false;
sweepNotes();
const bus = openBus({ feed: "desk", reader, build, onFrame, onStatus });
resendPending();

// ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────

function onFrame(frame) {
  if (frame.now) setNow(frame.now);
  switch (frame.type) {
    case "welcome":
      document.getElementById("outdated").hidden = frame.build === build;
      break;
    case "snapshot":
      showWork(frame);
      showBar(frame);
      break;
    case "pop":
    case "idle":
      showWork(frame);
      break;
    case "agent":
      showBar(frame);
      break;
    case "card":
      for (const [id, html] of Object.entries(frame.islands)) {
        if (frame.attempt === now.attempt) document.getElementById(id).innerHTML = html;
      }
  }
}

function showWork({ work: html, attempt, draft, name }) {
  if (html === undefined) return; // the server could not read it yet; a frame follows
  if (!attempt) idle = html;
  if (attempt && attempt === now.attempt) return; // the operator may be typing in it
  if (!attempt && unfinished?.opened) return; // the result of the last conversation is being given
  if (now.attempt && readNote(now.attempt)?.open) {
    unfinished = { attempt: now.attempt, name: now.name, html: work.innerHTML, opened: false };
  }
  showUnfinished();
  put(html, attempt, name, draft);
}

function put(html, attempt, name, draft) {
  const typing = isTyping();
  now.attempt = attempt || "";
  now.name = name || "";
  now.disposed = false;
  work.innerHTML = html;
  draw(work);
  if (!attempt) return;
  fillIn(attempt, draft);
  if (!typing) note().focus({ preventScroll: true });
}

function showUnfinished() {
  const strip = document.getElementById("unfinished");
  strip.hidden = !unfinished || unfinished.opened;
  strip.querySelector("span").textContent = unfinished
    ? t("No result was given for %(name)s. The note is kept.", { name: unfinished.name || "…" })
    : "";
}

function finish() {
  if (!unfinished || now.attempt) return;
  unfinished.opened = true;
  showUnfinished();
  put(unfinished.html, unfinished.attempt, unfinished.name, null);
}

function showBar(frame) {
  for (const island of ["bar_state", "bar_who", "bar_buttons"]) {
    const place = document.getElementById(island);
    if (frame[island] === undefined || place.dataset.html === frame[island]) continue;
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.do : null;
    place.innerHTML = place.dataset.html = frame[island];
    if (focused) place.querySelector(`[data-do="${focused}"], .main`)?.focus();
  }
  draw(document.getElementById("bar_state"));
  offline();
  if (frame.state === undefined) return;
  const before = now.state;
  now.state = desk.dataset.state = frame.state;
  now.disposed = frame.disposed;
  document.title = now.attempt ? `☎ ${now.name || "…"} — ${frame.word}` : `${frame.word} · Zvonar`;
  if (before !== frame.state) {
    document.getElementById("announce").textContent = now.attempt ? `${frame.word}: ${now.name}` : frame.word;
    // The note has the focus from the start: in mid-word it keeps it, else the digits are for the result now.
    if (frame.state === "wrap_up" && !(isTyping() && Date.now() - typedAt < TYPING_MS)) firstChoice()?.focus();
  }
  if (frame.disposed && now.attempt) say("saved", "ok", t("The result is saved."));
}

function onStatus({ status, lostAt }) {
  now.live = status === "live";
  const link = document.getElementById("link");
  link.querySelector('[data-link="on"]').hidden = !now.live;
  link.querySelector('[data-link="off"]').hidden = now.live;
  document.getElementById("taken").hidden = status !== "taken";
  if (status === "signed_out") location.assign("/login");
  clearTimeout(lostTimer);
  const strip = document.getElementById("reconnecting");
  strip.hidden = true;
  if (status === "lost") {
    const due = lostAt + RECONNECTING_SHOWN_AFTER_MS - Date.now();
    lostTimer = setTimeout(() => (strip.hidden = false), Math.max(0, due));
  }
  offline();
  if (now.live && now.attempt) saveNote();
}

function offline() {
  for (const button of desk.querySelectorAll("[data-do]")) {
    button.disabled = !now.live;
    button.title = now.live ? "" : t("No connection to the server. Use the buttons of the phone.");
  }
}

// ── the note ────────────────────────────────────────────────────────────────────────────────────────────────────

const note = () => document.getElementById("note");
const form = () => document.getElementById("result");
const firstChoice = () => form()?.querySelector('[name="disposition"]:checked, [name="disposition"]');

function fillIn(attempt, draft) {
  const kept = readNote(attempt);
  const ours = kept && (kept.unsent || !draft);
  note().value = ours ? kept.text : draft?.text || "";
  writeNote(attempt, { ...kept, text: note().value, open: true });
  if (kept?.choice) {
    const choice = form().querySelector(`[name="disposition"][value="${CSS.escape(kept.choice)}"]`);
    if (choice) choice.checked = true;
  }
  showCallback();
}

desk.addEventListener("input", (event) => {
  typedAt = Date.now();
  if (event.target.id !== "note") return;
  writeNote(now.attempt, { ...readNote(now.attempt), text: event.target.value, unsent: true, open: true });
  noteTimer ||= setTimeout(saveNote, NOTE_SAVED_EVERY_MS);
});

async function saveNote() {
  clearTimeout(noteTimer);
  noteTimer = 0;
  const attempt = now.attempt;
  const kept = readNote(attempt);
  if (!attempt || !kept?.unsent || !note()) return;
  const text = kept.text;
  const lead = Number(work.querySelector("[data-lead]").dataset.lead);
  const answer = await bus.send("draft", { attempt, lead, text });
  if (attempt !== now.attempt) return;
  if (answer.type === "ack") {
    const current = readNote(attempt);
    if (current?.text === text) writeNote(attempt, { ...current, unsent: false });
    else noteTimer ||= setTimeout(saveNote, NOTE_SAVED_EVERY_MS);
    say("kept", "", t("Draft saved"));
  } else {
    say("kept", "bad", t("Kept on this computer only: the server does not answer."));
    if (answer.reason !== "lost") noteTimer ||= setTimeout(saveNote, TRY_AGAIN_MS);
  }
}

// Another tab of this desk is where the operator types: follow it while nobody types here.
addEventListener("storage", (event) => {
  if (event.key !== `zvonar.note.${now.attempt}` || !event.newValue || !note() || document.hasFocus()) return;
  note().value = JSON.parse(event.newValue).text;
});

// ── the result ──────────────────────────────────────────────────────────────────────────────────────────────────

function showCallback() {
  const chosen = form()?.querySelector('[name="disposition"]:checked');
  document.getElementById("callback").hidden = chosen?.dataset.kind !== "callback";
}

desk.addEventListener("change", (event) => {
  if (event.target.name === "disposition") {
    writeNote(now.attempt, { ...readNote(now.attempt), text: note().value, choice: event.target.value, open: true });
    showCallback();
    problem("");
  }
  if (event.target.name === "at" && event.target.value) {
    for (const preset of form().querySelectorAll('[name="when"]')) preset.checked = false;
  }
  if (event.target.name === "when") form().elements.at.value = "";
});

// The next person at this computer finds nothing of this one's notes; the server has them.
document.querySelector('form[action="/logout"]').addEventListener("submit", forgetNotes);

desk.addEventListener("submit", (event) => {
  if (event.target.id !== "result") return;
  event.preventDefault();
  save();
});

function save() {
  const fields = new FormData(form());
  const chosen = form().querySelector('[name="disposition"]:checked');
  if (!chosen) return problem(t("Choose a result."), firstChoice());
  let callback = "";
  if (chosen.dataset.kind === "callback") {
    callback = fields.get("at") || fields.get("when") || "";
    if (!callback) return problem(t("Choose when to call back."), form().querySelector('[name="when"]'));
  }
  problem("");
  const args = {
    attempt: now.attempt,
    disposition: chosen.value,
    note: note().value,
    callback,
    mine: fields.get("mine") === "on",
  };
  const pending = { id: newId(), args, reader, name: now.name };
  localStorage.setItem(PENDING, JSON.stringify(pending));
  return dispose(pending);
}

async function dispose(pending) {
  const here = () => now.attempt === pending.args.attempt;
  const button = document.getElementById("save");
  if (here()) {
    button.disabled = true;
    say("saved", "", t("Saving…"));
  }
  const answer = await bus.send("dispose", pending.args, { id: pending.id, keep: true });
  if (answer.type === "nack" && answer.reason === "not_saved") {
    if (here()) say("saved", "bad", answer.words);
    setTimeout(() => dispose(pending), TRY_AGAIN_MS);
    return;
  }
  localStorage.removeItem(PENDING);
  if (answer.type === "ack") {
    clearNote(pending.args.attempt);
    if (unfinished?.attempt === pending.args.attempt) {
      const wasOpen = unfinished.opened && here();
      unfinished = null;
      showUnfinished();
      if (wasOpen) put(idle, "", "", null);
    }
    toast("ok", t("Saved: %(name)s", { name: pending.name || "…" }));
    if (here()) say("saved", "ok", t("The result is saved."));
  } else if (here()) {
    say("saved", "", "");
    problem(answer.words || answer.reason);
  } else {
    toast("bad", t("Not saved: %(name)s. %(reason)s", { name: pending.name || "…", reason: answer.words || "" }));
  }
  if (here() && form()) document.getElementById("save").disabled = false;
}

/** A result that was under way when the page closed: its id makes it happen once, however often it is sent. */
function resendPending() {
  const pending = JSON.parse(localStorage.getItem(PENDING) || "null");
  if (pending?.reader === reader) dispose(pending);
}

function problem(text, focus) {
  const place = document.getElementById("result-error");
  place.textContent = text;
  place.hidden = !text;
  focus?.focus();
}

function say(id, look, text) {
  const place = document.getElementById(id);
  if (!place) return;
  place.className = `kept ${look}`;
  place.textContent = text;
}

// ── buttons and keys ────────────────────────────────────────────────────────────────────────────────────────────

desk.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("take" in button.dataset) bus.take();
  if ("reload" in button.dataset) location.reload();
  if ("finish" in button.dataset) finish();
  if ("do" in button.dataset) press(button);
});

async function press(button) {
  const { do: verb, reason = "", attempt = now.attempt, on = "", digits = "" } = button.dataset;
  // Seen at once; the truth comes with the next frame. Digits follow one another: their buttons stay.
  button.setAttribute("aria-busy", "true");
  if (!digits) {
    button.disabled = true;
    for (const menu of desk.querySelectorAll(".menu")) menu.hidePopover?.();
  }
  const lead = Number(desk.querySelector("#bar_buttons [data-lead]")?.dataset.lead || 0);
  const answer = await bus.send(verb, { reason, attempt, lead, on: on === "1", digits });
  button.removeAttribute("aria-busy");
  if (answer.type === "nack") toast("bad", answer.words || t("No connection to the server. Use the buttons of the phone."));
  offline();
}

const PRESSED_BY = {
  F2: '#bar_buttons .main:not(:disabled):not([data-do="hold"])',
  F4: '#bar_buttons [data-do="hold"]:not(:disabled)',
  F9: '#bar_buttons [data-do="hangup"]:not(:disabled)',
};

// By `code`: on a Cyrillic layout `key` is another letter.
addEventListener("keydown", (event) => {
  const { code, altKey, ctrlKey, metaKey } = event;
  if (event.repeat || event.isComposing) return;
  if (code in PRESSED_BY && !altKey && !ctrlKey) {
    event.preventDefault();
    const button = desk.querySelector(PRESSED_BY[code]);
    if (button) button.click();
    else if (code === "F2" && form()) save();
  } else if (code === "KeyP" && altKey && !ctrlKey) {
    event.preventDefault();
    const back = desk.querySelector('#bar_buttons [data-do="ready"]:not(:disabled)');
    if (back) back.click();
    else openMenu("pause-menu");
  } else if (code === "KeyM" && altKey && !ctrlKey) {
    event.preventDefault();
    desk.querySelector('#bar_buttons [data-do="mute"]:not(:disabled)')?.click();
  } else if (code === "KeyT" && altKey && !ctrlKey) {
    event.preventDefault();
    openMenu("digits-menu");
  } else if (!altKey && !ctrlKey && !metaKey && digitOf(event) && document.getElementById("digits-menu").matches(":popover-open")) {
    event.preventDefault();
    desk.querySelector(`#digits-menu [data-digits="${digitOf(event)}"]:not(:disabled)`)?.click();
  } else if (code === "KeyS" && altKey && !ctrlKey) {
    event.preventDefault();
    openMenu("skip-menu");
  } else if ((code === "Enter" || code === "NumpadEnter") && (ctrlKey || metaKey) && form()) {
    event.preventDefault();
    save();
  } else if (code === "KeyS" && (ctrlKey || metaKey)) {
    event.preventDefault();
    saveNote();
  } else if (/^(Digit|Numpad)[1-9]$/.test(code) && !altKey && !ctrlKey && !metaKey && !isTyping() && form()) {
    const choice = form().querySelector(`[data-key="${code.slice(-1)}"]`);
    if (!choice) return;
    event.preventDefault();
    choice.click();
    choice.focus();
  }
});

/** The tone of a key: digits of both rows, `*` and `#` where a US keyboard has them. */
function digitOf({ code, shiftKey }) {
  if (code === "NumpadMultiply" || (code === "Digit8" && shiftKey)) return "*";
  if (code === "Digit3" && shiftKey) return "#";
  return /^(Digit|Numpad)[0-9]$/.test(code) && !shiftKey ? code.slice(-1) : "";
}

function openMenu(id) {
  const menu = document.getElementById(id);
  if (!desk.querySelector(`#bar_buttons [popovertarget="${id}"]`)) return;
  menu.togglePopover?.();
  menu.querySelector("button").focus();
}

function isTyping() {
  const { activeElement: at } = document;
  return at instanceof HTMLTextAreaElement || (at instanceof HTMLInputElement && !["radio", "checkbox"].includes(at.type));
}
