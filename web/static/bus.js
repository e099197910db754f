// One socket for all tabs of a browser: a shared worker that passes frames to every tab and commands to the socket, and
// lets exactly one tab sound.
import { Link } from "./link.js";

const SOUNDED_WITHIN_MS = 1_000;
const TUNES = { pop: "call", due: "callback" }; // frames that are heard
const ports = new Map(); // port → what its tab last said of itself
let link = null;
let asked = 0;
let waiting = null;

function tell(message) {
  for (const port of ports.keys()) port.postMessage(message);
  const tune = TUNES[message.frame?.type];
  if (tune) sound(tune);
}

/** Ask the tabs to sound, the likeliest first: one that can, is looked at, was looked at last. A dead one says nothing. */
function sound(tune) {
  const number = ++asked;
  const rank = ({ able, visible, at }) => (able ? 2e15 : 0) + (visible ? 1e15 : 0) + at;
  const order = [...ports].sort(([, a], [, b]) => rank(b) - rank(a)).map(([port]) => port);
  const next = () => {
    clearTimeout(waiting);
    const port = order.shift();
    if (!port || number !== asked) return;
    port.postMessage({ sound: number, tune });
    waiting = setTimeout(next, SOUNDED_WITHIN_MS);
  };
  sound.silent = next;
  next();
}

self.onconnect = ({ ports: [port] }) => {
  ports.set(port, { able: false, visible: false, at: 0 });
  port.onmessage = ({ data }) => {
    switch (data.kind) {
      case "open":
        if (link === null) {
          link = new Link({ ...data, tell });
          return;
        }
        port.postMessage({ status: link.status, lostAt: link.lostAt });
        link.snapshot();
        return;
      case "do":
        link.do(data.command, data.keep);
        return;
      case "take":
        link.takeBack();
        return;
      case "ears":
        ports.set(port, data.ears);
        return;
      case "sounded":
        if (data.number !== asked) return;
        if (data.ok) clearTimeout(waiting);
        else sound.silent();
        return;
      case "bye":
        ports.delete(port);
    }
  };
};
