// The archive: a map of its cells, the elite of the chosen one, and a search in the texts.
Wayword.ready.archive = (async () => {
  const { at, byId, eventTable, facts, json, robot, scene, sentence, svg, swatch, tag } = Wayword;
  const elites = await json("elites-data");
  const path = Wayword.paths(await Wayword.bytes("elites-paths"), elites.steps, elites.strides);
  const { cells: [columns, rows], low, high, over_plan: overPlan } = elites.map;
  const texts = elites.texts.map((list) => list.join("\n").toLowerCase());
  const rowOf = new Map(elites.ids.map((id, i) => [id, i]));
  const places = elites.events.map((events) => {
    const met = new Set();
    for (const event of events) for (let k = 1; k < event.length; k += k === 1 ? 1 : 2) met.add(event[k]);
    met.delete(-1);
    return met.size;
  });
  const number = (value) => value.toLocaleString("en-GB");
  const page = Object.fromEntries(["map", "search", "split", "colour", "count", "results", "scene",
    "step", "step-name", "about", "legend", "more"].map((n) => [n, byId(`archive-${n}`)]));
  // Behind the elites come drives that commands brought: seen when their set is chosen.
  const count = elites.count;
  const state = { shown: [], wanted: [], row: 0, listed: 0 };
  let byCell = new Map();

  // Rows of a map over the plan go down, as the world's y does; other maps have y upwards.
  const place = (cell) => {
    const column = cell % columns, row = Math.floor(cell / columns);
    return [column, overPlan ? row : rows - 1 - row];
  };
  const side = 600, cellWide = side / columns, cellHigh = side / rows;
  const canvas = tag("canvas", { "aria-hidden": "true" });
  const marks = svg("svg", { viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true" });
  if (overPlan) {
    page.map.append(svg("svg", { viewBox: `0 0 ${facts.size} ${facts.size}`, class: "plan", "aria-hidden": "true" },
      svg("use", { href: `#${facts.plan}`, width: facts.size, height: facts.size })));
  }
  page.map.append(canvas, marks);

  const colourOf = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const SPLITS = { train: "policy", validation: "ceiling", test: "control" };

  // What the cells' colours mean: [colour, words] for the legend, and the colour of an elite.
  function scale() {
    if (page.colour.value === "split") {
      const colour = (name) => SPLITS[name] || (name ? "baseline" : "muted");
      const found = [...new Set(state.shown.map((i) => elites.split[i]))].filter(Boolean);
      return { key: found.map((name) => [colour(name), name]), of: (i) => colour(elites.split[i]) };
    }
    const values = page.colour.value === "places" ? places : elites.objective;
    const known = values.filter((value) => value !== null).sort((a, b) => a - b);
    const cuts = [0.2, 0.4, 0.6, 0.8].map((q) => known[Math.floor(q * (known.length - 1))]);
    const shown = (v) => Number(v.toPrecision(3)).toString().replace("-", "−");
    const key = [["seq0", `≤ ${shown(cuts[0])}`],
      ...cuts.map((cut, k) => [`seq${k + 1}`, `> ${shown(cut)}`]).filter((_, k) =>
        k === 3 || cuts[k] < cuts[k + 1])];
    return { key, of: (i) => values[i] === null ? "muted" : `seq${cuts.filter((c) => values[i] > c).length}` };
  }

  function paint() {
    const width = page.map.clientWidth, ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.max(1, Math.round(width * ratio));
    const pen = canvas.getContext("2d"), unit = canvas.width / side;
    const { key, of } = scale();
    const draw = (cell, colour, alpha) => {
      const [x, y] = place(cell);
      pen.globalAlpha = alpha;
      pen.fillStyle = colour;
      const left = Math.round(x * cellWide * unit), top = Math.round(y * cellHigh * unit);
      pen.fillRect(left, top, Math.round((x + 1) * cellWide * unit) - left,
                   Math.round((y + 1) * cellHigh * unit) - top);
    };
    const colours = new Map();
    const paletteOf = (name) => {
      if (!colours.has(name)) colours.set(name, colourOf(name));
      return colours.get(name);
    };
    if (!state.all) {
      for (const cell of new Set(elites.cells.slice(0, count))) draw(cell, paletteOf("muted"), 0.16);
    }
    for (const [cell, members] of byCell) draw(cell, paletteOf(of(members[0])), 0.92);
    page.legend.replaceChildren(...key.map(([name, words]) =>
      tag("span", {}, swatch(`var(--${name})`), words)));
  }

  function filter() {
    const query = page.search.value.toLowerCase();
    state.wanted = [...query.matchAll(/"([^"]+)"|([^\s"]+)/g)].map((m) => (m[1] || m[2]).trim()).filter(Boolean);
    const split = page.split.value;
    state.shown = elites.ids.map((_, i) => i).filter((i) =>
      (split ? elites.split[i] === split : i < count) && state.wanted.every((word) => texts[i].includes(word)));
    byCell = new Map();
    for (const i of state.shown) {
      if (byCell.has(elites.cells[i])) byCell.get(elites.cells[i]).push(i);
      else byCell.set(elites.cells[i], [i]);
    }
    const all = state.all = !split && state.shown.length === count;
    const whole = elites.total > count ? `, a sample of ${number(elites.total)}` : "";
    page.count.textContent = all
      ? `${number(count)} elites in ${number(byCell.size)} cells${whole}`
      : state.shown[0] >= count ? `${number(state.shown.length)} drives match, in ${number(byCell.size)} cells`
      : `${number(state.shown.length)} of ${number(count)} elites match, in ${number(byCell.size)} cells`;
    state.listed = 0;
    page.results.replaceChildren();
    page.results.parentElement.classList.toggle("idle", all);
    list();
    paint();
    if (!all && state.shown.length && !state.shown.includes(state.row)) select(state.shown[0]);
    else mark();
  }

  function list() {
    const next = state.shown.slice(state.listed, state.listed + 25);
    page.results.append(...next.map((i) => {
      const text = elites.texts[i].find((t) => state.wanted.some((w) => t.toLowerCase().includes(w)))
        || elites.texts[i][0] || "";
      return tag("li", {}, tag("button", { type: "button", "data-row": i, onclick: () => select(i) },
        tag("b", {}, `${elites.ids[i]} `), tag("small", {}, elites.split[i]), " ",
        sentence(text, elites.bd[i], state.wanted)));
    }));
    state.listed += next.length;
    page.more.hidden = state.listed >= state.shown.length;
    mark();
  }

  function mark() {
    const [x, y] = place(elites.cells[state.row]);
    const centre = { cx: (x + 0.5) * cellWide, cy: (y + 0.5) * cellHigh };
    marks.replaceChildren(
      svg("circle", { ...centre, r: 11, fill: "none", stroke: "#fff", "stroke-width": 6 }),
      svg("circle", { ...centre, r: 11, fill: "none", stroke: "#1c1b19", "stroke-width": 2.6 }));
    for (const button of page.results.querySelectorAll("button")) {
      if (Number(button.dataset.row) === state.row) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  function select(row) {
    state.row = row;
    const points = path(row), id = elites.ids[row], bd = elites.bd[row];
    const neighbours = (byCell.get(elites.cells[row]) || [row]);
    const turn = neighbours.indexOf(row);
    const ends = `(${bd.map((v) => Number(v.toPrecision(4))).join(", ")})`;
    const picture = scene(`${row < count ? "Drive of elite" : "Drive"} ${id}, dark to light with time`, points);
    page.scene.replaceChildren(points.length ? picture : tag("p", { class: "marks" }, "no path was recorded"));
    page.step.max = elites.steps[row];
    page.step.value = 0;
    page.step.disabled = !points.length;
    const objective = elites.objective[row];
    page.about.replaceChildren(
      tag("h3", {}, `${row < count ? "Elite" : "Drive"} ${id} `, tag("small", {}, [elites.split[row], `ends at ${ends}`,
        objective === null ? "" : `objective ${Number(objective.toPrecision(4))}`].filter(Boolean).join(" · "))),
      ...(neighbours.length > 1 ? [tag("p", { class: "marks" },
        `${turn + 1} of ${neighbours.length} in this cell `,
        tag("button", { type: "button", onclick: () => select(neighbours[(turn + 1) % neighbours.length]) }, "next one"))] : []),
      ...elites.texts[row].map((text) => tag("p", { class: "sentence" }, sentence(text, bd, state.wanted))),
      ...(elites.texts[row].length ? [] : [tag("p", { class: "marks" }, "It has no accepted text.")]),
      tag("div", { class: "rows", tabindex: 0, role: "region", "aria-label": "events" },
        eventTable("Events", elites.events[row], points.length ? step : null)));
    mark();
    step(0);
  }

  function step(wanted) {
    const points = path(state.row), picture = page.scene.querySelector("svg");
    page.step.value = wanted;
    const event = elites.events[state.row].filter((e) => e[0] <= wanted).pop();
    const tile = event && event[1] >= 0 ? `, ${facts.names[event[1]]} tile` : "";
    page["step-name"].textContent = `step ${wanted} of ${elites.steps[state.row]}${tile}`;
    page.step.setAttribute("aria-valuetext", page["step-name"].textContent);
    if (!points.length || !picture) return;
    const { x, y, angle } = at(points, wanted);
    picture.querySelector(".now")?.remove();
    if (Number(wanted) > 0) {
      const now = robot(x.toFixed(1), y.toFixed(1), angle.toFixed(0));
      now.classList.add("now");
      picture.append(now);
    }
  }

  // The nearest cell that matches: cells are smaller than a finger.
  function nearest(column, row, reach) {
    let best = null, least = reach;
    for (const cell of byCell.keys()) {
      const [x, y] = place(cell);
      const far = Math.hypot(x + 0.5 - column, y + 0.5 - row);
      if (far < least) [best, least] = [cell, far];
    }
    return best;
  }

  page.map.addEventListener("click", (event) => {
    const box = page.map.getBoundingClientRect();
    const column = (event.clientX - box.left) / box.width * columns;
    const row = (event.clientY - box.top) / box.height * rows;
    const cell = nearest(column, row, Math.max(1.5, 24 / box.width * columns));
    if (cell !== null) select(byCell.get(cell)[0]);
  });

  page.map.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const [x0, y0] = place(elites.cells[state.row]);
    let best = null, least = Infinity;
    for (const cell of byCell.keys()) {
      const [x, y] = place(cell);
      const along = (x - x0) * way[0] + (y - y0) * way[1];
      const aside = Math.abs((x - x0) * way[1]) + Math.abs((y - y0) * way[0]);
      if (along > 0 && aside <= along && along + 3 * aside < least) [best, least] = [cell, along + 3 * aside];
    }
    if (best !== null) select(byCell.get(best)[0]);
  });

  page.search.addEventListener("input", filter);
  page.split.addEventListener("change", filter);
  page.colour.addEventListener("change", paint);
  page.more.addEventListener("click", list);
  page.step.addEventListener("input", () => step(Number(page.step.value)));
  byId("archive-form").addEventListener("submit", (event) => event.preventDefault());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  new ResizeObserver(paint).observe(page.map);
  filter();
  const most = Math.max(...places.slice(0, count));
  select(places.indexOf(most));
  return {
    elites, path,
    explore(id) {
      page.search.value = "";
      page.split.value = rowOf.get(id) < count ? "" : elites.split[rowOf.get(id)];
      filter();
      select(rowOf.get(id));
    },
  };
})();
