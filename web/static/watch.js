// On every page besides the desk: a call of one's own is said at once, with the way to its card.
import { openBus } from "./bus-tab.js";
import { canSound, hush, notify, play, unlock } from "./sound.js";
import { t } from "./words.js";

const strip = document.getElementById("own-call");
const prefs = JSON.parse(document.getElementById("prefs").textContent);
const call = { attempt: "", name: "", word: "" };

const bus = openBus({
  feed: "desk",
  reader: strip.dataset.reader,
  build: document.documentElement.dataset.build,
  onFrame,
  onStatus,
  onSound,
});

function onFrame({ type, attempt, name, word }) {
  if (attempt !== undefined) call.attempt = attempt;
  if (name !== undefined) call.name = name;
  if (word !== undefined) call.word = word;
  const who = call.name || t("Unknown client");
  if (type === "pop" && document.visibilityState === "hidden" && canSound()) notify(`☎ ${who}`, attempt);
  if (!call.attempt) hush();
  strip.hidden = !call.attempt;
  const said = call.attempt ? [call.word, who].filter(Boolean).join(": ") : "";
  const words = strip.querySelector("[data-said]");
  if (words.textContent !== said) words.textContent = said;
}

function onStatus({ status }) {
  if (status === "taken" || status === "occupied") strip.hidden = true;
}

function onSound(tune) {
  return prefs.mute || play(tune, prefs.volume);
}

const ears = () => bus.ears(canSound());
for (const event of ["pointerdown", "keydown"]) {
  addEventListener(event, async () => !canSound() && (await unlock()) && ears(), { passive: true });
}
for (const event of ["focus", "blur"]) addEventListener(event, ears);
document.addEventListener("visibilitychange", ears);
