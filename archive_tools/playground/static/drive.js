// One drive: asked for, listened to, and asked for anew where the server has forgotten it.
import { insist } from "./ask.js";

const KINDS = ["poses", "event", "verdict", "failure"];

export class Drive {
  // `heard(kind, data)` gets every message, and "begun", "lost", "found", "refused", "over".
  constructor(command, heard) {
    this.command = command;
    this.heard = heard;
    this.begin();
  }

  async begin() {
    try {
      const answer = await insist("/drives", this.command, (words) => this.closed || this.heard("lost", words));
      if (this.closed) return;
      this.id = answer.id;
      this.heard("found");
      this.heard("begun", answer);
      this.listen();
    } catch (error) {
      if (!this.closed) this.heard("refused", error.message);
    }
  }

  listen() { // the browser itself comes back to where a broken stream stopped
    const source = new EventSource(`/drives/${this.id}/events`);
    this.source = source;
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => this.heard(kind, JSON.parse(event.data)));
    }
    source.addEventListener("over", () => { source.close(); this.heard("over"); });
    source.addEventListener("open", () => this.heard("found"));
    source.addEventListener("error", () => {
      if (this.closed) return;
      this.heard("lost", "The connection broke; trying again …");
      if (source.readyState === EventSource.CLOSED) this.begin(); // forgotten: another server by now
    });
  }

  close() {
    this.closed = true;
    this.source?.close();
  }
}
