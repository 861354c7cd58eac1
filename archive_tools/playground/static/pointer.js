// What is done on the map, by mouse, finger or keyboard: a target, a start, walls and crates.
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP = {
  target: "Click the map to set the target; Shift-click or Esc takes it away.",
  start: "Drag the robot, or press where it shall stand and pull the way it shall look; R turns it.",
  wall: "Drag to build a wall; click one to take it away. The robot was never told of it.",
  crate: "Click to put a crate down; click one to take it away. The robot was never told of it.",
};
const KEYS = " With the keyboard: arrows move the cursor, Enter does what a click does, Ctrl+Enter drives.";

export class Pointer {
  constructor(scene, state, changed, tell) {
    Object.assign(this, { scene, state, changed, tell });
    this.drag = null;
    this.at = null; // the keyboard's cursor
    const { svg } = scene;
    svg.addEventListener("pointerdown", (event) => this.down(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerup", (event) => this.up(event));
    svg.addEventListener("pointercancel", () => { this.drag = null; this.changed(); });
    svg.addEventListener("touchstart", (event) => {
      if (this.tool !== "target" || this.onRobot(event.touches[0])) event.preventDefault();
    }, { passive: false });
    svg.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("blur", () => { this.at = null; scene.cursor(null); });
    const help = document.getElementById("map-help");
    for (const tool of document.querySelectorAll('[name="tool"]')) {
      tool.addEventListener("change", () => { help.textContent = HELP[this.tool] + KEYS; });
    }
    help.textContent = HELP.target + KEYS;
  }

  get tool() { return document.querySelector('[name="tool"]:checked').value; }

  get start() { return this.state.start ?? this.scene.facts.start; }

  get movable() { return Boolean(document.querySelector('[name="tool"][value="start"]')); }

  onRobot(event) {
    if (!this.movable) return false;
    const [x, y] = this.scene.point(event), [sx, sy] = this.start;
    return Math.hypot(x - sx, y - sy) < this.scene.facts.radius * 2.2;
  }

  down(event) {
    if (event.button) return;
    const place = this.scene.point(event);
    const moves = this.onRobot(event) && !event.shiftKey;
    this.drag = { from: place, tool: moves ? "move" : this.tool, begun: this.start, shift: event.shiftKey };
    this.scene.svg.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.drag) return;
    const { from, tool, begun } = this.drag, [x, y] = this.scene.point(event);
    const far = Math.hypot(x - from[0], y - from[1]) > 4 * this.scene.unit;
    if (!far && !this.drag.far) return;
    this.drag.far = true;
    if (tool === "move") this.set([begun[0] + x - from[0], begun[1] + y - from[1], begun[2]]);
    if (tool === "start") this.set([...from, Math.atan2(y - from[1], x - from[0])]);
    if (tool === "wall") this.scene.walls([...this.state.walls, [...from, x, y]]);
  }

  up(event) {
    if (!this.drag) return;
    const { from, tool, far, shift } = this.drag, place = this.scene.point(event);
    this.drag = null;
    if (far && (tool === "move" || tool === "start")) return this.changed();
    if (tool === "move") return this.tool === "target" ? this.act(from, shift, "target") : undefined;
    if (tool === "wall" && far) return this.build([...from, ...place]);
    this.act(tool === "target" ? place : from, shift, tool);
  }

  act(place, shift, tool = this.tool) { // what a click does
    const { state } = this;
    if (tool === "target") state.bd = shift ? null : place;
    else if (tool === "start") this.set([...place, this.start[2]]);
    else {
      const hit = state.walls.findIndex((wall) => this.covers(wall, place));
      if (hit >= 0) state.walls.splice(hit, 1);
      else if (tool === "crate") return this.build([...place, ...place]);
      else if (this.corner) { const wall = [...this.corner, ...place]; this.corner = null; return this.build(wall); }
      else if (this.at) { this.corner = place; this.tell("wall begins here; move on and press Enter"); }
    }
    this.changed();
  }

  build(wall) {
    if (this.state.walls.length < 24) this.state.walls.push(wall.map((v) => Math.round(v * 10) / 10));
    this.changed();
  }

  covers([x0, y0, x1, y1], [x, y]) {
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, { wall, crate } = this.scene.facts;
    const share = length ? Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / length, 0), 1) : 0;
    const away = Math.hypot(x - x0 - share * dx, y - y0 - share * dy);
    return away < (length < wall * wall ? crate : wall) * 0.7;
  }

  set(start) {
    if (!this.movable) return;
    const size = this.scene.facts.size, inside = (v) => Math.round(Math.min(Math.max(v, 0), size) * 10) / 10;
    this.state.start = [inside(start[0]), inside(start[1]), Math.round(start[2] * 1000) / 1000];
    this.scene.start(this.state.start, true);
  }

  key(event) {
    const { size } = this.scene.facts, arrow = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow) {
      const step = (event.shiftKey ? 1 / 12 : 1 / 60) * size;
      const from = this.at ?? this.state.bd ?? [size / 2, size / 2];
      this.at = from.map((v, i) => Math.min(Math.max(v + arrow[i] * step, 0), size));
      this.scene.cursor(this.at);
      const near = this.scene.near(this.at);
      this.tell(`${this.at.map(Math.round).join(", ")}${near ? `, near the ${near}` : ""}`);
    } else if ((event.key === "Enter" || event.key === " ") && this.at) {
      this.act(this.at, event.shiftKey);
    } else if (event.key.toLowerCase() === "r") {
      const [x, y, angle] = this.start;
      this.set([x, y, angle + Math.PI / 4]);
      this.changed();
    } else return;
    event.preventDefault();
  }
}
