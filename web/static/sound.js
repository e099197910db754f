// Sounds without files, and the system's notifications. A browser lets us sound only after a click or a key.
let context = null;
let shown = null;

/** Within a click: from now on sounds can be heard. */
export async function unlock() {
  const Audio = window.AudioContext || window.webkitAudioContext;
  if (!Audio) return false;
  context ||= new Audio();
  await context.resume();
  return context.state === "running";
}

export function canSound() {
  return context?.state === "running";
}

function tone(hertz, from, length, volume) {
  const start = context.currentTime + from;
  const source = context.createOscillator();
  const gain = context.createGain();
  source.frequency.value = hertz;
  gain.gain.setValueAtTime(0, start);
  gain.gain.linearRampToValueAtTime(volume, start + 0.02);
  gain.gain.setValueAtTime(volume, start + length - 0.04);
  gain.gain.linearRampToValueAtTime(0, start + length);
  source.connect(gain).connect(context.destination);
  source.start(start);
  source.stop(start + length);
}

const TUNES = {
  call: [[660, 0, 0.14], [880, 0.16, 0.22]],
  callback: [[520, 0, 0.18], [520, 0.26, 0.18]],
  test: [[880, 0, 0.12]],
};

/** Play `call`, `callback` or `test`; false when the browser keeps us silent. `volume` 0 to 100. */
export function play(tune, volume) {
  if (!canSound()) return false;
  for (const [hertz, from, length] of TUNES[tune]) tone(hertz, from, length, (0.25 * volume) / 100);
  return true;
}

/** Ask, within a click, whether we may notify. Plain http has no notifications: "unavailable". */
export async function askToNotify() {
  if (!("Notification" in window) || !isSecureContext) return "unavailable";
  return Notification.permission === "default" ? Notification.requestPermission() : Notification.permission;
}

/** A notification outside of the page; one per `tag`. */
export function notify(title, tag) {
  hush();
  if (!("Notification" in window) || !isSecureContext || Notification.permission !== "granted") return;
  shown = new Notification(title, { tag });
  shown.onclick = () => {
    window.focus();
    hush();
  };
}

export function hush() {
  shown?.close();
  shown = null;
}
