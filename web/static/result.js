// The result of a conversation: chosen, sent until the server has it, corrected later.
import { newId } from "./bus-tab.js";
import { readNote, writeNote } from "./notes.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

const TRY_AGAIN_MS = 3_000;
const PENDING = "zvonar.pending.";

/** Put what was typed before into a fresh form: on this computer, or as the server has it. */
export function fillIn(tab, draft) {
  const { attempt, pane } = tab;
  const kept = readNote(attempt);
  const note = pane.querySelector("#note");
  const ours = kept && (kept.unsent || !draft);
  note.value = ours ? kept.text : draft?.text || note.value;
  if (!tab.reopened) writeNote(attempt, { ...kept, text: note.value, open: true });
  const choice = kept?.choice && pane.querySelector(`[name="disposition"][value="${CSS.escape(kept.choice)}"]`);
  if (choice) choice.checked = true;
  pane.addEventListener("change", ({ target }) => changed(tab, target));
  showResult(tab);
}

/** The callback's part belongs to some results only. */
export function showResult({ pane }) {
  const chosen = pane.querySelector('[name="disposition"]:checked');
  const callback = pane.querySelector("#callback");
  callback.hidden = chosen?.dataset.kind !== "callback";
  if (!callback.hidden) callback.scrollIntoView({ block: "nearest" });
}

function changed(tab, target) {
  const { attempt, pane } = tab;
  if (target.name === "disposition") {
    const text = pane.querySelector("#note").value;
    writeNote(attempt, { ...readNote(attempt), text, choice: target.value, open: true });
    showResult(tab);
    problem(tab, "");
  }
  if (target.name === "at" && target.value) {
    for (const preset of pane.querySelectorAll('[name="when"]')) preset.checked = false;
  }
  if (target.name === "when") pane.querySelector('[name="at"]').value = "";
}

/** Send what the form says; what it lacks is said beside the field. */
export function save(tab, bus, person, done) {
  const { attempt, pane, title } = tab;
  const form = pane.querySelector("#result");
  const fields = new FormData(form);
  const chosen = form.querySelector('[name="disposition"]:checked');
  if (!chosen) return problem(tab, t("Choose a result."), form.querySelector('[name="disposition"]'));
  let callback = "";
  if (chosen.dataset.kind === "callback") {
    callback = fields.get("at") || fields.get("when") || "";
    if (!callback) return problem(tab, t("Choose when to call back."), form.querySelector('[name="when"]'));
  }
  problem(tab, "");
  const note = pane.querySelector("#note").value;
  const args = { attempt, disposition: chosen.value, note, callback, mine: fields.get("mine") === "on" };
  const pending = { id: newId(), args, person, name: title };
  localStorage.setItem(PENDING + attempt, JSON.stringify(pending));
  return dispose(pending, bus, done, tab);
}

async function dispose(pending, bus, done, tab) {
  const { attempt } = pending.args;
  const button = tab?.pane.querySelector("#save");
  if (button) button.disabled = true;
  say(tab, "", t("Saving…"));
  const answer = await bus.send("dispose", pending.args, { id: pending.id, keep: true });
  if (answer.type === "nack" && answer.reason === "not_saved") {
    say(tab, "bad", answer.words);
    setTimeout(dispose, TRY_AGAIN_MS, pending, bus, done, tab);
    return;
  }
  localStorage.removeItem(PENDING + attempt);
  if (button) button.disabled = false;
  if (answer.type === "ack") {
    say(tab, "ok", t("The result is saved."));
    done(attempt, pending.name);
  } else if (tab?.pane.isConnected) {
    say(tab, "", "");
    problem(tab, answer.words || answer.reason);
  } else {
    toast("bad", t("Not saved: %(name)s. %(reason)s", { name: pending.name || "…", reason: answer.words || "" }));
  }
}

/** The result is on its way, and the server has not yet said what became of it. */
export function isPending(attempt) {
  return localStorage.getItem(PENDING + attempt) !== null;
}

/** Results that were under way when the page closed: an id makes each happen once, however often it is sent. */
export function resendPending(bus, person, done) {
  for (const key of Object.keys(localStorage).filter((name) => name.startsWith(PENDING))) {
    const pending = JSON.parse(localStorage.getItem(key));
    if (pending.person === person) dispose(pending, bus, done, null);
  }
}

function say(tab, look, text) {
  const place = tab?.pane.querySelector("#saved");
  if (!place) return;
  place.className = `kept ${look}`;
  place.textContent = text;
}

function problem(tab, text, focus) {
  const place = tab.pane.querySelector("#result-error");
  place.textContent = text;
  place.hidden = !text;
  const when = !tab.pane.querySelector("#callback").hidden && focus?.name !== "disposition";
  const group = tab.pane.querySelector(when ? "#callback fieldset" : "#dispositions");
  group.append(place);
  for (const one of tab.pane.querySelectorAll("#result fieldset")) one.removeAttribute("aria-describedby");
  if (text) group.setAttribute("aria-describedby", "result-error");
  focus?.focus({ preventScroll: true });
  if (text) (when ? group.parentElement : place).scrollIntoView({ block: "nearest" });
}
