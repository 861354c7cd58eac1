"use strict";
// What the explorer and the galleries share: unpacking of the page's data, and drawing of drives.
const Wayword = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("scene-facts").textContent);
  const GRID = 2048;

  async function bytes(id) {
    const packed = byId(id).textContent.trim();
    if (!packed) return new Uint8Array(0);
    if (!("DecompressionStream" in window)) {
      throw new Error("this browser is too old to unpack the drives; one of 2023 or later can");
    }
    const raw = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const json = async (id) => JSON.parse(new TextDecoder().decode(await bytes(id)));

  // Paths are second differences, zigzag, all low bytes first: see archive_tools/report/compress.py.
  function paths(data, steps, strides) {
    const half = data.length / 2;
    const counts = steps.map((length, i) => Math.ceil(length / strides[i]) + 1);
    const first = [];
    counts.reduce((at, count, i) => { first[i] = at; return at + 2 * count; }, 0);
    return (i) => {
      if (!data.length) return [];
      const count = counts[i];
      const axis = (at) => {
        let speed = 0, place = 0;
        return Array.from({ length: count }, (_, k) => {
          const zigzag = data[at + k] | (data[half + at + k] << 8);
          speed += (zigzag >> 1) ^ -(zigzag & 1);
          place += speed;
          return place * facts.size / GRID;
        });
      };
      const x = axis(first[i]), y = axis(first[i] + count);
      return x.map((value, k) => [value, y[k], Math.min(k * strides[i], steps[i])]);
    };
  }

  function make(element, attributes, children) {
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return element;
  }
  const svg = (name, attributes, ...children) =>
    make(document.createElementNS(NS, name), attributes, children);
  const tag = (name, attributes, ...children) =>
    make(document.createElement(name), attributes, children);
  const swatch = (fill) => svg("svg", {}, svg("rect", { width: "100%", height: "100%", fill }));

  const line = facts.size / 165;
  const data = (points) =>
    "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  const shade = (share) => facts.time[Math.round(share * (facts.time.length - 1))];

  // The place on a path at a timestep, between the kept points.
  function at(path, step) {
    let k = path.findIndex((point) => point[2] >= step);
    if (k < 0) k = path.length - 1;
    if (k === 0) return { x: path[0][0], y: path[0][1], angle: heading(path, 0) };
    const [a, b] = [path[k - 1], path[k]];
    const share = (step - a[2]) / (b[2] - a[2]);
    return { x: a[0] + share * (b[0] - a[0]), y: a[1] + share * (b[1] - a[1]),
             angle: heading(path, k - 1) };
  }

  function heading(path, k) {
    for (let i = k; i + 1 < path.length; i++) {
      const [dx, dy] = [path[i + 1][0] - path[i][0], path[i + 1][1] - path[i][1]];
      if (Math.hypot(dx, dy) > facts.size / 1000) return Math.atan2(dy, dx) * 180 / Math.PI;
    }
    return k ? heading(path, 0) : 0;
  }

  function route(path, thin) {
    const parts = Math.min(facts.steps, path.length - 1);
    const cuts = Array.from({ length: parts + 1 }, (_, k) =>
      Math.round(k * (path.length - 1) / parts));
    const group = svg("g", { fill: "none", "stroke-linejoin": "round",
                             "stroke-linecap": thin ? "butt" : "round" });
    const stroke = (points, colour, width, more) => points.length > 1 && group.append(
      svg("path", { d: data(points), stroke: colour, "stroke-width": width, ...more }));
    if (thin) stroke(path, "#fff", line * 1.5, { "stroke-opacity": 0.8 });
    // Casing and colour take turns, so that a later stretch bridges an earlier one.
    for (let first = 0; first < parts; first += 5) {
      const last = Math.min(first + 5, parts);
      if (!thin) {
        stroke(path.slice(cuts[first], cuts[last] + 1), "#fff", line * 2.1,
               { "stroke-linecap": first ? "butt" : "round" });
      }
      for (let k = first; k < last; k++) {
        stroke(path.slice(cuts[k], cuts[k + 1] + 1), shade(k / Math.max(parts - 1, 1)),
               thin ? line * 0.75 : line,
               thin ? { "stroke-dasharray": `${line * 1.3} ${line * 1.1}` } : {});
      }
    }
    if (!thin) group.append(...arrows(path));
    return group;
  }

  function arrows(path) {
    const far = [0];
    for (let k = 1; k < path.length; k++) {
      far.push(far[k - 1] + Math.hypot(path[k][0] - path[k - 1][0], path[k][1] - path[k - 1][1]));
    }
    const total = far[far.length - 1], count = Math.min(5, Math.floor(total / (26 * line)));
    return Array.from({ length: count }, (_, n) => {
      const wanted = total * (n + 0.7) / (count + 0.4);
      const k = Math.max(1, far.findIndex((value) => value >= wanted));
      const place = at(path, (path[k - 1][2] + path[k][2]) / 2);
      return svg("path", {
        d: `M${1.9 * line} 0L${-1.7 * line} ${1.7 * line}L${-line} 0L${-1.7 * line} ${-1.7 * line}z`,
        fill: shade(k / (path.length - 1)), stroke: "#fff", "stroke-width": line * 0.4,
        transform: `translate(${place.x.toFixed(1)} ${place.y.toFixed(1)})rotate(${place.angle.toFixed(0)})` });
    });
  }

  function robot(x, y, angle) {
    const r = facts.size / 62;
    return svg("g", { class: "robot", transform: `translate(${x} ${y})rotate(${angle})` },
      svg("path", { d: `M${r * 1.7} 0L${r * 0.588} ${r * 0.809}A${r} ${r} 0 1 1 ${r * 0.588} ${-r * 0.809}z`,
                    fill: "#413831", stroke: "#fff", "stroke-width": r * 0.3,
                    "stroke-linejoin": "round" }),
      svg("circle", { r: r * 0.4, fill: "#fff" }));
  }

  function cross([x, y]) {
    const r = facts.size / 60;
    const ticks = `M${r * 0.6} 0H${r * 1.6}M0 ${r * 0.6}V${r * 1.6}M${-r * 0.6} 0H${-r * 1.6}M0 ${-r * 0.6}V${-r * 1.6}`;
    const both = (colour, width) => svg("g", { stroke: colour, "stroke-width": width, fill: "none" },
      svg("circle", { r }), svg("path", { d: ticks }));
    return svg("g", { transform: `translate(${x} ${y})` }, both("#fff", r * 0.6), both("#1c1b19", r * 0.24));
  }

  // A scene with a drive; reference (dashed) and target are optional.
  function scene(label, path, reference, target) {
    const side = facts.size, end = path[path.length - 1];
    const picture = svg("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": label },
      svg("use", { href: `#${facts.plan}`, width: side, height: side }));
    if (reference && reference.length > 1) picture.append(route(reference, true));
    if (path.length > 1) picture.append(route(path, false));
    picture.append(svg("use", { href: "#names", width: side, height: side }));
    if (path.length) {
      picture.append(robot(path[0][0], path[0][1], heading(path, 0)));
      if (reference && reference.length) picture.append(dot(reference[reference.length - 1], 0.7));
      picture.append(dot(end, 1));
    }
    if (target && target.length === 2) picture.append(cross(target));
    return picture;
  }

  const dot = (point, scale) => svg("circle", {
    cx: point[0].toFixed(1), cy: point[1].toFixed(1), r: facts.size / 95 * scale,
    fill: shade(1), stroke: "#fff", "stroke-width": facts.size / 260 * scale });

  // A stored text, with the place where <DESCRIPTOR> stands, and the words searched for marked.
  function sentence(text, bd, wanted = []) {
    const place = `(${bd.map((value) => value.toFixed(0)).join(", ")})`;
    const pattern = wanted.length
      ? new RegExp(`(${wanted.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "i")
      : null;
    const words = (part) => !pattern ? [part] : part.split(pattern).map((piece, i) =>
      i % 2 ? tag("mark", {}, piece) : piece);
    const parts = text.split("<DESCRIPTOR>").flatMap((part, i) =>
      i ? [tag("span", { class: "place" }, place), ...words(part)] : words(part));
    return tag("q", {}, parts);
  }

  function eventTable(title, events, onstep) {
    const near = (event) => {
      const words = [];
      for (let k = 2; k < event.length; k += 2) {
        const relation = facts.relations[event[k + 1]], name = facts.names[event[k]];
        words.push(relation === "on" ? `on the ${name}` : `${relation} of the ${name}`);
      }
      return words.join(", ") || "–";
    };
    return tag("table", { class: "events" }, tag("caption", {}, title),
      tag("thead", {}, tag("tr", {}, tag("th", { class: "num", scope: "col" }, "step"),
        tag("th", { scope: "col" }, "tile"), tag("th", { scope: "col" }, "near"))),
      tag("tbody", {}, events.map((event) =>
        tag("tr", onstep ? { onmouseenter: () => onstep(event[0]) } : {},
          tag("td", { class: "num" }, onstep
            ? tag("button", { type: "button", "aria-label": `show step ${event[0]}`,
                              onclick: () => onstep(event[0]) }, String(event[0]))
            : String(event[0])),
          tag("td", {}, event[1] < 0 ? "–" : facts.names[event[1]]), tag("td", {}, near(event))))));
  }

  // A route as chips: full where the other route has the place too. Numbers are 2 * place + met.
  function chips(places) {
    const chip = (code) => {
      const place = code >> 1, colour = facts.colours[place];
      return tag("li", { class: code & 1 ? "met" : "lone" },
        colour ? swatch(colour) : null, facts.names[place]);
    };
    return tag("ol", { class: "route" },
      places.length ? places.map(chip) : tag("li", { class: "lone" }, "nothing"));
  }

  const ready = {};
  return { at, byId, bytes, chips, eventTable, facts, heading, json, paths, ready, robot, scene,
           sentence, svg, swatch, tag };
})();
