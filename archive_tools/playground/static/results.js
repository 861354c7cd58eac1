// Who drives, how far each is from the target, what it met, and the verdict.
const byId = (id) => document.getElementById(id);

export class Results {
  constructor(most, floors, chosen) {
    this.rows = new Map([...document.querySelectorAll("#robots li")].map((row) => [row.dataset.robot, row]));
    this.list = byId("events");
    this.floors = floors;
    this.lines = [];
    for (const box of this.boxes) {
      box.addEventListener("change", () => {
        if (this.names.length > most) box.checked = false;
        for (const other of this.boxes) other.disabled = !other.checked && this.names.length >= most;
        chosen();
      });
    }
  }

  get boxes() { return document.querySelectorAll('[name="robot"]'); }

  get names() { return [...this.boxes].filter((box) => box.checked).map((box) => box.value); }

  choose(names) {
    for (const box of this.boxes) box.checked = names.includes(box.value);
  }

  begin(tracks) {
    for (const row of this.rows.values()) {
      row.classList.remove("driven");
      for (const part of [".distance", ".score", ".reasons"]) row.querySelector(part).textContent = "";
      row.querySelector(".reasons").hidden = true;
    }
    tracks.forEach((track) => this.row(track).classList.add("driven"));
    this.list.replaceChildren();
    this.lines = [];
  }

  row(track) { return this.rows.get(track.name); }

  show(tracks, step, target, ended) {
    for (const track of tracks) {
      const row = this.row(track), pose = track.poses[Math.min(Math.floor(step), track.poses.length - 1)];
      const away = target && pose ? Math.hypot(pose[0] - target[0], pose[1] - target[1]) : null;
      const verdict = ended ? track.verdict : null;
      const share = verdict?.distance ? ` (${verdict.distance.percent} %)` : "";
      row.querySelector(".distance").textContent = away === null ? "" : `${Math.round(away)} units off${share}`;
      row.querySelector(".score").textContent = verdict ? `${Math.round(100 * verdict.score)} %` : "";
      const reasons = row.querySelector(".reasons");
      reasons.textContent = track.failure ?? (verdict ? verdict.reasons : "");
      reasons.hidden = !reasons.textContent;
    }
    this.events(tracks, step);
  }

  events(tracks, step) { // of all robots, in time
    const due = tracks.flatMap((track) => track.events.filter((event) => event.step <= step));
    due.sort((a, b) => a.step - b.step);
    const kept = this.lines.every((event, i) => event === due[i]) ? this.lines.length : 0;
    if (kept === due.length) return;
    if (!kept) this.list.replaceChildren();
    for (const event of due.slice(kept)) this.list.append(this.line(event, tracks.length > 1));
    if (due.length > this.lines.length) this.list.scrollTop = this.list.scrollHeight;
    this.lines = due;
  }

  line({ step, tile, near, bump, track }, many) {
    const line = document.createElement("li"), time = document.createElement("time");
    const swatch = document.createElement("i"), words = document.createElement("span");
    time.textContent = step;
    swatch.style.background = many ? track.colour : this.floors[tile] ?? "transparent";
    words.textContent = describe({ tile, near, bump });
    if (bump) words.className = "bumped";
    line.append(time, swatch, words);
    if (many) line.title = track.label;
    return line;
  }
}

export function describe({ tile, near, bump }) {
  if (bump) return "runs into something";
  const floor = tile === "–" ? "" : `on ${tile}`;
  return near === "–" ? floor || "on bare floor" : [floor, near].filter(Boolean).join(", ");
}
