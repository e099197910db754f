// Work tabs: a pane per call or card. Only the pane that is looked at stands in the page, so ids stay unique, and what
// was typed in the others stays as it was.
import { icon } from "./icons.js";
import { fillWhenLetGo } from "./islands.js";
import { t } from "./words.js";

const ICONS = { home: "layout-dashboard", call: "phone-call", lead: "user" };
const MARKS = { "": "", fresh: "bell", unsaved: "triangle-alert" };

export class Tabs {
  /** `strip` lists the tabs, `place` shows one; `shown(tab)` is told when another pane is in place. */
  constructor(strip, place, shown) {
    this.strip = strip;
    this.place = place;
    this.shown = shown;
    this.all = new Map();
    this.current = null;
    strip.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button?.dataset.tab) this.show(button.dataset.tab, true);
      if (button?.dataset.close) this.close(button.dataset.close);
    });
  }

  get(key) {
    return this.all.get(key);
  }

  /** A tab with this content, new or in place of the former. `more`: attempt, lead … whatever its owner keeps there. */
  put(key, kind, title, html, more = {}) {
    const known = this.all.get(key);
    const pane = known?.pane || document.createElement("div");
    pane.className = "pane";
    pane.innerHTML = html;
    const tab = { mark: "", focused: null, ...known, key, kind, title, pane, ...more };
    this.all.set(key, tab);
    if (known && this.current === known) this.current = tab;
    this.draw();
    return tab;
  }

  /** Look at a tab; `focus`: the person asked for it, so the keyboard goes there too. */
  show(key, focus = false) {
    const tab = this.all.get(key);
    if (!tab) return;
    if (this.current !== tab) {
      if (this.current && this.place.contains(document.activeElement)) this.current.focused = document.activeElement;
      this.current = tab;
      this.place.replaceChildren(tab.pane);
    }
    if (tab.mark === "fresh") tab.mark = "";
    this.draw();
    this.shown(tab);
    if (focus && tab.focused?.isConnected) tab.focused.focus({ preventScroll: true });
  }

  mark(key, mark) {
    const tab = this.all.get(key);
    if (!tab || tab.mark === mark) return;
    tab.mark = mark;
    this.draw();
  }

  rename(key, title) {
    const tab = this.all.get(key);
    if (!tab || tab.title === title) return;
    tab.title = title;
    this.draw();
  }

  close(key) {
    const tab = this.all.get(key);
    if (!tab || tab.kind === "home") return;
    const keys = [...this.all.keys()];
    this.all.delete(key);
    if (this.current === tab) this.show(keys[keys.indexOf(key) - 1] || "home");
    else this.draw();
  }

  /** The neighbour to the right (1) or to the left (-1). */
  step(by) {
    const keys = [...this.all.keys()];
    const at = keys.indexOf(this.current.key);
    this.show(keys[(at + by + keys.length) % keys.length], true);
  }

  draw() {
    fillWhenLetGo(this.strip, () => this.fill());
  }

  fill() {
    const focused = this.strip.contains(document.activeElement) ? document.activeElement.dataset.tab : null;
    this.strip.replaceChildren(...[...this.all.values()].map((tab) => this.button(tab)));
    this.strip.hidden = this.all.size < 2;
    if (focused) this.strip.querySelector(`[data-tab="${CSS.escape(focused)}"]`)?.focus();
  }

  button(tab) {
    const place = document.createElement("span");
    place.className = "tab";
    place.dataset.mark = tab.mark;
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.tab = tab.key;
    if (tab === this.current) button.setAttribute("aria-current", "true");
    const title = document.createElement("span");
    title.textContent = tab.title || t("No name");
    button.append(icon(ICONS[tab.kind]), title);
    if (tab.mark) {
      const said = document.createElement("span");
      said.className = "hush";
      said.textContent = tab.mark === "unsaved" ? t("no result yet") : t("new");
      button.append(icon(MARKS[tab.mark]), said);
    }
    place.append(button);
    if (tab.closes) {
      const close = document.createElement("button");
      close.type = "button";
      close.dataset.close = tab.key;
      close.setAttribute("aria-label", t("Close %(name)s", { name: tab.title || t("No name") }));
      close.append(icon("x"));
      place.append(close);
    }
    return place;
  }
}
