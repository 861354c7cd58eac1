// The time of a drive: plays as far as is known, stops, is dragged; in steps.
export class Clock {
  constructor(changed) {
    this.changed = changed;
    this.step = 0;
    this.known = 0; // so many steps have come from the server
    this.pace = 120; // steps a second
    this.playing = false;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  begin() {
    this.step = this.known = 0;
    this.over = false;
    this.play();
    this.jumps = this.still.matches; // nothing moves by itself; who presses play wants it to
  }

  play() {
    this.jumps = false;
    if (this.over && this.step >= this.known) this.step = 0;
    this.playing = true;
    this.run();
    this.changed();
  }

  run() {
    this.last = performance.now();
    if (!this.frame) this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  pause() { this.playing = false; this.changed(); }

  seek(step) { this.playing = false; this.step = Math.min(step, this.known); this.changed(); }

  reach(known, over) { // more has come
    this.known = known;
    this.over = over;
    if (this.playing && this.jumps) {
      this.step = known;
      this.playing = !over;
    } else if (this.playing && !this.frame) this.run();
    this.changed();
  }

  get ended() { return this.over && this.step >= this.known; }

  tick(now) {
    this.frame = 0;
    if (!this.playing || this.jumps) return;
    const passed = Math.max(0, now - this.last) / 1000; // a frame may be older than its wish
    this.step = Math.min(this.step + passed * this.pace, this.known);
    this.last = now;
    if (this.ended) this.playing = false;
    else this.frame = requestAnimationFrame((next) => this.tick(next));
    this.changed();
  }
}
