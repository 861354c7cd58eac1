// The galleries: the drives of one system, sorted by one metric, best first and worst first.
Wayword.ready.drives = (async () => {
  const { byId, chips, eventTable, json, scene, sentence, tag } = Wayword;
  const drives = await json("drives-data");
  const path = Wayword.paths(await Wayword.bytes("drives-paths"), drives.steps, drives.strides);
  const { elites, path: elitePath, explore } = await Wayword.ready.archive;
  const eliteOf = new Map(elites.ids.map((id, i) => [id, i]));
  const STEP = Number(byId("drives-body").dataset.step);
  const who = byId("drives-who"), by = byId("drives-by"), set = byId("drives-set");
  const wanted = () => set ? set.value : drives.items[0].set;
  const setOf = (drive) => drives.items[drives.item[drive]].set;

  function card(drive) {
    const item = drives.items[drives.item[drive]], elite = eliteOf.get(item.reference);
    const known = elite !== undefined;
    const [asked, driven] = drives.routes[drive], instruction = drives.instruction[drive];
    const marks = drives.sorts.filter((s) => s.key !== "obedience" && drives.marks[s.key][drive] !== null)
      .map((s) => s.key === "bd_error" ? `${drives.marks.bd_error[drive].toFixed(1)} % off the target`
        : `${s.name} ${drives.marks[s.key][drive].toFixed(s.decimals)}`);
    return tag("article", { "data-drive": drive, "data-item": item.item },
      tag("div", { class: "scene" }, scene(`Item ${item.item}: driven route, its reference dashed`,
        path(drive), known ? elitePath(elite) : [], drives.positions ? item.target : null)),
      tag("p", { class: "sentence" }, sentence(item.text, item.target)),
      instruction ? tag("p", { class: "marks" }, "Its instruction instead: ", sentence(instruction, item.target)) : null,
      tag("p", { class: "marks" }, marks.join(" · ")),
      drives.reasons[drive] ? tag("p", { class: "marks verdict" }, `Verdict: ${drives.reasons[drive]}`) : null,
      tag("div", { class: "routes" }, tag("span", {}, "asked"), chips(asked),
        tag("span", {}, "driven"), chips(driven)),
      tag("details", {}, tag("summary", {}, "Events"),
        eventTable("Driven", drives.events[drive]),
        ...(known ? [eventTable("Reference", elites.events[elite]),
          tag("p", {}, tag("a", { href: "#archive", onclick: () => explore(item.reference) },
            `Drive ${item.reference} in the archive`))] : [])));
  }

  function sorted() {
    const sort = drives.sorts.find((s) => s.key === by.value);
    const values = drives.marks[sort.key], then = drives.marks.obedience;
    return drives.system.map((_, i) => i)
      .filter((i) => drives.system[i] === Number(who.value) && setOf(i) === wanted() && values[i] !== null)
      .sort((a, b) => (sort.low ? values[a] - values[b] : values[b] - values[a]) || then[b] - then[a]);
  }

  function show() {
    const best = sorted(), worst = [...best].reverse();
    const half = Math.ceil(best.length / 2);
    for (const [name, order, most] of [["obeyed", best, half], ["disobeyed", worst, best.length - half]]) {
      const cards = byId(`${name}-cards`), more = byId(`${name}-more`);
      let count = 0;
      const add = () => {
        const next = order.slice(count, Math.min(count + STEP, most));
        cards.append(...next.map(card));
        count += next.length;
        more.hidden = count >= most;
      };
      cards.replaceChildren();
      more.onclick = add;
      add();
    }
  }

  // Only what there is for these commands: systems that drove them, marks that they have.
  function offer() {
    const rows = drives.system.map((_, i) => i).filter((i) => setOf(i) === wanted());
    const systems = new Set(rows.map((i) => drives.system[i]));
    for (const [choice, has] of [[who, (value) => systems.has(Number(value))],
      [by, (value) => rows.some((i) => drives.marks[value][i] !== null)]]) {
      for (const option of choice.options) option.hidden = option.disabled = !has(option.value);
      if (choice.selectedOptions[0]?.disabled ?? true) {
        choice.value = [...choice.options].find((option) => !option.disabled)?.value;
      }
    }
    show();
  }

  set?.addEventListener("change", offer);
  who.addEventListener("change", show);
  by.addEventListener("change", show);
  offer();
  return { drives, sorted };
})();
