// A lead's card: each value is saved by itself as one leaves it. What another person changed meanwhile is shown beside
// the field, with both values to choose from; nothing is overwritten unseen.
import { toast } from "./toast.js";
import { t } from "./words.js";

/** Watch the cards below `root`, now and later. */
export function followEdits(root) {
  root.addEventListener("change", ({ target }) => "edits" in target.dataset && save(target));
  root.addEventListener("keydown", (event) => {
    const { target, code } = event;
    if (!("edits" in (target.dataset || {})) || target.tagName !== "INPUT") return;
    if (code === "Enter" || code === "NumpadEnter") target.blur();
    if (code === "Escape") {
      target.value = target.dataset.was;
      tell(target, "", "");
    }
  });
  root.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-settle]");
    if (button) settle(button);
    const wrong = target.closest("[data-undo]");
    if (wrong) takeBack(wrong);
  });
}

async function save(field, before = field.dataset.was) {
  const after = field.value.trim();
  if (after === before) return tell(field, "", "");
  tell(field, "", t("Saving…"));
  const answer = await send(field, before, after);
  switch (answer.status) {
    case 200:
      field.value = field.dataset.was = after;
      tell(field, "ok", t("Saved."));
      toast("ok", t("Changed: %(field)s", { field: labelOf(field) }), { title: t("Undo"), run: () => undo(field, after, before) });
      break;
    case 409:
      conflict(field, answer.said);
      break;
    default:
      tell(field, "bad", answer.said.problem || t("Not saved: the server does not answer. Leave the field once more."));
  }
  return undefined;
}

/** A line of the list of changes: the value before it, in its field, saved as any other. */
function takeBack({ dataset }) {
  const field = document.querySelector(`[data-edits="${CSS.escape(dataset.undo)}"]`);
  if (!field) return;
  field.focus();
  undo(field, dataset.after, dataset.before);
}

function undo(field, after, before) {
  field.value = before;
  save(field, after);
}

async function send(field, before, after) {
  const { lead } = field.closest("[data-card]").dataset;
  try {
    const response = await fetch(`/leads/${lead}/edit`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ field: field.dataset.edits, before, after }),
    });
    return { status: response.status, said: await response.json() };
  } catch {
    return { status: 0, said: {} };
  }
}

function conflict(field, said) {
  const place = tell(field, "bad", said.words);
  field.dataset.theirs = said.theirs;
  const shown = [...(field.options || [])].find(({ value }) => value === said.theirs)?.textContent || said.theirs;
  for (const [settles, title] of [["theirs", t("Take theirs: %(value)s", { value: shown || "—" })], ["mine", t("Keep mine")]]) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button slim", textContent: title });
    button.dataset.settle = settles;
    place.append(button);
  }
}

function settle(button) {
  const field = button.closest(".field").querySelector("[data-edits]");
  const { theirs } = field.dataset;
  if (button.dataset.settle === "mine") return save(field, theirs);
  field.value = field.dataset.was = theirs;
  field.focus();
  return tell(field, "", "");
}

function tell(field, look, text) {
  const place = field.closest(".field").querySelector("[data-said]");
  place.className = look === "bad" ? "error row" : "kept ok row";
  place.replaceChildren(text);
  if (look === "bad") field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  return place;
}

function labelOf(field) {
  return field.labels?.[0]?.textContent.trim() || field.name;
}

const alone = document.querySelector("main [data-card]");
if (alone && !document.getElementById("desk")) followEdits(document.getElementById("main"));
