// A command as the address of a page, and back.
const numbers = (text) => (text ?? "").split(",").map(Number).filter(Number.isFinite);
const short = (values) => values.map((v) => Math.round(v * 100) / 100).join(",");

export function toHash({ text, bd, start, walls, robots }) {
  const parts = new URLSearchParams();
  if (text) parts.set("say", text);
  if (bd) parts.set("at", short(bd));
  if (start) parts.set("from", short(start));
  if (walls.length) parts.set("put", walls.map(short).join(";"));
  if (robots.join() !== "policy") parts.set("who", robots.join());
  return `#${parts}`;
}

export function fromHash(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const bd = numbers(parts.get("at")), start = numbers(parts.get("from"));
  const walls = (parts.get("put") ?? "").split(";").map(numbers).filter((wall) => wall.length === 4);
  const robots = (parts.get("who") ?? "policy").split(",").filter(Boolean);
  return {
    text: parts.get("say") ?? "",
    bd: bd.length === 2 ? bd : null,
    start: start.length === 3 ? start : null,
    walls,
    robots,
  };
}
