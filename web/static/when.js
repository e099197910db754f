// When to call back, in words: what the server understood is shown on both clocks, and fills the field beside.

const ASKED_AFTER_MS = 250;
let timer = 0;
let asked = 0;

document.addEventListener("input", (event) => {
  if (!event.target.dataset?.when) return;
  clearTimeout(timer);
  timer = setTimeout(() => ask(event.target), ASKED_AFTER_MS);
});

document.addEventListener("change", ({ target }) => {
  const { form } = target;
  const said = form?.querySelector("[data-when-url]");
  if (!said) return;
  if (target.name === "owner" && said.value.trim()) ask(said);
  if (target.name === "when") form.elements.at.value = said.value = "";
  if (target.name === "at") for (const preset of form.querySelectorAll('[name="when"]')) preset.checked = false;
});

async function ask(field) {
  const form = field.form;
  const heard = form.querySelector("#callback-heard");
  const mine = form.elements.mine?.checked ? "1" : "";
  const mark = (asked += 1);
  form.elements.at.value = "";
  if (!field.value.trim()) {
    heard.textContent = "";
    return;
  }
  const query = new URLSearchParams({ lead: field.dataset.when, text: field.value, mine, owner: form.elements.owner?.value || "" });
  let said = { words: "", at: "" };
  try {
    const response = await fetch(`${field.dataset.whenUrl || "/desk/when"}?${query}`);
    if (response.ok) said = await response.json();
  } catch {
    // The desk says itself that the server is gone; the field beside still works.
  }
  if (mark !== asked) return;
  heard.textContent = said.words;
  form.elements.at.value = said.at;
  for (const preset of form.querySelectorAll('[name="when"]')) preset.checked &&= !said.at;
}
