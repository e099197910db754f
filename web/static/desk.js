// The operator's desk. Frames fill islands that nobody types in; what is typed changes only by the operator's hand.
import { openBus } from "./bus-tab.js";
import { fillCaller, serveCaller, whom } from "./caller.js";
import { fillWhenLetGo } from "./islands.js";
import { isTyping, onKey, pressable } from "./keys.js";
import { clearNote, forgetNotes, readNote, sweepNotes, writeNote } from "./notes.js";
import { fillIn, isPending, resendPending, save, showResult } from "./result.js";
import { isOrdering, serveOrders } from "./orders.js";
import { askToNotify, canSound, hush, notify, play, unlock } from "./sound.js";
import { Tabs } from "./tabs.js";
import { serveTasks } from "./tasks.js";
import { followEdits } from "./card.js";
import { draw, setNow } from "./timers.js";
import { toast, undoLast } from "./toast.js";
import { t } from "./words.js";

const RECONNECTING_SHOWN_AFTER_MS = 3_000;
const NOTE_SAVED_EVERY_MS = 2_000;
const TRY_AGAIN_MS = 3_000;
const TYPING_MS = 2_000;
const IN_CONVERSATION = new Set(["talking", "held", "wrap_up"]);
const OPEN_LEADS = "zvonar.tabs";

const desk = document.getElementById("desk");
const build = document.documentElement.dataset.build;
const { reader, person } = desk.dataset;
const prefs = JSON.parse(document.getElementById("prefs").textContent);
// What the engine says; what is looked at is `tabs.current`.
const call = { attempt: "", state: "", name: "", live: false, outdated: false };
const noteTimers = new Map();
const tabIcon = document.querySelector('link[rel="icon"]');
let typedAt = 0;
let lostTimer = 0;
followEdits(desk);

if (!("WebSocket" in window)) document.getElementById("no-sockets").hidden = false;
sweepNotes();
const tabs = new Tabs(document.getElementById("tabs"), document.getElementById("work"), (tab) => {
  draw(tab.pane);
  if (tab.attempt) showResult(tab);
  offline();
});
tabs.put("home", "home", t("Desk"), "");
tabs.show("home");
const bus = openBus({ feed: "desk", reader, build, onFrame, onStatus, onSound });
serveCaller(desk, { current: () => tabs.current, send: (verb, args) => bus.send(verb, args) });
const tasks = serveTasks(desk, { press, open: (lead) => openLead(lead, false) });
const orders = serveOrders(desk, {
  panes: () => [...tabs.all.values()].map((tab) => tab.pane),
  send: async (text, order) => (await bus.send("draft", { order, text })).type === "ack",
  attempt: () => tabs.current.attempt || "",
});
resendPending(bus, person, afterResult);
for (const lead of JSON.parse(sessionStorage.getItem(OPEN_LEADS) || "[]")) openLead(lead, false);

// ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────

function onFrame(frame) {
  if (frame.now) setNow(frame.now);
  switch (frame.type) {
    case "welcome":
      call.outdated = frame.build !== build;
      offerReload();
      break;
    case "snapshot": {
      const waited = tasks.waits();
      showWork(frame);
      showBar(frame);
      if (waited && !tasks.waits()) tasks.after(); // the server that waited with them was restarted
      break;
    }
    case "pop":
    case "idle":
      showWork(frame);
      break;
    case "agent":
      showBar(frame);
      break;
    case "due":
      toast("info", frame.said);
      if (document.visibilityState === "hidden" && canSound()) notify(frame.said, `due-${frame.at_ms}`);
      break;
    case "refused":
      toast("warn", frame.said);
      break;
    case "card": {
      const pane = tabs.get(frame.attempt)?.pane;
      for (const [id, html] of Object.entries(frame.islands)) {
        const island = pane?.querySelector(`#${id}`);
        if (island) island.innerHTML = html;
      }
      orders.restore(pane);
      if (pane && frame.name) tabs.rename(frame.attempt, frame.name);
      if (frame.attempt === call.attempt) call.name = frame.name;
    }
  }
}

/** A new version of the page is offered between calls: nobody reloads in the middle of one. */
function offerReload() {
  document.getElementById("outdated").hidden = !call.outdated || !!call.attempt;
}

function showWork({ work: html, attempt, draft, name }) {
  if (html === undefined) return; // the server could not read it yet; a frame follows
  call.attempt = attempt || "";
  call.name = name || "";
  offerReload();
  if (attempt) pop(attempt, name, html, draft);
  else goHome(html, name);
}

function pop(attempt, name, html, draft) {
  settle();
  if (tabs.get(attempt)) return; // the operator may be typing in it
  const busy = justTyped();
  tabs.rename("home", t("Desk")); // after a preview it bears the client's name
  const tab = tabs.put(attempt, "call", name || t("Unknown client"), html, { attempt });
  fillIn(tab, draft);
  fillCaller(tab);
  orders.restore(tab.pane);
  if (busy) tabs.mark(attempt, "fresh");
  else showCall(tab);
  if (document.visibilityState === "hidden" && canSound()) notify(`☎ ${name || t("Unknown client")}`, attempt);
}

function showCall(tab) {
  const typing = isTyping() && !!document.querySelector("dialog[open]");
  tabs.show(tab.key);
  if (!typing) (whom(tab) || tab.pane.querySelector("#note"))?.focus({ preventScroll: true });
}

function goHome(html, name) {
  settle();
  hush();
  fillWhenLetGo(tabs.get("home").pane, () => {
    const field = isOrdering() ? document.activeElement.id : "";
    const home = tabs.put("home", "home", (!call.attempt && name) || t("Desk"), html);
    orders.restore(home.pane);
    if (field) document.getElementById(field)?.focus();
    const { current } = tabs;
    const back = tasks.handed(home.pane) || (current.kind === "call" && !current.reopened);
    if (back && !call.attempt && !justTyped()) tabs.show("home");
    else tabs.shown(current);
  });
}

/** Calls that are over: gone when their result is saved, else marked and kept. */
function settle() {
  for (const tab of [...tabs.all.values()]) {
    if (tab.kind !== "call" || tab.attempt === call.attempt || tab.reopened) continue;
    tab.closes = true;
    const note = readNote(tab.attempt);
    if (note?.open && !tab.talked && !note.text) clearNote(tab.attempt); // nobody was on the line: nothing to say of it
    if (!readNote(tab.attempt)?.open) leave(tab);
    else if (tab.mark !== "unsaved" && !isPending(tab.attempt)) {
      tabs.mark(tab.key, "unsaved");
      toast("warn", t("No result was given for %(name)s. The note is kept.", { name: tab.title || "…" }));
    }
  }
}

/** An order that is being typed is not lost with the call's tab: it waits on the client's card. */
function leave(tab) {
  const { lead } = tab.pane.querySelector("[data-lead]").dataset;
  const unsaved = orders.left(tab.pane);
  tabs.close(tab.key);
  if (unsaved) toast("warn", t("The order of %(name)s is not saved yet.", { name: tab.title || "…" }), { title: t("Open the order"), run: () => openLead(Number(lead)) });
}

function showBar(frame) {
  for (const island of ["bar_state", "bar_who", "bar_buttons", "shift", "counts"]) {
    const place = document.getElementById(island);
    if (frame[island] !== undefined) fillWhenLetGo(place, () => fillBar(place, frame[island]));
  }
  tasks.follow();
  if (frame.state === undefined) return;
  const before = call.state;
  call.state = desk.dataset.state = frame.state;
  document.title = call.attempt ? `☎ ${call.name || "…"} — ${frame.word}` : `${frame.word} · Zvonar`;
  tabIcon.href = tabIcon.href.replace(/icon(-call)?\.svg/, call.attempt ? "icon-call.svg" : "icon.svg");
  const tab = tabs.get(call.attempt);
  if (tab && IN_CONVERSATION.has(frame.state)) tab.talked = true;
  if (before !== frame.state) {
    document.getElementById("announce").textContent = call.attempt ? `${frame.word}: ${call.name}` : frame.word;
    if (frame.state === "talking") hush();
    // The note has the focus from the start: in mid-word it keeps it, else the digits are for the result now.
    if (frame.state === "wrap_up" && tab && tab === tabs.current && !justTyped()) firstChoice(tab)?.focus();
  }
  if (frame.disposed && tab) say(tab, "saved", "ok", t("The result is saved."));
}

function fillBar(place, html) {
  if (place.dataset.html === html) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.do : null;
  place.innerHTML = place.dataset.html = html;
  if (focused) place.querySelector(`[data-do="${focused}"], .main`)?.focus();
  draw(place);
  offline();
  tasks.follow();
}

function onStatus({ status, lostAt }) {
  call.live = status === "live";
  const link = document.getElementById("link");
  link.querySelector('[data-link="on"]').hidden = !call.live;
  link.querySelector('[data-link="off"]').hidden = call.live;
  document.getElementById("taken").hidden = status !== "taken";
  document.getElementById("occupied").hidden = status !== "occupied";
  if (status === "signed_out") location.assign("/login");
  clearTimeout(lostTimer);
  const strip = document.getElementById("reconnecting");
  strip.hidden = true;
  if (status === "lost") {
    const due = lostAt + RECONNECTING_SHOWN_AFTER_MS - Date.now();
    lostTimer = setTimeout(() => (strip.hidden = false), Math.max(0, due));
  }
  offline();
  if (call.live) for (const tab of tabs.all.values()) saveNote(tab);
}

function offline() {
  for (const button of desk.querySelectorAll("[data-do]")) {
    button.disabled = !call.live;
    button.title = call.live ? "" : t("No connection to the server. Use the buttons of the phone.");
  }
}

// ── sound: in one window of all ─────────────────────────────────────────────────────────────────────────────────

function onSound(tune) {
  const heard = !prefs.mute && play(tune, prefs.volume);
  if (heard) desk.dataset.sounded = tune;
  return heard || prefs.mute;
}

function ears() {
  bus.ears(canSound());
}

async function wakeSound() {
  if (!canSound() && (await unlock())) showChecks();
  ears();
}

/** What the first click of the shift sets up besides the phone: a tone that is heard, and notifications. */
async function startShift() {
  await wakeSound();
  play("test", prefs.mute ? 0 : prefs.volume);
  await askToNotify();
  showChecks();
}

function showChecks() {
  const place = document.getElementById("checks");
  if (!place) return;
  place.querySelector('[data-check="sound"]').hidden = !canSound();
  place.querySelector('[data-check="silence"]').hidden = canSound();
  place.querySelector('[data-check="no-notices"]').hidden = "Notification" in window && isSecureContext;
}

for (const event of ["pointerdown", "keydown"]) addEventListener(event, wakeSound, { passive: true });
for (const event of ["focus", "blur"]) addEventListener(event, ears);
document.addEventListener("visibilitychange", ears);
ears();

// ── the note ────────────────────────────────────────────────────────────────────────────────────────────────────

const firstChoice = (tab) => tab.pane.querySelector('[name="disposition"]:checked, [name="disposition"]');
const justTyped = () => isOrdering() || (isTyping() && Date.now() - typedAt < TYPING_MS);

desk.addEventListener("input", (event) => {
  typedAt = Date.now();
  const tab = tabs.current;
  if (event.target.id !== "note" || !tab.attempt) return;
  writeNote(tab.attempt, { ...readNote(tab.attempt), text: event.target.value, unsent: true, open: true });
  later(tab, NOTE_SAVED_EVERY_MS);
});

function later(tab, ms) {
  if (!noteTimers.has(tab.key)) noteTimers.set(tab.key, setTimeout(saveNote, ms, tab));
}

async function saveNote(tab) {
  clearTimeout(noteTimers.get(tab.key));
  noteTimers.delete(tab.key);
  const kept = tab.attempt && readNote(tab.attempt);
  if (!kept?.unsent) return;
  const { text } = kept;
  const lead = Number(tab.pane.querySelector("[data-lead]").dataset.lead); // 0: a caller who has none yet
  const answer = await bus.send("draft", { attempt: tab.attempt, lead, text });
  if (!tabs.get(tab.key)) return;
  if (answer.type === "ack") {
    const current = readNote(tab.attempt);
    if (current?.text === text) writeNote(tab.attempt, { ...current, unsent: false });
    else later(tab, NOTE_SAVED_EVERY_MS);
    say(tab, "kept", "", t("Draft saved"));
  } else {
    say(tab, "kept", "bad", t("Kept on this computer only: the server does not answer."));
    if (answer.reason !== "lost") later(tab, TRY_AGAIN_MS);
  }
}

function say(tab, id, look, text) {
  const place = tab.pane.querySelector(`#${id}`);
  place.className = `kept ${look}`;
  place.textContent = text;
}

// Another window of this desk: follow what is typed there while nobody types here, and what was saved there.
addEventListener("storage", ({ key, newValue }) => {
  for (const tab of tabs.all.values()) {
    if (!tab.attempt || key !== `zvonar.note.${tab.attempt}`) continue;
    const note = tab.pane.querySelector("#note");
    if (newValue && note && !document.hasFocus()) note.value = JSON.parse(newValue).text;
    if (!newValue) settle();
  }
});

// The next person at this computer finds nothing of this one's notes; the server has them.
document.querySelector('form[action="/logout"]').addEventListener("submit", forgetNotes);

// ── the result ──────────────────────────────────────────────────────────────────────────────────────────────────

desk.addEventListener("submit", (event) => {
  if (event.target.id !== "result") return;
  event.preventDefault();
  save(tabs.current, bus, person, afterResult);
});

/** A result is on disk: the tab of a call that is over goes; a slip of the hand can be corrected. */
function afterResult(attempt, name) {
  clearNote(attempt);
  const tab = tabs.get(attempt);
  if (tab) tab.reopened = false;
  settle();
  if (attempt === call.attempt || !call.attempt) tasks.after();
  toast("ok", t("Saved: %(name)s", { name: name || "…" }), { title: t("Correct"), run: () => openCall(attempt) });
}

/** An earlier conversation of one's own, to give or to correct its result. */
async function openCall(attempt) {
  if (tabs.get(attempt)) return tabs.show(attempt, true);
  const html = await fetched(`/desk/calls/${encodeURIComponent(attempt)}`);
  if (html === null) return undefined;
  const page = document.createElement("template");
  page.innerHTML = html;
  const name = page.content.querySelector(".card-name")?.textContent || "";
  const tab = tabs.put(attempt, "call", name, html, { attempt, reopened: true, closes: true });
  fillIn(tab, null);
  orders.restore(tab.pane);
  tabs.show(attempt);
  firstChoice(tab)?.focus();
  return undefined;
}

// ── other clients ───────────────────────────────────────────────────────────────────────────────────────────────

async function openLead(lead, show = true) {
  const key = `lead:${lead}`;
  if (!tabs.get(key)) {
    const html = await fetched(`/leads/${Number(lead)}?pane`);
    if (html === null) return;
    const page = document.createElement("template");
    page.innerHTML = html;
    tabs.put(key, "lead", page.content.querySelector(".card-name")?.textContent || "", html, { lead, closes: true });
    orders.restore(tabs.get(key).pane);
    rememberLeads();
  }
  if (show) tabs.show(key, true);
}

function rememberLeads() {
  const leads = [...tabs.all.values()].filter((tab) => tab.kind === "lead").map((tab) => tab.lead);
  sessionStorage.setItem(OPEN_LEADS, JSON.stringify(leads));
}

async function fetched(url) {
  try {
    const response = await fetch(url, { headers: { "HX-Request": "true" } });
    if (response.ok) return await response.text();
    toast("bad", response.status === 404 ? t("There is no such client, or it is not yours.") : t("It cannot be read just now."));
  } catch {
    toast("bad", t("No connection to the server."));
  }
  return null;
}

addEventListener("zvonar:lead", (event) => {
  event.preventDefault();
  openLead(event.detail);
});

// ── buttons and keys ────────────────────────────────────────────────────────────────────────────────────────────

desk.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="/leads/"]:not([data-page])');
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    openLead(link.getAttribute("href").split("/")[2]);
    return;
  }
  const button = event.target.closest("button");
  if (!button) return;
  if ("take" in button.dataset) bus.take();
  if ("reload" in button.dataset) location.reload();
  if ("openCall" in button.dataset) openCall(button.dataset.openCall);
  if ("close" in button.dataset) rememberLeads();
  if (button.dataset.do === "login") startShift();
  if ("do" in button.dataset) press(button);
});

async function press(button, unasked = false) {
  const { do: verb, reason = "", attempt = call.attempt, on = "", digits = "", act = "", to = "", team = "", queue = "", colleague = "", typed = "", asked = "" } = button.dataset;
  const field = document.getElementById(typed || asked);
  const number = field?.value.trim() ?? "";
  if (field && !number) {
    field.focus();
    return;
  }
  // Seen at once; the truth comes with the next frame. Digits follow one another: their buttons stay.
  button.setAttribute("aria-busy", "true");
  if (!digits) {
    button.disabled = true;
    for (const menu of desk.querySelectorAll(".menu")) menu.hidePopover?.();
  }
  if (verb === "transfer" || act === "complete") await saveNote(tabs.current); // it travels along
  const lead = Number(button.dataset.lead || desk.querySelector("#bar_buttons [data-lead]")?.dataset.lead || 0);
  const answer = await bus.send(verb, { reason, attempt, lead, on: on === "1", digits, act, to: to || colleague, team, queue, number });
  button.removeAttribute("aria-busy");
  if (answer.type === "nack" && !unasked) toast("bad", answer.words || t("No connection to the server. Use the buttons of the phone."));
  offline();
}

// Colleagues come and go: the menu is asked for whenever it opens. Empty until then: nobody presses a row that moves
// away under the finger, and a number is not typed into what is about to be replaced.
let transferAsked = 0;
const typedNumber = { attempt: "", value: "" };
const transferMenu = document.getElementById("transfer-menu");
transferMenu.addEventListener("input", ({ target }) => Object.assign(typedNumber, { attempt: call.attempt, value: target.value }));
transferMenu.addEventListener("beforetoggle", (event) => event.newState === "open" && transferMenu.replaceChildren());
transferMenu.addEventListener("toggle", async (event) => {
  if (event.newState !== "open") return;
  const asked = ++transferAsked;
  const answer = await fetch(transferMenu.dataset.from).catch(() => null);
  if (!answer?.ok) return toast("bad", t("No connection to the server."));
  const rows = await answer.text();
  if (asked !== transferAsked) return;
  transferMenu.innerHTML = rows;
  // A number that was refused is there again to be mended, for this client only.
  if (typedNumber.attempt === call.attempt) document.getElementById("transfer-number").value = typedNumber.value;
  transferMenu.querySelector("button:not(:disabled)")?.focus();
});

// While the keypad is open, digits are tones and not results: heard before all other keys.
addEventListener(
  "keydown",
  (event) => {
    const digit = !event.altKey && !event.ctrlKey && !event.metaKey && digitOf(event);
    if (!digit || !document.getElementById("digits-menu").matches(":popover-open")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    desk.querySelector(`#digits-menu [data-digits="${digit}"]:not(:disabled)`)?.click();
  },
  { capture: true },
);

/** The tone of a key: digits of both rows, `*` and `#` where a US keyboard has them. */
function digitOf({ code, shiftKey }) {
  if (code === "NumpadMultiply" || (code === "Digit8" && shiftKey)) return "*";
  if (code === "Digit3" && shiftKey) return "#";
  return /^(Digit|Numpad)[0-9]$/.test(code) && !shiftKey ? code.slice(-1) : "";
}

onKey("F2", () => {
  const form = tabs.current.pane.querySelector("#result");
  if (!form || pressable("F2").length) return false;
  form.requestSubmit();
  return true;
});
onKey("Ctrl+S", () => {
  saveNote(tabs.current);
});
onKey("Ctrl+Z", () => !isTyping() && undoLast());
onKey("Alt+[", () => tabs.step(-1));
onKey("Alt+]", () => tabs.step(1));
onKey("Alt+N", () => dispatchEvent(new CustomEvent("zvonar:find")));
onKey("Alt+C", () => {
  const choice = tabs.current.pane.querySelector('[data-kind="callback"]');
  if (!choice) return false;
  choice.click();
  tabs.current.pane.querySelector('[name="when"]')?.focus();
  return true;
});
onKey("1–9", ({ code }) => {
  const form = tabs.current.pane.querySelector("#result");
  if (!form || isTyping()) return false;
  const group = document.activeElement?.name === "when" ? "data-when" : "data-key";
  const choice = form.querySelector(`[${group}="${code.slice(-1)}"]`);
  if (!choice) return false;
  choice.click();
  if (choice.dataset.kind === "callback") form.querySelector('[name="when"]')?.focus();
  else choice.focus();
  return true;
});
