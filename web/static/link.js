// The live socket: reconnects, keeps its place in the feed, sends each command once. Knows no page: it runs in the
// shared worker, or in the page where there is none.

const DEAD_AFTER_MS = 25_000;
const RETRY_FIRST_MS = 250;
const RETRY_LAST_MS = 5_000; // between sockets that a living server refuses
const KNOCK_EVERY_MS = 500; // at a server that is away
const KNOCK_WITHIN_MS = 2_000;
const JITTER = 0.3;
// Close codes after which coming back by ourselves would be wrong.
const SIGNED_OUT = 4001;
const TAKEN_OVER = 4002;
const OCCUPIED = 4003;

export class Link {
  /** `tell(message)` gets `{frame}` for every frame and `{status}` whenever the socket comes or goes. */
  constructor({ url, build, browser, tell }) {
    this.url = url;
    this.build = build;
    this.browser = browser;
    this.tell = tell;
    this.seq = -1;
    this.desk = "";
    this.taken = "";
    this.taking = false;
    this.status = "lost";
    this.lostAt = Date.now();
    this.failures = 0;
    this.pending = new Map();
    this.connect();
  }

  connect() {
    clearTimeout(this.retry);
    this.taken = "";
    const socket = (this.socket = new WebSocket(this.url));
    this.alive();
    socket.onopen = () => this.hello();
    socket.onmessage = (event) => socket === this.socket && this.take(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.socket && this.lost(event.code);
  }

  hello() {
    const { seq, desk, build, browser, taking } = this;
    this.socket.send(JSON.stringify({ type: "hello", since: seq, desk, build, browser, take: taking }));
    this.taking = false;
  }

  /** Ask for everything anew: a new tab has nothing yet. */
  snapshot() {
    this.seq = -1;
    if (this.status === "live") this.hello();
  }

  /** Take the desk from the computer that has it. */
  takeBack() {
    if (this.status === "live") return;
    this.taking = true;
    this.connect();
  }

  /** Send a command. `keep`: it outlives a lost socket (its id makes it happen once); others fail with the socket. */
  do(command, keep) {
    if (this.status !== "live" && !keep) {
      this.tell({ frame: { type: "nack", id: command.id, verb: command.verb, reason: "lost" } });
      return;
    }
    this.pending.set(command.id, { command, keep });
    if (this.status === "live") this.socket.send(JSON.stringify({ type: "do", ...command }));
  }

  take(frame) {
    this.alive();
    switch (frame.type) {
      case "ping":
        this.socket.send('{"type":"pong"}');
        return;
      case "welcome":
        this.desk = frame.desk;
        this.failures = 0;
        this.become("live");
        for (const { command } of this.pending.values()) this.socket.send(JSON.stringify({ type: "do", ...command }));
        break;
      case "snapshot":
        this.seq = frame.seq;
        break;
      case "ack":
      case "nack":
        this.pending.delete(frame.id);
        break;
      case "bye":
        this.taken = frame.reason; // "taken" or "occupied", said in words too: a close code can get lost with the connection
        break;
      default:
        if (frame.seq !== this.seq + 1) {
          this.snapshot(); // a gap: what is on screen may be wrong
          return;
        }
        this.seq = frame.seq;
    }
    this.tell({ frame });
  }

  lost(code) {
    clearTimeout(this.dead);
    for (const [id, { command, keep }] of this.pending) {
      if (keep) continue;
      this.pending.delete(id);
      this.tell({ frame: { type: "nack", id, verb: command.verb, reason: "lost" } });
    }
    const final = { [SIGNED_OUT]: "signed_out", [TAKEN_OVER]: "taken", [OCCUPIED]: "occupied" }[code] || this.taken;
    if (final) {
      this.become(final);
      return;
    }
    this.become("lost");
    this.knockIn(Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** this.failures++));
  }

  knockIn(pause) {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.knock(), pause * (1 + JITTER * (2 * Math.random() - 1)));
  }

  /** Come back as soon as the server has. Sockets cannot ask: after a dozen failed ones Chromium delays each by seconds. */
  async knock() {
    const { socket } = this;
    const there = await serves();
    if (socket !== this.socket) return; // somebody took the desk meanwhile
    if (there) this.connect();
    else this.knockIn(KNOCK_EVERY_MS);
  }

  become(status) {
    if (status === "lost" && this.status !== "lost") this.lostAt = Date.now();
    this.status = status;
    this.tell({ status, lostAt: this.lostAt });
  }

  alive() {
    clearTimeout(this.dead);
    const socket = this.socket;
    this.dead = setTimeout(() => {
      // A half-open socket never says so itself, and its close handshake would wait as well.
      if (socket !== this.socket) return;
      socket.onclose = null;
      socket.close();
      this.lost(1006);
    }, DEAD_AFTER_MS);
  }
}

/** Whether the server answers, also to say that it is unwell; a proxy before a dead one speaks no JSON. */
async function serves() {
  try {
    const answer = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(KNOCK_WITHIN_MS) });
    return answer.headers.get("Content-Type")?.startsWith("application/json") ?? false;
  } catch {
    return false;
  }
}
