// The look of the result: five numbers that mean something, or the number of a style.

const PARTS = [
  { name: "look.brightness", ends: ["look.dark", "look.light"], index: 0 },
  { name: "look.hue", hue: true },
  { name: "look.colour", ends: ["look.grey", "look.strong"], strength: true },
  { name: "look.contrast", ends: ["look.soft", "look.hard"], index: 3 },
  { name: "look.texture", ends: ["look.smooth", "look.rough"], index: 4 },
];
const MOST = 2.5;

const rounded = (number) => Math.round(number * 100) / 100;

class Look {
  constructor(element, changed) {
    this.element = element;
    this.changed = changed;
    this.style = null; // null is the model's usual look, otherwise its numbers, or one number
    const box = element.querySelector(".colours");
    this.inputs = PARTS.map((part) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "range", step: 0.05 });
      [input.min, input.max] = part.hue ? [0, 360] : part.strength ? [0, MOST] : [-MOST, MOST];
      if (part.hue) input.step = 1;
      input.className = part.hue ? "hue" : "";
      const [low, high] = part.ends ?? [];
      const span = (key, kind) => Object.assign(document.createElement("span"), { textContent: key ? word(key) : "", className: kind });
      label.append(span(part.name, "what"), span(low, "low"), input, span(high, "high"));
      box.append(label);
      input.addEventListener("input", () => this.moved(false));
      input.addEventListener("change", () => this.moved(true));
      return input;
    });
    this.number = element.querySelector(".number input");
    this.number.addEventListener("change", () => this.set(this.number.value.trim() || "0", true));
  }

  use(model) {
    this.model = model;
    this.element.hidden = !model.style;
    this.element.querySelector(".colours").hidden = model.style !== "colours";
    this.element.querySelector(".number").hidden = model.style !== "number";
    this.set(null, false);
  }

  // As `translate convert --style` takes it; empty for the usual look.
  get text() {
    return this.style === null ? "" : Array.isArray(this.style) ? this.style.join(",") : String(this.style);
  }

  set(style, tell = true) {
    this.style = style;
    if (this.model.style === "colours") this.place(style ?? this.model.usual);
    else this.number.value = style ?? 0;
    if (tell) this.changed(true);
  }

  // Put the sliders where a style is.
  place(style) {
    this.inputs.forEach((input, i) => {
      const { index, hue } = PARTS[i];
      const angle = (Math.atan2(style[2], style[1]) * 180) / Math.PI;
      input.value = hue ? (angle + 360) % 360 : index === undefined ? Math.hypot(style[1], style[2]) : style[index];
    });
  }

  moved(finished) {
    const [brightness, hue, strength, contrast, texture] = this.inputs.map((input) => +input.value);
    const angle = (hue * Math.PI) / 180;
    this.style = [brightness, strength * Math.cos(angle), strength * Math.sin(angle), contrast, texture].map(rounded);
    this.changed(finished);
  }

  random() {
    if (this.model.style !== "colours") return 1 + Math.floor(Math.random() * 9999);
    return this.model.usual.map(() => {
      const normal = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
      return rounded(Math.max(-2, Math.min(2, normal)));
    });
  }
}
