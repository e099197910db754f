// A click needs its button from press to release: an island in which one is being pressed is filled when it is let go.
const waiting = new Map(); // island → what fills it

/** Run `fill()`, which puts something else into the island: now, or after the click. The last one counts. */
export function fillWhenLetGo(island, fill) {
  waiting.delete(island);
  if (island.matches(":active")) waiting.set(island, fill);
  else fill();
}

function letGo() {
  setTimeout(() => {
    for (const [island, fill] of [...waiting]) fillWhenLetGo(island, fill);
  });
}

for (const event of ["pointerup", "pointercancel", "keyup"]) addEventListener(event, letGo);
