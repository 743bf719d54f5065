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

  listen() {
    const canvas = this.canvas;
    let current = null;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const scale = canvas.width / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button || !event.isPrimary) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      if (this.base.example) this.begin({}); // an example that nobody chose makes room
      const erases = this.erases || event.buttons === 32; // the other end of a pen
      current = { points: [], erases };
      this.add(current);
      if (this.strokes === 1) this.draw();
      const unit = Math.max(canvas.width, canvas.height) / SIDE;
      current.width = (erases ? 24 : this.width) * unit;
      current.points.push(place(event));
      this.stroke(current);
      this.changed(false);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!current || !event.isPrimary) return;
      const from = current.points.length;
      const parts = event.getCoalescedEvents?.() ?? [];
      current.points.push(...(parts.length ? parts : [event]).map(place));
      this.stroke(current, from);
      this.changed(false);
    });
    const end = (event) => {
      if (!current || !event.isPrimary) return;
      current = null;
      this.draw(); // smooth where it was joined
      this.changed(true);
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
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
