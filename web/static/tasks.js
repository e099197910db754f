// Tasks: a new one, done, later; and after each saved result the next thing to do.
import { newId } from "./bus-tab.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

/** `press(button)` presses a button of the bar; `open(lead)` puts a client's card into a tab. */
export function serveTasks(desk, { press, open }) {
  const dialog = document.getElementById("new-task");
  let wanted = false;
  let opened = "";
  let key = "";

  desk.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if ("newTask" in button.dataset) ask(button.dataset);
    if ("task" in button.dataset) settle(button);
    if ("shut" in button.dataset) dialog.close();
    if ("offer" in button.dataset) add(button.dataset.offer);
  });
  dialog?.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    add("");
  });

  function ask({ newTask: lead, name }) {
    const form = dialog.querySelector("form");
    form.reset();
    problem("", "");
    key = newId();
    dialog.dataset.lead = lead || "";
    dialog.querySelector("[data-for]").textContent = name || "";
    dialog.showModal();
    form.elements.title.focus();
  }

  async function add(offer) {
    const { title, type, when } = dialog.querySelector("form").elements;
    const said = { title: title.value, type: type.value, when: offer || when.value, lead: Number(dialog.dataset.lead) || null, key };
    const answer = await post("/tasks", said);
    if (answer.problem !== undefined) return problem(answer.problem, answer.offer || "", answer.field);
    dialog.close();
    return toast("ok", t("Task saved: %(time)s", { time: answer.words }));
  }

  function problem(words, offer, field = "") {
    const place = document.getElementById("task-problem");
    place.textContent = words;
    place.hidden = !words;
    const button = dialog.querySelector("[data-offer]");
    button.hidden = !offer;
    button.dataset.offer = offer;
    button.textContent = offer ? t("Take that time") : "";
    if (offer) button.focus();
    else dialog.querySelector(`[name="${field}"]`)?.focus();
  }

  async function settle(button) {
    const { task, act, when } = button.dataset;
    const inHand = button.closest("#tasks")?.dataset.inHand === task;
    button.disabled = true;
    let answer = await post(`/tasks/${task}`, { act, when: when || "" });
    if (answer.offer) {
      const { offer } = answer;
      const take = { title: t("Take that time"), run: () => put(task, offer) };
      button.disabled = false;
      return toast("warn", answer.problem, take);
    }
    button.disabled = answer.problem === undefined;
    if (answer.problem !== undefined) return toast("bad", answer.problem);
    if (answer.words) toast("ok", t("Put off: %(time)s", { time: answer.words }));
    if (inHand) after();
    return undefined;
  }

  async function put(task, when) {
    const answer = await post(`/tasks/${task}`, { act: "later", when });
    if (answer.problem !== undefined) toast("bad", answer.problem);
  }

  async function post(url, said) {
    try {
      const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) });
      if (response.ok || response.status === 409 || response.status === 422) return await response.json();
    } catch {
      // Said below.
    }
    return { problem: t("Not saved: the server does not answer. Try again.") };
  }

  /** The operator has finished something: what comes next is asked for as soon as they are ready. */
  function after() {
    wanted = true;
    follow();
  }

  function follow() {
    const button = desk.querySelector('#bar_buttons [data-do="next"]:not(:disabled)');
    if (!wanted || !button) return;
    wanted = false;
    press(button, true);
  }

  /** The home page has changed. True for a task just handed out; its client's card stands in a tab beside. */
  function handed(home) {
    const { inHand = "", lead = "" } = home.querySelector("#tasks")?.dataset || {};
    const fresh = inHand !== "" && inHand !== opened;
    if (fresh && lead) open(lead);
    opened = inHand;
    return fresh;
  }

  /** "Next" was pressed, and nothing has come up yet. */
  const waits = () => !!document.getElementById("awaits");

  return { after, follow, handed, waits };
}
