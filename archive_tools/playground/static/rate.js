// The rating page: shows one drive at a time and sends its score; the server keeps it first.
import { Lost, ask } from "./ask.js";
import { openScene } from "./scene.js";

const byId = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const still = matchMedia("(prefers-reduced-motion: reduce)");
const SECONDS = 3.5;
const scene = await openScene(byId("map"));
let state = null, busy = false, track = null, motion = 0;

function say(words, wrong = false) {
  byId("said").textContent = words;
  byId("said").classList.toggle("wrong", wrong);
}

async function send(path, body) {
  if (busy) return;
  busy = true;
  for (const button of all("button")) button.disabled = true;
  try {
    state = await ask(path, body);
    show(state.last === null ? "" : `The last one got ${state.last}.`);
  } catch (error) {
    if (error.status === 409) {
      state = error.found;
      show("This drive was rated already, perhaps in another window.");
    } else say(`${error instanceof Lost ? "Not kept: " : ""}${error.message}`, true);
  } finally {
    busy = false;
    for (const button of all("button")) button.disabled = false;
    for (const button of all(".undo")) button.disabled = !state?.rated;
    for (const button of all("#scores .given")) button.classList.remove("given");
  }
}

function show(words) {
  byId("bar").max = state.total;
  byId("bar").value = state.rated;
  byId("progress").textContent = `${state.rated} of ${state.total} rated`;
  byId("rating").hidden = state.number === null;
  byId("over").hidden = state.number !== null;
  say(words);
  track?.remove();
  motion += 1;
  if (state.number === null) return;
  track = scene.track(null, state.path.length - 1);
  scene.target(state.target);
  const [x, y, angle] = state.path[0];
  scene.start([x, y, (angle * Math.PI) / 180], false);
  const quote = document.createElement("q");
  state.words.forEach((part, i) => {
    if (i) {
      const place = document.createElement("span");
      place.textContent = "the cross-hairs";
      quote.append(place);
    }
    quote.append(part);
  });
  byId("words").replaceChildren(quote);
  document.body.dataset.number = state.number;
  drive();
}

function drive() { // once, so that crossings and turns back are clear
  const begun = performance.now(), mine = ++motion, { path } = state, last = path.length - 1;
  if (still.matches) return track.show(path, last);
  const move = (now) => {
    if (mine !== motion) return;
    const share = Math.min(Math.max(now - begun, 0) / (1000 * SECONDS), 1);
    track.show(path, share * last);
    if (share < 1) requestAnimationFrame(move);
  };
  requestAnimationFrame(move);
}

function rate(score) {
  if (busy || state?.number == null) return;
  for (const button of all("#scores button")) button.classList.toggle("given", Number(button.dataset.score) === score);
  send("/rate/score", { number: state.number, score });
}

const undo = () => { if (state?.rated) send("/rate/undo", {}); };
for (const button of all("#scores button")) button.addEventListener("click", () => rate(Number(button.dataset.score)));
for (const button of all(".undo")) button.addEventListener("click", undo);
byId("again").addEventListener("click", drive);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (/^[0-9]$/.test(key)) rate(Number(key));
  else if (key === "x") rate(10);
  else if (key === "u" || key === "backspace") undo();
  else if (key === "r" && state && state.number !== null) drive();
});
send("/rate/state");
