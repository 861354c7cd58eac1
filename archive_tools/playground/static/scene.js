// The map: floor, names, what was put down, lines, robots, cross-hairs. World units, y down.
const NS = "http://www.w3.org/2000/svg";
const INK = "#413831";

export function make(name, attributes, parent, text) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

export async function openScene(svg) {
  const facts = await (await fetch("/scene.json")).json();
  return new Scene(svg, facts);
}

export function drop(radius) { // the robot from above: a disc drawn out to a nose
  const r = radius * 0.9, x = (r * 0.588).toFixed(2), y = (r * 0.809).toFixed(2);
  return `M${(r * 1.7).toFixed(2)} 0L${x} ${y}A${r} ${r} 0 1 1 ${x} -${y}z`;
}

const crosshairs = (r) =>
  `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0M${r * 0.6} 0H${r * 1.6}M0 ${r * 0.6}V${r * 1.6}` +
  `M${-r * 0.6} 0H${-r * 1.6}M0 ${-r * 0.6}V${-r * 1.6}`;

export class Scene {
  constructor(svg, facts) {
    this.svg = svg;
    this.facts = facts;
    this.unit = facts.size / 600; // about a pixel
    svg.setAttribute("viewBox", `0 0 ${facts.size} ${facts.size}`);
    make("image", { href: "/scene.svg", width: facts.size, height: facts.size }, svg);
    for (const name of ["put", "lines", "names", "marks", "robots", "pointer"]) {
      this[name] = make("g", { class: name }, svg);
    }
    const font = facts.font;
    const tiles = make("g", { class: "tiles", "font-size": font * 0.84 }, this.names);
    for (const [text, x, y, fill] of facts.tiles) {
      make("text", { x, y, "stroke-width": 0 }, tiles, text).style.fill = fill;
    }
    const objects = make("g", { class: "objects", "font-size": font, "stroke-width": font * 0.26 }, this.names);
    for (const [text, x, y] of facts.objects) make("text", { x, y }, objects, text);
  }

  point(event) { // where on the floor a pointer is
    const box = this.svg.getBoundingClientRect(), { size } = this.facts;
    const inside = (v) => Math.round(Math.min(Math.max(v, 0), 1) * size * 10) / 10;
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }

  target(place) {
    this.marks.querySelector(".target")?.remove();
    if (!place) return;
    const r = Math.max(this.facts.radius * 0.95, 5 * this.unit);
    const mark = make("g", { class: "target hairs", transform: `translate(${place[0]} ${place[1]})` }, this.marks);
    make("path", { d: crosshairs(r), stroke: "#fff", "stroke-width": 4.5 * this.unit }, mark);
    make("path", { d: crosshairs(r), stroke: "#111", "stroke-width": 1.8 * this.unit }, mark);
  }

  start([x, y, angle], moved) {
    this.marks.querySelector(".start")?.remove();
    const degrees = (angle * 180) / Math.PI;
    const mark = make("g", { class: "start", transform: `translate(${x} ${y})rotate(${degrees})` }, this.marks);
    make("circle", { r: this.facts.radius * 2.2, fill: moved ? "#0b5fa5" : "#fff", "fill-opacity": moved ? 0.14 : 0 }, mark);
    make("path", { class: "robot", d: drop(this.facts.radius), fill: INK, "stroke-width": this.facts.radius * 0.28 }, mark);
    make("circle", { r: this.facts.radius * 0.36, fill: "#fff" }, mark);
  }

  walls(list) {
    this.put.replaceChildren();
    list.forEach(([x0, y0, x1, y1]) => {
      const { wall, crate } = this.facts;
      if (Math.hypot(x1 - x0, y1 - y0) < wall) {
        make("rect", { class: "put", x: x0 - crate / 2, y: y0 - crate / 2, width: crate, height: crate, rx: crate / 12, "stroke-width": 0 }, this.put);
        make("path", { d: `M${x0 - crate / 3} ${y0 - crate / 3}l${crate / 1.5} ${crate / 1.5}m0 ${-crate / 1.5}l${-crate / 1.5} ${crate / 1.5}`, stroke: "#f5f0e7", "stroke-opacity": 0.45, "stroke-width": 2 * this.unit }, this.put);
      } else {
        make("path", { class: "put", d: `M${x0} ${y0}L${x1} ${y1}`, "stroke-width": wall }, this.put);
      }
    });
  }

  cursor(place) { // where the keyboard points
    this.pointer.replaceChildren();
    if (!place) return;
    const [x, y] = place, r = 9 * this.unit;
    for (const [stroke, width] of [["#fff", 5], ["#0b5fa5", 2.5]]) {
      make("circle", { cx: x, cy: y, r, fill: "none", stroke, "stroke-width": width * this.unit }, this.pointer);
    }
  }

  near(place) { // the thing whose name stands nearest, for those who do not see the map
    const far = ([, x, y]) => Math.hypot(x - place[0], y - place[1]);
    const [first] = [...this.facts.objects].sort((a, b) => far(a) - far(b));
    return first && far(first) < this.facts.size / 6 ? first[0] : "";
  }

  track(colour, steps) { return new Track(this, colour, steps); }
}

const PIECES = 20;

class Track { // one robot and its line; without a colour the line runs from dark to light with time
  constructor(scene, colour, steps) {
    this.length = Math.ceil(steps / PIECES);
    const width = 3.2 * scene.unit, { time, radius } = scene.facts;
    this.group = make("g", { class: "track" }, scene.lines);
    const under = make("g", {}, this.group), over = make("g", {}, this.group);
    this.pieces = Array.from({ length: PIECES }, (_, i) => ({
      to: -1,
      lines: [
        make("polyline", { class: "line casing", "stroke-width": width * 2 }, under),
        make("polyline", { class: "line", stroke: colour ?? time[Math.min(i, time.length - 1)], "stroke-width": width }, over),
      ],
    }));
    this.bumps = make("g", { class: "bump", "stroke-width": 2 * scene.unit }, this.group);
    this.bumped = new Set();
    this.unit = scene.unit;
    this.robot = make("path", { class: "robot now", d: drop(radius), fill: colour ?? INK, "stroke-width": radius * 0.28 }, scene.robots);
  }

  show(poses, at, bumps = []) {
    if (!poses.length) return;
    const last = Math.min(Math.floor(at), poses.length - 1);
    this.pieces.forEach((piece, i) => {
      const from = i * this.length, to = Math.min(last, from + this.length);
      if (to === piece.to) return;
      piece.to = to;
      const points = to > from ? poses.slice(from, to + 1).map(([x, y]) => `${x},${y}`).join(" ") : "";
      for (const line of piece.lines) line.setAttribute("points", points);
    });
    const [x, y, angle] = between(poses, at);
    this.robot.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})rotate(${angle.toFixed(1)})`);
    this.mark(poses, bumps.filter((step) => step <= last));
  }

  mark(poses, steps) { // a small ring where it first ran into something
    const firsts = steps.filter((step, i) => i === 0 || step - steps[i - 1] > 10).map((step) => poses[step]);
    if (firsts.length === this.bumped.size) return;
    this.bumped = new Set(firsts);
    this.bumps.replaceChildren();
    for (const [x, y] of firsts) make("circle", { cx: x, cy: y, r: 8 * this.unit }, this.bumps);
  }

  remove() { this.group.remove(); this.robot.remove(); }
}

function between(poses, at) {
  const i = Math.min(Math.floor(at), poses.length - 1), [x, y, angle] = poses[i], next = poses[i + 1];
  if (!next) return [x, y, angle];
  const share = at - i, turn = ((next[2] - angle + 540) % 360) - 180;
  return [x + share * (next[0] - x), y + share * (next[1] - y), angle + share * turn];
}
