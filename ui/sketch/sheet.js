// The sheet of paper: what was drawn is kept as a list of steps, so that undoing one means drawing the others again.
// A step is a stroke, or a new sheet: blank, or with a picture on it.

const SIDE = 512;

class Sheet {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.changed = changed; // called with true when a stroke is finished, with false while it is drawn
    this.width = 4; // of the pen, on a sheet of 512 pixels
    this.erases = false;
    this.steps = [];
    this.undone = [];
    this.begin({});
    this.listen();
  }

  // The sheet that the strokes lie on.
  get base() {
    return this.steps.findLast((step) => !step.points);
  }

  get strokes() {
    return this.steps.length - 1 - this.steps.lastIndexOf(this.base);
  }

  get blank() {
    return !this.base.picture && !this.strokes;
  }

  // A new sheet; `picture` fills it, and `file` is what it was read from, `name` its name.
  begin({ picture = null, width = SIDE, height = SIDE, ...facts }) {
    this.add({ picture, width, height, ...facts });
    this.draw();
  }

  add(step) {
    this.steps.push(step);
    this.undone = [];
  }

  clear() {
    const { width, height, ...facts } = this.base;
    if (!this.blank) this.begin({ width, height, ...(facts.mode === "trace" ? facts : {}) }); // what is traced stays
    this.changed(true);
  }

  undo() {
    if (this.steps.length < 2) return;
    this.undone.push(this.steps.pop());
    this.draw();
    this.changed(true);
  }

  redo() {
    if (!this.undone.length) return;
    this.steps.push(this.undone.pop());
    this.draw();
    this.changed(true);
  }

  // In pixels. A small picture is enlarged when it is drawn on, since lines need pixels.
  get size() {
    const { width, height } = this.base;
    const factor = this.strokes ? Math.max(1, Math.ceil(SIDE / Math.max(width, height))) : 1;
    return { width: width * factor, height: height * factor };
  }

  draw() {
    const { width, height } = this.size;
    const { picture } = this.base;
    this.canvas.width = width;
    this.canvas.height = height;
    this.canvas.parentElement.style.aspectRatio = `${width} / ${height}`;
    if (picture) this.pen.drawImage(picture, 0, 0, width, height);
    this.steps.slice(this.steps.length - this.strokes).forEach((step) => this.stroke(step));
  }

  // Draw a stroke, or what was added to it after its first `from` points.
  stroke({ points, width, erases }, from = 0) {
    if (!points.length) return;
    const pen = this.pen;
    pen.globalCompositeOperation = erases ? "destination-out" : "source-over";
    pen.lineWidth = width;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = "#000";
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    pen.beginPath();
    const first = Math.max(from - 2, 0);
    pen.moveTo(...(first ? middle(points[first], points[first + 1]) : points[0]));
    for (let i = first + 1; i < points.length - 1; i++) {
      pen.quadraticCurveTo(...points[i], ...middle(points[i], points[i + 1]));
    }
    pen.lineTo(...points.at(-1));
    pen.stroke();
    pen.globalCompositeOperation = "source-over";
  }

  // Begin a stroke; `where` returns its first point, and is asked once the sheet has the size to draw on.
  start(where, erases) {
    if (this.base.example) this.begin({}); // an example that nobody chose makes room
    this.current = { points: [], erases };
    this.add(this.current);
    if (this.strokes === 1) this.draw();
    const unit = Math.max(this.canvas.width, this.canvas.height) / SIDE;
    this.current.width = (erases ? 24 : this.width) * unit;
    this.extend([where()]);
  }

  extend(points) {
    const from = this.current.points.length;
    this.current.points.push(...points);
    this.stroke(this.current, from);
    this.changed(false);
  }

  finish() {
    if (!this.current) return;
    this.current = null;
    this.draw(); // smooth where it was joined
    this.changed(true);
  }

  listen() {
    const canvas = this.canvas;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const scale = canvas.width / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button || !event.isPrimary) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      this.finish();
      this.start(() => place(event), this.erases || event.buttons === 32); // 32: the other end of a pen
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.current || !event.isPrimary || !event.buttons) return;
      const parts = event.getCoalescedEvents?.() ?? [];
      this.extend((parts.length ? parts : [event]).map(place));
    });
    const end = (event) => event.isPrimary && this.finish();
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    this.listenToKeys();
  }

  // A pen that the arrow keys move; the space bar puts it down and lifts it, and so does leaving the sheet.
  listenToKeys() {
    const { canvas } = this, mark = canvas.parentElement.querySelector(".mark");
    const tip = [0.5, 0.5]; // shares of the sheet
    const here = () => [tip[0] * canvas.width, tip[1] * canvas.height];
    const shown = () => {
      mark.hidden = !canvas.matches(":focus-visible");
      mark.classList.toggle("down", Boolean(this.current));
      [mark.style.left, mark.style.top] = tip.map((share) => `${100 * share}%`);
    };
    const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      const way = keys[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || !(way || event.key === " ")) return;
      event.preventDefault();
      if (way) way.forEach((step, i) => (tip[i] = Math.min(1, Math.max(0, tip[i] + step * (event.shiftKey ? 0.1 : 0.02)))));
      else if (this.current) this.finish();
      else this.start(here, this.erases);
      if (way && this.current) this.extend([here()]);
      shown();
    });
    canvas.addEventListener("focus", shown);
    canvas.addEventListener("blur", () => { this.finish(); shown(); });
  }

  // The drawing on white paper as a PNG, its longer side at most `most` pixels.
  png(most = Infinity) {
    const factor = Math.min(1, most / Math.max(this.canvas.width, this.canvas.height));
    const paper = new OffscreenCanvas(
      Math.max(1, Math.round(this.canvas.width * factor)),
      Math.max(1, Math.round(this.canvas.height * factor)),
    );
    const pen = paper.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, paper.width, paper.height);
    pen.drawImage(this.canvas, 0, 0, paper.width, paper.height);
    return paper.convertToBlob({ type: "image/png" });
  }
}
