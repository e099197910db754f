// One socket for all tabs of a browser: a shared worker that passes frames to every tab and commands to the socket.
import { Link } from "./link.js";

const ports = new Set();
let link = null;

function tell(message) {
  for (const port of ports) port.postMessage(message);
}

self.onconnect = ({ ports: [port] }) => {
  ports.add(port);
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
      case "bye":
        ports.delete(port);
    }
  };
};
