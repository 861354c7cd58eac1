// The playground: joins the sentence, the map, the clock and the results to one command.
import { ask, insist } from "./ask.js";
import { Clock } from "./clock.js";
import { Drive } from "./drive.js";
import { fromHash, toHash } from "./link.js";
import { Pointer } from "./pointer.js";
import { Results, describe } from "./results.js";
import { openScene } from "./scene.js";
import { Sentence } from "./sentence.js";

const byId = (id) => document.getElementById(id);
const main = document.querySelector("main");
const state = { bd: null, start: null, walls: [] };
let running = null; // { drive, tracks, target, id }
let spoken = 0, silence = 0;

const lost = (words) => trouble(words);
const known = await insist("/play.json", undefined, lost);
const scene = await openScene(byId("map"));
const colours = new Map(known.robots.map((robot) => [robot.name, robot]));
trouble(known.model_gone ? "The model's folder is gone; the copy in memory goes on driving." : "");

const clock = new Clock(render);
const results = new Results(Number(main.dataset.most), scene.facts.floors, () => {});
const sentence = new Sentence({
  drive, trouble, floors: scene.facts.floors,
  target: (place) => { state.bd = place; changed(); },
  untarget: () => { state.bd = null; changed(); byId("sentence").focus(); },
});
const pointer = new Pointer(scene, state, changed, tell);

function trouble(words) {
  byId("trouble").textContent = words;
  byId("trouble").hidden = !words;
}

function tell(words) { // at most one sentence in 0.7 s, the last one wins
  clearTimeout(silence);
  const wait = Math.max(0, spoken + 700 - performance.now());
  silence = setTimeout(() => { spoken = performance.now(); byId("live").textContent = words; }, wait);
}

function changed() { // something on the map
  scene.target(state.bd ?? running?.named); // where the words alone lead, if they do
  scene.start(pointer?.start ?? scene.facts.start, Boolean(state.start));
  scene.walls(state.walls);
  sentence.target(state.bd);
  byId("clear").hidden = !state.bd && !state.start && !state.walls.length;
}

function drive() {
  const command = { text: sentence.text, ...state, robots: results.names };
  if (!command.robots.length) return trouble("Choose who drives: at least one robot.");
  if (!command.text && !command.bd) return trouble("Say where to go, or click a place on the map.");
  history.replaceState(null, "", toHash(command));
  sentence.remember(command.text);
  trouble("");
  const old = stop();
  running = { tracks: [], target: command.bd, summary: sentence.summary() };
  const mine = running;
  mine.drive = new Drive({ ...command, replaces: old ?? null }, (kind, data) => mine === running && hear(kind, data));
}

function stop() {
  running?.drive.close();
  for (const track of running?.tracks ?? []) track.line.remove();
  return running?.drive.id;
}

function hear(kind, data) {
  const track = data && running.tracks[data.robot];
  if (kind === "begun") begun(data);
  else if (kind === "lost") trouble(data);
  else if (kind === "found") trouble("");
  else if (kind === "refused") { trouble(data); running.tracks = []; }
  else if (kind === "poses") {
    track.poses.splice(data.at, Infinity, ...data.pose);
    for (const step of data.bumps) {
      if (!track.bumps.length || step - track.bumps.at(-1) > 10) track.events.push({ step, bump: true, track });
      track.bumps.push(step);
    }
  } else if (kind === "event") {
    const left = data.near === "–" && data.tile === track.tile && data.step < running.steps;
    track.tile = data.tile;
    if (!left) track.events.push({ ...data, track }); // that something is left behind is no news
  }
  else if (kind === "verdict") { track.verdict = data; track.ended = true; }
  else if (kind === "failure") { track.failure = data.reason; track.ended = true; }
  if (running.tracks.length) {
    const ahead = running.tracks.filter((t) => !t.ended).map((t) => t.poses.length - 1);
    const most = Math.max(...running.tracks.map((t) => t.poses.length - 1), 0);
    clock.reach(Math.max(0, Math.min(most, ...ahead)), !ahead.length);
  }
}

function begun({ robots, target, steps, id }) {
  for (const track of running.tracks) track.line.remove();
  const alone = robots.length === 1;
  running.tracks = robots.map((name) => {
    const { colour, label } = colours.get(name);
    return { name, label, colour, poses: [], events: [], bumps: [], line: scene.track(alone ? null : colour, steps) };
  });
  Object.assign(running, { target, id, steps, heard: 0, named: running.drive.command.bd ? null : target });
  byId("step").max = steps;
  results.begin(running.tracks);
  changed();
  for (const link of document.querySelectorAll("#save a")) {
    link.href = `/drives/${id}/picture.${link.dataset.kind}`;
    link.download = `drive.${link.dataset.kind}`;
  }
  if (running.summary) tell(`Understood: ${running.summary}. Driving.`);
  clock.begin();
}

function render() {
  const ready = Boolean(running?.tracks.length);
  document.body.dataset.state = !ready ? "waiting" : clock.ended ? "over" : "driving";
  byId("pause").disabled = byId("step").disabled = byId("link").disabled = !ready;
  byId("pause").classList.toggle("playing", clock.playing);
  byId("pause").setAttribute("aria-label", clock.playing ? "Pause" : "Play");
  for (const link of document.querySelectorAll("#save a")) link.setAttribute("aria-disabled", String(!ready || !clock.over));
  if (!ready) return;
  const step = Math.floor(clock.step);
  byId("step").value = step;
  byId("clock").textContent = `${step} / ${running.steps}`;
  for (const track of running.tracks) track.line.show(track.poses, clock.step, track.bumps);
  results.show(running.tracks, clock.step, running.target, clock.ended);
  speak(step);
}

function speak(step) { // the first robot's events, and its end, for those who listen
  const [track] = running.tracks, due = track.events.filter((event) => event.step <= step).length;
  if (due > running.heard) tell(describe(track.events[due - 1]));
  running.heard = due;
  if (clock.ended && !running.told && track.verdict) {
    running.told = true;
    const { score, reasons, distance } = track.verdict;
    tell(`Over. Obeyed to ${Math.round(100 * score)} percent: ${reasons}.${distance ? ` ${Math.round(distance.units)} units from the target.` : ""}`);
  }
}

function follow() { // the command in the address
  const { robots, text, ...rest } = fromHash(location.hash);
  Object.assign(state, rest);
  results.choose(robots);
  sentence.set(text);
  changed();
  if (text || rest.bd) drive();
}

async function copy() {
  try {
    await navigator.clipboard.writeText(location.href);
    byId("link").textContent = "Copied";
  } catch {
    byId("link").textContent = "It is in the address bar";
  }
  tell("The address of this page holds the command");
  setTimeout(() => { byId("link").textContent = "Copy link"; }, 2500);
}

byId("pause").addEventListener("click", () => (clock.playing ? clock.pause() : clock.play()));
byId("step").addEventListener("input", () => clock.seek(Number(byId("step").value)));
byId("pace").addEventListener("change", () => { clock.pace = Number(byId("pace").value); });
byId("link").addEventListener("click", copy);
byId("clear").addEventListener("click", () => {
  Object.assign(state, { bd: null, start: null, walls: [] });
  changed();
  scene.svg.focus();
});
for (const link of document.querySelectorAll("#save a")) {
  link.addEventListener("click", (event) => link.getAttribute("aria-disabled") === "true" && event.preventDefault());
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.bd) { state.bd = null; changed(); tell("no target"); }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id !== "sentence") drive();
});
addEventListener("hashchange", follow);
setInterval(async () => { // the folder may vanish while the page is open
  const now = document.hidden ? null : await ask("/play.json").catch(() => null);
  if (now?.model_gone && !known.model_gone) trouble("The model's folder is gone; the copy in memory goes on driving.");
  if (now) known.model_gone = now.model_gone;
}, 15000);
document.body.dataset.ready = "yes";
render();
changed();
follow();
