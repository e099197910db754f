// Ctrl+K: finds clients, runs what can be done now, and teaches the keys. Ctrl+/: all keys, each with its switch.
import { icon } from "./icons.js";
import { ALWAYS_ON, isOff, KEYS, onKey, pressable, setOff } from "./keys.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

const ASKED_AFTER_MS = 150;
const palette = document.getElementById("palette");
const input = palette.querySelector("input");
const list = palette.querySelector("ul");
const keys = document.getElementById("keys");
let choices = [];
let chosen = 0;
let asking = 0;
let timer = 0;

onKey("Ctrl+K", () => open());
onKey("Ctrl+/", () => openKeys());
addEventListener("zvonar:find", () => open());
document.addEventListener("click", ({ target }) => target.closest("[data-open-keys]") && openKeys());
document.addEventListener("click", ({ target }) => target.closest("[data-open-palette]") && open());

// ── the palette ─────────────────────────────────────────────────────────────────────────────────────────────────

function open() {
  if (palette.open) return;
  keys.close();
  input.value = "";
  choices = commands("");
  show();
  palette.showModal();
  input.focus();
}

/** What can be done now: the buttons, what their menus hold once something is typed, and the pages. */
function commands(text) {
  const wanted = text.toLocaleLowerCase();
  const withKeys = pressable();
  const others = [...document.querySelectorAll("[data-do]:not(:disabled), [data-command]")].filter(
    (button) => button.offsetParent !== null && !withKeys.includes(button),
  );
  const buttons = [...withKeys, ...others].flatMap((button) => [command(button), ...(wanted ? choicesOf(button) : [])]);
  const pages = [...document.querySelectorAll(".top nav a")].map((link) => ({
    icon: "external-link",
    title: link.textContent.trim(),
    key: "",
    run: () => link.click(),
  }));
  const own = { icon: "list", title: t("All keys"), key: "Ctrl+/", run: openKeys };
  return [...buttons, ...pages, own].filter(({ title }) => title.toLocaleLowerCase().includes(wanted));
}

function command(button, prefix = "") {
  const [key = ""] = (button.dataset.hotkey || "").split(" ");
  return { icon: "chevron-right", title: prefix + wordsOf(button), key, run: () => button.click() };
}

/** The reasons of a pause, of a skip: chosen without opening the menu. */
function choicesOf(button) {
  const menu = button.popoverTargetElement;
  if (!menu) return [];
  const choices = [...menu.querySelectorAll("[data-reason]:not(:disabled)")];
  return choices.map((choice) => command(choice, `${wordsOf(button)}: `));
}

function wordsOf(button) {
  const copy = button.cloneNode(true);
  for (const kbd of copy.querySelectorAll("kbd")) kbd.remove();
  return copy.textContent.trim().replace(/\s+/g, " ");
}

input.addEventListener("input", () => {
  clearTimeout(timer);
  const text = input.value.trim();
  choices = commands(text);
  show();
  if (text.length >= 2) timer = setTimeout(find, ASKED_AFTER_MS, text);
});

async function find(text) {
  const number = ++asking;
  let found = [];
  try {
    const response = await fetch(`/leads/find?q=${encodeURIComponent(text)}`);
    if (response.ok) found = (await response.json()).leads;
  } catch {
    return; // the commands stay
  }
  if (number !== asking || input.value.trim() !== text) return;
  const leads = found.map((lead) => ({
    icon: "user",
    title: `${lead.name || t("No name")} · ${lead.numbers.join(", ")}`,
    aside: lead.campaign,
    key: "",
    run: () => openLead(lead.id),
  }));
  choices = [...leads, ...commands(text)];
  show();
}

function openLead(id) {
  const event = new CustomEvent("zvonar:lead", { detail: id, cancelable: true });
  if (dispatchEvent(event)) location.assign(`/leads/${id}`);
}

function show() {
  chosen = 0;
  list.replaceChildren(...choices.map(row));
  palette.querySelector("[data-none]").hidden = choices.length > 0;
  mark();
}

function row(choice, index) {
  const item = document.createElement("li");
  item.id = `palette-${index}`;
  item.setAttribute("role", "option");
  const title = document.createElement("span");
  title.textContent = choice.title;
  item.append(icon(choice.icon), title);
  if (choice.aside) {
    const aside = document.createElement("span");
    aside.className = "soft";
    aside.textContent = choice.aside;
    item.append(aside);
  }
  if (choice.key) {
    const kbd = document.createElement("kbd");
    kbd.textContent = choice.key;
    item.append(kbd);
  }
  item.onclick = () => run(index);
  item.onmousemove = () => chosen !== index && ((chosen = index), mark());
  return item;
}

function mark() {
  for (const [index, item] of [...list.children].entries()) item.setAttribute("aria-selected", String(index === chosen));
  if (choices.length) input.setAttribute("aria-activedescendant", `palette-${chosen}`);
  else input.removeAttribute("aria-activedescendant");
  list.children[chosen]?.scrollIntoView({ block: "nearest" });
}

function run(index) {
  const choice = choices[index];
  if (!choice) return;
  palette.close();
  choice.run();
}

input.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.code];
  if (step && choices.length) {
    chosen = (chosen + step + choices.length) % choices.length;
    mark();
    event.preventDefault();
  } else if (event.code === "Enter" || event.code === "NumpadEnter") {
    event.preventDefault();
    run(chosen);
  }
});

// A click beside the dialog closes it.
for (const dialog of [palette, keys]) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

// ── all keys ────────────────────────────────────────────────────────────────────────────────────────────────────

function openKeys() {
  palette.close();
  if (keys.open) return;
  keys.querySelector("tbody").replaceChildren(...KEYS.map(keyRow));
  keys.showModal();
}

function keyRow([key, title]) {
  const row = document.createElement("tr");
  const box = Object.assign(document.createElement("input"), { type: "checkbox", name: "on", value: key });
  box.checked = !isOff(key);
  box.disabled = ALWAYS_ON.has(key);
  box.setAttribute("aria-label", `${key}: ${title}`);
  const kbd = document.createElement("kbd");
  kbd.textContent = key;
  for (const content of [kbd, title, box]) {
    const cell = document.createElement("td");
    cell.append(content);
    row.append(cell);
  }
  return row;
}

keys.addEventListener("change", async () => {
  const off = [...keys.querySelectorAll('[name="on"]:not(:checked)')].map((box) => box.value);
  setOff(off);
  try {
    const response = await fetch("/profile/keys", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ keys_off: off }),
    });
    if (response.ok) return;
  } catch {
    // said below, as every other failure
  }
  toast("bad", t("Not saved for the next time: the server does not answer."));
});
