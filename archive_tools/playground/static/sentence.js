// The sentence: typed, taken from examples or said before; and what is understood of it so far.
import { ask } from "./ask.js";

const KEPT = 8, WAIT = 120;
const byId = (id) => document.getElementById(id);

export class Sentence {
  constructor({ drive, target, untarget, floors, trouble }) {
    this.input = byId("sentence");
    this.box = byId("understood");
    this.hooks = { drive, target, untarget, trouble };
    this.floors = floors;
    this.found = {};
    this.place = null;
    this.count = 0;
    this.back = -1; // how far back in the history one has gone
    this.past = this.read();
    this.list();
    this.input.addEventListener("input", () => this.changed());
    this.input.addEventListener("keydown", (event) => this.key(event));
    byId("command").addEventListener("submit", (event) => { event.preventDefault(); drive(); });
    for (const button of document.querySelectorAll("#examples button")) {
      button.addEventListener("click", () => {
        target(button.dataset.bd.split(",").map(Number));
        this.say(button.textContent);
      });
    }
  }

  get text() { return this.input.value.trim(); }

  set(text) { this.input.value = text; this.changed(); }

  say(text) { this.set(text); this.hooks.drive(); }

  key(event) {
    if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); return this.hooks.drive(); }
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step || !this.past.length) return;
    event.preventDefault();
    this.back = Math.min(Math.max(this.back + step, -1), this.past.length - 1);
    this.set(this.back < 0 ? "" : this.past[this.back]);
  }

  changed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.understand(), WAIT);
  }

  async understand() {
    const count = ++this.count;
    try {
      const found = this.text ? await ask("/understand", { text: this.text }) : {};
      if (count === this.count) { this.found = found; this.show(); }
    } catch (error) {
      this.hooks.trouble(error.message);
    }
  }

  show() {
    const rows = Object.entries(this.found).filter(([, names]) => names.length);
    const parts = rows.map(([part, names]) => this.part(part, names));
    if (this.place) {
      const row = this.part("place", [this.place.map(Math.round).join(", ")]);
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "✕";
      remove.setAttribute("aria-label", "take the target away");
      remove.addEventListener("click", () => this.hooks.untarget());
      row.querySelector("dd").append(remove);
      parts.push(row);
    }
    this.box.replaceChildren(...parts);
  }

  part(part, names) {
    const row = document.createElement("div"), head = document.createElement("dt");
    row.className = part.replaceAll(" ", "-");
    head.textContent = part === "place" ? "target" : part;
    row.append(head, ...names.map((name) => {
      const chip = document.createElement("dd");
      const floor = this.floors[name];
      if (floor) {
        const swatch = document.createElement("i");
        swatch.style.background = floor;
        chip.append(swatch);
      }
      chip.append(name);
      return chip;
    }));
    return row;
  }

  target(place) { this.place = place; this.show(); }

  summary() { // for those who listen
    return Object.entries(this.found).filter(([, names]) => names.length)
      .map(([part, names]) => `${part}: ${names.join(", ")}`).join("; ");
  }

  remember(text) {
    this.back = -1;
    if (!text) return;
    this.past = [text, ...this.past.filter((old) => old !== text)].slice(0, KEPT);
    try { localStorage.setItem("wayword said", JSON.stringify(this.past)); } catch { /* private window */ }
    this.list();
  }

  read() {
    try {
      const past = JSON.parse(localStorage.getItem("wayword said") ?? "[]");
      return Array.isArray(past) ? past.filter((text) => typeof text === "string") : [];
    } catch {
      return [];
    }
  }

  list() {
    const box = byId("history");
    box.hidden = !this.past.length;
    box.querySelector("div").replaceChildren(...this.past.map((text) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => { this.set(text); this.input.focus(); });
      return button;
    }));
  }
}
