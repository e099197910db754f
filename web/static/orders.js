// What the client orders: a form beside the note. What is typed is kept like a note, here and on the server; a command's
// id makes a saved order happen once; the last change is taken back from its message or from the list.
import { newId } from "./bus-tab.js";
import { clearNote, readNote, writeNote } from "./notes.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

const DRAFT_SAVED_EVERY_MS = 2_000;
const TRY_AGAIN_MS = 3_000;
const noteOf = (lead) => `order:${lead}`;
const formIn = (pane) => pane?.querySelector("[data-order-form]");

/** The form that somebody is at, so that nothing takes the keyboard from them. */
export const isOrdering = () => !!document.activeElement?.closest("[data-order-form]");

/**
 * Orders below `root`. `panes()`: whatever shows a client, also out of sight; `send(text, lead)`: keeps what is typed on
 * the server too, true when it has; `attempt()`: the call that is looked at. Returns `{restore(pane), left(pane)}`.
 */
export function serveOrders(root, { panes, send = null, attempt = () => "" }) {
  const timers = new Map(); // lead → its draft is sent soon

  root.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if ("orderFill" in button.dataset) begin(button);
    if ("orderShut" in button.dataset) shut(button.closest("form"));
    if ("orderUndo" in button.dataset) undo(Number(leadOf(button)), Number(button.dataset.orderUndo), Number(button.dataset.version));
    if ("orderTheirs" in button.dataset) takeTheirs(button);
  });
  root.addEventListener("submit", (event) => {
    if (!("orderForm" in event.target.dataset)) return;
    event.preventDefault();
    save(event.target);
  });
  root.addEventListener("input", ({ target }) => {
    const form = target.closest("[data-order-form]");
    if (form) keep(form);
  });

  /** Fill the form by what the button says; one that is being typed in is not overwritten. */
  function begin(button) {
    const form = formIn(panes().find((pane) => pane.contains(button)));
    if (!form.hidden && isDirty(form)) {
      toast("warn", t("First save or cancel the order that is open."));
      return field(form).focus();
    }
    const { order, values: seen, locked } = JSON.parse(button.dataset.orderFill);
    open(form, { order, before: order === null ? {} : seen, after: seen, locked, key: newId() });
    return field(form).focus();
  }

  function open(form, said) {
    const { order, before, after, locked = false, key } = said;
    form.said = { order, before, key, locked, filled: {} };
    const title = form.querySelector("h3");
    title.textContent = order === null ? title.dataset.new : `${title.dataset.known} № ${order}`;
    for (const one of fields(form)) {
      one.value = after[one.name] ?? (one.name === ":state" ? form.dataset.first : "");
      if (one.name !== ":state") one.readOnly = locked;
      form.said.filled[one.name] = one.value;
      tell(one);
    }
    // A state that config.yaml has lost is no choice: the form asks for another one.
    problem(form, "");
    kept(form, "");
    form.hidden = false;
    form.scrollIntoView({ block: "nearest" });
  }

  const isDirty = (form) => fields(form).some((one) => one.value !== form.said.filled[one.name]) || !!readNote(noteOf(form.dataset.lead));

  function shut(form) {
    const { said } = form;
    const typed = isDirty(form) ? { ...said, after: values(form) } : null;
    done(form);
    if (typed) toast("info", t("The order was not saved."), { title: t("Undo"), run: () => reopen(form, typed) });
  }

  function reopen(form, typed) {
    open(form, typed);
    keep(form);
    field(form).focus();
  }

  /** Nothing of it is being typed any more. */
  function done(form) {
    const { lead } = form.dataset;
    form.hidden = true;
    form.dataset.draft = "";
    clearNote(noteOf(lead));
    clearTimeout(timers.get(lead));
    timers.delete(lead);
    send?.("", Number(lead));
  }

  // ── what is being typed ─────────────────────────────────────────────────────────────────────────────────────────

  function keep(form) {
    const { order, before, key, locked } = form.said;
    const { lead } = form.dataset;
    writeNote(noteOf(lead), { text: JSON.stringify({ order, before, key, locked, after: values(form) }), unsent: true });
    later(lead, DRAFT_SAVED_EVERY_MS);
  }

  function later(lead, ms) {
    if (send && !timers.has(lead)) timers.set(lead, setTimeout(sendDraft, ms, lead));
  }

  async function sendDraft(lead) {
    timers.delete(lead);
    const note = readNote(noteOf(lead));
    if (!note?.unsent) return;
    const saved = await send(note.text, Number(lead));
    const current = readNote(noteOf(lead));
    if (!current) return void send("", Number(lead)); // saved or cancelled meanwhile
    if (saved && current.text === note.text) writeNote(noteOf(lead), { ...current, unsent: false });
    else later(lead, saved ? DRAFT_SAVED_EVERY_MS : TRY_AGAIN_MS);
    const words = saved ? t("Draft saved") : t("Kept on this computer only: the server does not answer.");
    for (const pane of panes()) if (formIn(pane)?.dataset.lead === lead) kept(formIn(pane), words);
  }

  /** A client has come into view: what was typed of an order before is there again. */
  function restore(pane) {
    const form = formIn(pane);
    if (!form?.hidden) return;
    const { lead, draft } = form.dataset;
    const note = readNote(noteOf(lead));
    if (!note?.text && !draft) return;
    open(form, JSON.parse(note?.text || draft));
    if (note?.unsent) later(lead, DRAFT_SAVED_EVERY_MS);
  }

  /** The client leaves the desk; true when an order of theirs is still being typed. */
  const left = (pane) => !!readNote(noteOf(formIn(pane)?.dataset.lead))?.text;

  // ── saving ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async function save(form) {
    const { order, before, key } = form.said;
    const lead = Number(form.dataset.lead);
    const button = form.querySelector('[type="submit"]');
    for (const one of fields(form)) tell(one);
    problem(form, "");
    kept(form, t("Saving…"));
    button.disabled = true;
    const { status, said } = await post(`/leads/${lead}/orders`, { order, before, after: values(form), key, attempt: attempt() });
    button.disabled = false;
    kept(form, "");
    if (status === 409) return clash(form, said);
    if (status !== 200) return problem(form, said.problem || t("Not saved: the server does not answer. Try again."));
    done(form);
    show(lead, said.orders);
    const undone = { title: t("Undo"), run: () => undo(lead, said.order, said.version) };
    toast("ok", t("Order %(number)s is saved.", { number: `№ ${said.order}` }), undone);
    const pane = panes().find((one) => one.contains(form));
    return (pane.querySelector("#note") || pane.querySelector("[data-order-fill]"))?.focus({ preventScroll: true });
  }

  /** What another person has changed too stands beside the field; saved once more, ours holds. */
  function clash(form, { problem: words, theirs }) {
    form.said.key = newId();
    for (const [name, value] of Object.entries(theirs)) {
      const one = form.elements[name];
      form.said.before = { ...form.said.before, [name]: value };
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button slim" });
      button.textContent = t("Take theirs: %(value)s", { value: shown(one, value) || "—" });
      button.dataset.orderTheirs = value;
      tell(one, "bad", words, button);
    }
    keep(form);
    problem(form, t("Somebody changed this meanwhile. What you save now holds."));
    form.elements[Object.keys(theirs)[0]].focus();
  }

  function takeTheirs(button) {
    const one = button.closest(".field").querySelector(".input");
    one.value = button.dataset.orderTheirs;
    tell(one);
    keep(one.form);
    one.focus();
  }

  async function undo(lead, order, version) {
    const { status, said } = await post(`/leads/${lead}/orders/${order}/undo`, { version, key: newId() });
    if (status !== 200) return toast("bad", said.problem || t("Not saved: the server does not answer. Try again."));
    show(lead, said.orders);
    return toast("ok", t("Undone: order %(number)s.", { number: `№ ${order}` }));
  }

  function show(lead, html) {
    for (const pane of panes()) {
      const place = pane.querySelector(`[data-orders="${lead}"]`);
      if (place) place.innerHTML = html;
    }
  }

  return { restore, left };
}

const leadOf = (element) => element.closest("[data-orders]").dataset.orders;
const fields = (form) => [...form.querySelectorAll(".input")];
/** Where the typing begins: an order whose values are fixed has only its state to change. */
const field = (form) => fields(form).find((one) => !one.readOnly || one.name === ":state");
const values = (form) => Object.fromEntries(fields(form).map((one) => [one.name, one.value]));
const shown = (one, value) => (one.tagName === "SELECT" ? [...one.options].find((option) => option.value === value)?.text || value : value);

async function post(url, said) {
  try {
    const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) });
    return { status: response.status, said: await response.json() };
  } catch {
    return { status: 0, said: {} };
  }
}

function tell(one, look = "", words = "", ...more) {
  const place = one.closest(".field").querySelector("[data-said]");
  place.className = look === "bad" ? "error row" : "kept";
  place.replaceChildren(words, ...more);
  if (look === "bad") one.setAttribute("aria-invalid", "true");
  else one.removeAttribute("aria-invalid");
}

function problem(form, words) {
  const place = form.querySelector("[data-problem]");
  place.textContent = words;
  place.hidden = !words;
}

function kept(form, words) {
  form.querySelector("[data-kept]").textContent = words;
}

const alone = document.querySelector("main [data-order-form]");
if (alone && !document.getElementById("desk")) {
  const main = document.getElementById("main");
  serveOrders(main, { panes: () => [main] }).restore(main);
}
