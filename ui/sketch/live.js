// Requests to the program that serves the page. One drawing is on its way, the newest waits, others are forgotten.

class Live {
  // `drawing` returns a promise of the PNG, `settings` what to make of it; `show` takes the picture or an Error,
  // `busy` whether one is awaited.
  constructor({ drawing, settings, show, busy }) {
    Object.assign(this, { drawing, settings, show, busy });
    this.tab = Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16).padStart(2, "0")).join("");
    this.number = 0;
    this.flying = this.waiting = false;
    this.last = -Infinity;
    this.interval = 250;
  }

  // Something changed; `finished` is false in the middle of a stroke, when not every change is worth a request.
  async changed(finished) {
    const now = performance.now();
    if (!finished && now - this.last < this.interval) return;
    this.last = now;
    if (this.flying) {
      this.waiting = true;
      return;
    }
    this.flying = true;
    this.busy(true);
    try {
      do {
        this.waiting = false;
        await this.send();
      } while (this.waiting);
    } finally {
      this.flying = false;
      this.busy(false);
    }
  }

  async send() {
    const body = await this.drawing();
    if (!body) return;
    const begun = performance.now();
    try {
      const answer = await ask(`sketch/live/${this.tab}/${++this.number}`, this.settings(), { method: "POST", body });
      // A slow computer gets fewer drawings in the middle of a stroke.
      this.interval = Math.max(250, 1.5 * (performance.now() - begun));
      if (answer.status === 200) await this.show(await answer.blob());
    } catch (error) {
      if (!this.waiting) await this.show(error); // the newer drawing has its own answer
    }
  }
}
