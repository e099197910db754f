// Clocks on the page. They show the server's moments; they decide nothing.
const NEAR = 0.8; // of a limit: said before it is passed
let offset = 0; // server's clock minus ours

/** Take the server's time from a frame. */
export function setNow(serverNow) {
  offset = serverNow - Date.now();
}

export function serverNow() {
  return Date.now() + offset;
}

function words(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const rest = String(seconds % 60).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** Draw every clock below `root` now. */
export function draw(root = document) {
  const now = serverNow();
  for (const clock of root.querySelectorAll("[data-since]")) {
    const passed = now - Number(clock.dataset.since);
    const text = words(passed);
    if (clock.textContent !== text) clock.textContent = text;
    const limit = Number(clock.dataset.limit || 0);
    const over = limit > 0 && passed > limit;
    clock.classList.toggle("over", over);
    clock.classList.toggle("near", limit > 0 && !over && passed > NEAR * limit);
    if ("row" in clock.dataset) clock.closest("tr")?.classList.toggle("long", over);
  }
  for (const clock of root.querySelectorAll("[data-until]")) {
    const left = Number(clock.dataset.until) - now;
    const text = words(left + 999);
    if (clock.textContent !== text) clock.textContent = text;
    clock.classList.toggle("over", left < 10_000);
  }
}

setInterval(() => document.visibilityState === "visible" && draw(), 250);
document.addEventListener("visibilitychange", () => draw());
