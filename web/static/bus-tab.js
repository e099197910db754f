// A tab's end of the live socket: through the shared worker where there is one, else a socket of its own.
import { Link } from "./link.js";

const SOUNDED = "zvonar.sounded";

/** A random id; `crypto.randomUUID` exists only on https. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function browserId() {
  const known = localStorage.getItem("zvonar.browser");
  if (known) return known;
  const made = newId();
  localStorage.setItem("zvonar.browser", made);
  return made;
}

/**
 * Opens the feed (`desk` or `floor`) of the signed-in `reader`. `onFrame(frame)`, `onStatus({status, lostAt})`;
 * `onSound(tune)` in one tab of all, returns whether it could be heard.
 * Returns `{send(verb, args, {id, keep}) → Promise<frame>, take(), ears(able)}`.
 */
export function openBus({ feed, reader, build, onFrame, onStatus, onSound = () => false }) {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/${feed}`;
  const opening = { url, build, browser: browserId() };
  const waiting = new Map();

  function heard(message) {
    if ("status" in message) onStatus(message);
    if (message.sound) post({ kind: "sounded", number: message.sound, ok: onSound(message.tune) });
    if (!message.frame) return;
    const { frame } = message;
    if (frame.type === "ack" || frame.type === "nack") {
      waiting.get(frame.id)?.(frame);
      waiting.delete(frame.id);
    }
    onFrame(frame);
  }

  const post = "SharedWorker" in window ? viaWorker(feed, reader, build, opening, heard) : viaTab(opening, heard);
  return {
    send(verb, args = {}, { id = newId(), keep = false } = {}) {
      return new Promise((resolve) => {
        waiting.set(id, resolve);
        post({ kind: "do", command: { id, verb, args }, keep });
      });
    },
    take() {
      post({ kind: "take" });
    },
    /** Whether this tab can sound; with every change of who is looked at. */
    ears(able) {
      const visible = document.visibilityState === "visible";
      post({ kind: "ears", ears: { able, visible, at: document.hasFocus() ? Date.now() : 0 } });
    },
  };
}

function viaWorker(feed, reader, build, opening, heard) {
  // Another person, or another version of the page, gets another worker.
  const worker = new SharedWorker(`/static/bus.js?v=${build}`, { type: "module", name: `zvonar-${feed}-${reader}` });
  worker.port.onmessage = ({ data }) => heard(data);
  worker.port.start();
  worker.port.postMessage({ kind: "open", ...opening });
  addEventListener("pagehide", () => worker.port.postMessage({ kind: "bye" }));
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  return (message) => worker.port.postMessage(message);
}

function viaTab(opening, heard) {
  let able = false;
  const tell = (message) => {
    heard(message);
    // No worker to choose: of the tabs that can be heard, the first that comes to write its claim sounds.
    const { type, attempt, at_ms: at } = message.frame || {};
    const [tune, id] = { pop: ["call", attempt], due: ["callback", `due-${at}`] }[type] || [];
    if (!able || !tune || localStorage.getItem(SOUNDED) === id) return;
    localStorage.setItem(SOUNDED, id);
    heard({ sound: 1, tune });
  };
  const link = new Link({ ...opening, tell });
  return (message) => {
    if (message.kind === "do") link.do(message.command, message.keep);
    if (message.kind === "take") link.takeBack();
    if (message.kind === "ears") ({ able } = message.ears);
  };
}
