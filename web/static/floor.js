// The supervisor's live view: islands from the server, clocks from the page, grey when the link is gone.
import { openBus } from "./bus-tab.js";
import { fillWhenLetGo } from "./islands.js";
import { draw, serverNow, setNow } from "./timers.js";
import { toast } from "./toast.js";
import { t } from "./words.js";

const STALE_AFTER_MS = 3_000;
const floor = document.getElementById("floor");
let staleTimer = 0;

if (!("WebSocket" in window)) document.getElementById("no-sockets").hidden = false;
const bus = openBus({
  feed: "floor",
  reader: floor.dataset.reader,
  build: document.documentElement.dataset.build,
  onFrame,
  onStatus,
});

function onFrame(frame) {
  if (frame.now) setNow(frame.now);
  for (const [name, html] of Object.entries(frame.islands || {})) {
    const island = document.getElementById(name);
    fillWhenLetGo(island, () => fill(island, html));
  }
}

function fill(island, html) {
  const focused = island.contains(document.activeElement) ? sameButton(document.activeElement.dataset) : null;
  island.innerHTML = html;
  if (focused) island.querySelector(focused)?.focus();
  draw(island);
}

function onStatus({ status, lostAt }) {
  const live = status === "live";
  const link = document.getElementById("link");
  link.querySelector('[data-link="on"]').hidden = !live;
  link.querySelector('[data-link="off"]').hidden = live;
  if (status === "signed_out") location.assign("/login");
  clearTimeout(staleTimer);
  if (live) show(false);
  else staleTimer = setTimeout(() => show(true, lostAt), Math.max(0, lostAt + STALE_AFTER_MS - Date.now()));
}

function show(stale, lostAt = 0) {
  const strip = document.getElementById("stale");
  strip.hidden = !stale;
  strip.querySelector("[data-since]").dataset.since = lostAt + (serverNow() - Date.now());
  floor.classList.toggle("stale", stale);
}

/** What finds this button again in the next picture of the floor. */
function sameButton({ campaign, command, agent }) {
  if (campaign) return `[data-campaign="${CSS.escape(campaign)}"]`;
  return agent ? `[data-command="${CSS.escape(command)}"][data-agent="${CSS.escape(agent)}"]` : null;
}

floor.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-command]");
  if (!button) return;
  button.disabled = true;
  const answer = await bus.send(button.dataset.command, { agent: button.dataset.agent });
  if (answer.type === "nack") toast("bad", answer.words || t("No connection to the server."));
  button.disabled = false;
});

floor.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-campaign]");
  if (!button) return;
  button.disabled = true;
  const { campaign, running } = button.dataset;
  const answer = await bus.send("campaign", { campaign, running: running === "1" });
  if (answer.type === "nack") toast("bad", answer.words || t("No connection to the server."));
  button.disabled = false;
});
