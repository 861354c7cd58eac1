"use strict";
// Shows one drive at a time and sends its score; the server keeps it before the next one comes.
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let state = null, busy = false, motion = 0;

  async function ask(path, body) {
    if (busy) return;
    busy = true;
    all("button").forEach((button) => { button.disabled = true; });
    try {
      const reply = await fetch(path, body === undefined ? {} : {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      if (!reply.ok && reply.status !== 409) throw new Error(`the server answered ${reply.status}`);
      state = await reply.json();
      show(reply.status === 409 ? "This drive was rated already, perhaps in another window." : "");
    } catch (error) {
      say(`Not kept: ${error.message}. Is the program in the terminal still running?`, true);
    } finally {
      busy = false;
      all("button").forEach((button) => { button.disabled = false; });
      all(".undo").forEach((button) => { button.disabled = !state || !state.rated; });
    }
  }

  function say(words, wrong) {
    byId("said").textContent = words;
    byId("said").classList.toggle("wrong", Boolean(wrong));
  }

  function show(words) {
    byId("bar").max = state.total;
    byId("bar").value = state.rated;
    byId("progress").textContent = `${state.rated} of ${state.total} rated`;
    byId("rating").hidden = state.number === null;
    byId("over").hidden = state.number !== null;
    say(words || (state.last === null ? "" : `The last one got ${state.last}.`));
    if (state.number === null) return;
    byId("scene").innerHTML = state.picture;
    const quote = document.createElement("q");
    state.words.forEach((part, i) => {
      if (i) {
        const place = document.createElement("span");
        place.textContent = "the cross-hairs";
        quote.append(place);
      }
      quote.append(part);
    });
    byId("sentence").replaceChildren(quote);
    document.body.dataset.number = state.number;
    if (!still) drive();
  }

  // The robot drives its path once, so that crossings and turns back are clear.
  function drive() {
    const scene = byId("scene").querySelector("svg svg"), path = state.path;
    if (!scene || path.length < 2) return;
    scene.querySelector(".now")?.remove();
    const size = scene.viewBox.baseVal.width, r = size / 58;
    const robot = document.createElementNS("http://www.w3.org/2000/svg", "path");
    robot.setAttribute("class", "now");
    robot.setAttribute("d", `M${r * 1.7} 0L${r * 0.6} ${r * 0.8}A${r} ${r} 0 1 1 ${r * 0.6} ${-r * 0.8}z`);
    robot.setAttribute("style", `fill:#fff;stroke:#413831;stroke-width:${r * 0.4}`);
    scene.append(robot);
    const begun = performance.now(), mine = ++motion;
    const move = (now) => {
      if (mine !== motion) return;
      const share = Math.min(Math.max(now - begun, 0) / 3500, 1);
      const [x, y, angle] = path[Math.round(share * (path.length - 1))];
      robot.setAttribute("transform", `translate(${x} ${y})rotate(${angle})`);
      if (share < 1) requestAnimationFrame(move);
      else robot.remove();
    };
    requestAnimationFrame(move);
  }

  function rate(score) {
    if (!state || state.number === null || busy) return;
    all("#scores button").forEach((button) =>
      button.classList.toggle("given", Number(button.dataset.score) === score));
    ask("/rate", { number: state.number, score })
      .then(() => all("#scores .given").forEach((button) => button.classList.remove("given")));
  }

  const undo = () => { if (state && state.rated) ask("/undo", {}); };
  all("#scores button").forEach((button) =>
    button.addEventListener("click", () => rate(Number(button.dataset.score))));
  all(".undo").forEach((button) => button.addEventListener("click", undo));
  byId("again").addEventListener("click", () => drive());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const key = event.key.toLowerCase();
    if (/^[0-9]$/.test(key)) rate(Number(key));
    else if (key === "x") rate(10);
    else if (key === "u" || key === "backspace") undo();
    else if (key === "r" && state && state.number !== null) drive();
  });
  ask("/state");
})();
