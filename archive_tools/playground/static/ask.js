// Asking the server: JSON there and back; what it refuses, and that it does not answer, are errors.
export class Refused extends Error {}
export class Lost extends Error {}

export async function ask(path, body) {
  let reply;
  try {
    reply = await fetch(path, body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw new Lost("The server does not answer. Is the program in the terminal still running?");
  }
  const found = await reply.json().catch(() => ({ error: `the server answered ${reply.status}` }));
  if (!reply.ok) throw Object.assign(new Refused(found.error), { status: reply.status, found });
  return found;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The same until the server answers; `lost` hears that it does not, once.
export async function insist(path, body, lost) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await ask(path, body);
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      if (tries === 0) lost(error.message);
      await pause(600);
    }
  }
}
