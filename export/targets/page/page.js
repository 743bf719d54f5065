// The page: what is drawn or opened goes to the worker, and its answer is shown. The newest wish waits for the one that
// is being worked on; those between are forgotten.

const WORDS = {
  "look.brightness": "Brightness", "look.dark": "dark", "look.light": "light", "look.hue": "Hue",
  "look.colour": "Colour", "look.grey": "grey", "look.strong": "strong",
  "look.contrast": "Contrast", "look.soft": "soft", "look.hard": "hard",
  "look.texture": "Texture", "look.smooth": "smooth", "look.rough": "rough",
};
const MOST_PIXELS = 64e6; // of a result; more is too much for the canvas of some browsers
const MOST_SIDE = 16384;

const word = (key) => WORDS[key]; // for look.js
const find = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const button = (name) => find(`[data-do=${name}]`);
const main = find("main"), input = find("canvas.input"), output = find("canvas.output");
const draws = main.dataset.draws === "true";

let model = null, worker = null, sheet = null, look = null;
let label = 0, chosen = null, stem = "drawing", opened = null;
let working = false, waiting = false, number = 0;

function say(text, bad = false) {
  const status = find(".status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

function progress(done, of) {
  const bar = find("progress");
  bar.hidden = done >= of;
  [bar.max, bar.value] = [of, done];
}

// --- the worker

function begin() {
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => heard(data);
  worker.onerror = (event) => heard({ failed: event.message || "the browser does not support it" });
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

function heard({ id, picture, error, done, of, loaded, ready, failed }) {
  if (failed) {
    end();
    say(`The model cannot run in this browser: ${failed}`, true);
  } else if (loaded) {
    progress(loaded, of);
    say(`Loading the model: ${megabytes(loaded)} of ${megabytes(of)} MB`);
    if (loaded >= of) say("Starting the model ...");
  } else if (ready) {
    main.dataset.runs = ready;
    say(working && !draws ? "Working ..." : ""); // drawings follow the pen, without a word
  } else if (id !== number) {
    return;
  } else if (done !== undefined) {
    if (of > 1) progress(done, of);
  } else {
    finished(picture, error);
  }
}

function end() {
  worker?.terminate(); // whatever it was doing, it may be out of memory
  worker = null;
  working = waiting = false;
  progress(1, 1);
  find(".result").setAttribute("aria-busy", false);
}

function finished(picture, error) {
  if (error) {
    const { width, height } = draws ? input : opened;
    const newer = waiting;
    end();
    if (newer) return changed();
    return say(error === "memory"
      ? `There is not enough memory for a picture of ${width} x ${height} pixels; choose a smaller one.`
      : `The picture cannot be converted: ${error}`, true);
  }
  working = false;
  progress(1, 1);
  find(".result").setAttribute("aria-busy", false);
  if (waiting) changed();
  if (draws && sheet.blank) return;
  [output.width, output.height] = [picture.width, picture.height];
  output.getContext("2d").putImageData(new ImageData(picture.data, picture.width, picture.height), 0, 0);
  output.hidden = false;
  find(".result").style.aspectRatio = `${picture.width} / ${picture.height}`;
  find(".size").textContent = `${picture.width} x ${picture.height} pixels`;
  button("save").disabled = false;
  main.dataset.made = +main.dataset.made + 1;
  say("");
}

// --- what is asked for

// The pixels to convert: a drawing lies on white paper.
function pixels() {
  const source = draws ? input : opened;
  const copy = new OffscreenCanvas(source.width, source.height);
  const pen = copy.getContext("2d");
  if (draws) {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, copy.width, copy.height);
  }
  pen.drawImage(source, 0, 0);
  const { data, width, height } = pen.getImageData(0, 0, copy.width, copy.height);
  return { data, width, height, channels: 4 };
}

function controls() {
  const { spec } = model;
  const found = {};
  if (spec.labels.length) found.label = label;
  if (spec.style_size) found.style = styleOf(look.style);
  if (spec.detail) found.detail = +find("input[aria-describedby=detail]").value;
  return found;
}

// A style is its numbers, or a number that stands for random ones; 0 or nothing is the usual look.
function styleOf(style) {
  if (Array.isArray(style)) return style;
  if (!+style) return model.defaults.style;
  let state = Math.trunc(+style);
  const uniform = () => { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return model.defaults.style.map(() => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

// Something changed; in the middle of a stroke only if nothing is being worked on.
function changed(finishedStroke = true) {
  refresh();
  if (draws ? sheet.blank : !opened) {
    waiting = false;
    output.hidden = true;
    button("save").disabled = true;
    find(".size").textContent = "";
    return say("");
  }
  if (working) {
    waiting ||= finishedStroke;
    return;
  }
  waiting = false;
  if (!worker) begin();
  let picture;
  try {
    picture = pixels();
  } catch {
    return say("There is not enough memory for this picture; choose a smaller one.", true);
  }
  working = true;
  if (main.dataset.runs && !draws) say("Working ...");
  find(".result").setAttribute("aria-busy", true);
  worker.postMessage({ id: ++number, picture, controls: controls() }, [picture.data.buffer]);
}

function refresh() {
  const empty = draws ? sheet.blank : !opened;
  const invitation = draws ? "Draw here, or drop a picture" : "Drop a picture here";
  const example = draws && sheet.base.example;
  find(".hint").textContent = example ? "An example; draw over it to begin your own" : empty ? invitation : "";
  if (!draws) return;
  find(".sheet").classList.toggle("erases", sheet.erases);
  button("undo").disabled = sheet.steps.length < 2;
  button("redo").disabled = !sheet.undone.length;
  button("clear").disabled = sheet.blank;
  all("[data-pen]").forEach((tool) => {
    tool.setAttribute("aria-pressed", !sheet.erases && +tool.dataset.pen === sheet.width);
  });
  find("[data-eraser]").setAttribute("aria-pressed", sheet.erases);
}

function pen(width) {
  sheet.erases = width === null;
  sheet.width = width ?? sheet.width;
  refresh();
}

// --- pictures

// The label that comes with a picture: of an example its own, of others the one that the user has chosen, if any.
async function openPicture(file, { example = false, named = chosen } = {}) {
  if (!file) return;
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    const hint = "is not a picture that this browser can read; try a PNG, JPEG or WebP file";
    return say(`${file.name ?? "This"} ${hint}.`, true);
  }
  const { width, height } = picture, { scale } = model.spec;
  if (width * height * scale ** 2 > MOST_PIXELS || Math.max(width, height) * scale > MOST_SIDE) {
    const most = Math.floor(MOST_PIXELS / scale ** 2 / 1e6);
    const possible = `up to ${most} megapixels and ${MOST_SIDE / scale} pixels a side are possible`;
    return say(`A picture of ${width} x ${height} pixels is too large for this page: ${possible}.`, true);
  }
  stem = (file.name ?? "picture").replace(/\.[^.]*$/, "");
  opened = picture;
  if (named !== null) choose(named);
  if (draws) {
    sheet.begin({ picture, width, height, example });
    if (example) sheet.steps = [sheet.steps[0], sheet.steps.at(-1)];
  } else {
    [input.width, input.height] = [width, height];
    input.getContext("2d").drawImage(picture, 0, 0);
    input.setAttribute("aria-label", stem);
    find(".sheet").style.aspectRatio = `${width} / ${height}`;
  }
  changed();
}

async function sample({ file, label: named }, example) {
  const answer = await fetch(file);
  const blob = await answer.blob();
  if (example && (draws ? !sheet.blank : opened)) return;
  // The first example comes by itself, perhaps after a choice; one without a label gets the choice, or the first.
  const usual = example ? chosen ?? named : named ?? chosen;
  const picture = new File([blob], decodeURIComponent(file.split("/").pop()), { type: blob.type });
  await openPicture(picture, { example, named: usual ?? 0 });
}

function save() {
  output.toBlob((blob) => {
    if (!blob) return say("There is not enough memory to make a file of this result.", true);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${stem}-${model.spec.name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });
}

// --- controls

function choose(index) {
  label = index;
  all(".labels input").forEach((choice) => (choice.checked = +choice.value === index));
}

function offer({ labels, style_size: size, detail }) {
  find(".labels").hidden = !labels.length;
  labels.forEach((title, index) => {
    const choice = Object.assign(document.createElement("input"), { type: "radio", name: "label", value: index });
    const row = document.createElement("label");
    row.append(choice, title);
    choice.addEventListener("change", () => { choose(chosen = index); changed(); });
    find(".labels .choice").append(row);
  });
  choose(0);
  look = new Look(find(".look"), changed);
  look.use({ style: model.style_kind, usual: model.defaults.style });
  button("dice").hidden = !size;
  all(".detail").forEach((part) => (part.hidden = !detail));
  find("input[aria-describedby=detail]").addEventListener("change", () => changed());
  find(".samples").hidden = !model.samples.length;
  model.samples.forEach((facts) => {
    const tile = Object.assign(document.createElement("button"), { type: "button", title: facts.title });
    tile.append(Object.assign(new Image(), { src: facts.file, alt: facts.title, loading: "lazy" }));
    tile.addEventListener("click", () => sample(facts, false));
    find(".strip").append(tile);
  });
}

function listen() {
  const actions = {
    undo: () => sheet.undo(), redo: () => sheet.redo(), clear: () => sheet.clear(), upload: () => find(".file").click(),
    dice: () => look.set(look.random()), plain: () => look.set(null), save,
  };
  for (const [action, act] of Object.entries(actions)) button(action).addEventListener("click", act);
  all("[data-pen]").forEach((tool) => tool.addEventListener("click", () => pen(+tool.dataset.pen)));
  find("[data-eraser]").addEventListener("click", () => pen(null));
  const chooser = find(".file");
  chooser.addEventListener("change", () => { openPicture(chooser.files[0]); chooser.value = ""; });
  const zone = find(".sheet");
  document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  document.addEventListener("dragleave", () => zone.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    openPicture(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => openPicture(event.clipboardData.files[0]));
  document.addEventListener("keydown", (event) => {
    if (!draws || !(event.ctrlKey || event.metaKey) || event.target.closest("input[type=number]")) return;
    const act = { z: event.shiftKey ? actions.redo : actions.undo, y: actions.redo }[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

async function setUp() {
  if (location.protocol === "file:") {
    return say("Browsers open this page only from a web server. In its folder, run: python -m http.server", true);
  }
  if (!window.OffscreenCanvas || !Array.prototype.findLast) throw new Error("this browser is too old for it");
  const answer = await fetch("model.json");
  model = await answer.json();
  if (draws) {
    Object.assign(input, { tabIndex: 0 });
    input.setAttribute("role", "application");
    const keys = "or move with the arrow keys, and put the pen down and lift it with the space bar";
    input.setAttribute("aria-label", `The sheet. Draw with the pen, the mouse or a finger; ${keys}.`);
    sheet = new Sheet(input, changed);
  } else {
    input.setAttribute("role", "img");
    input.setAttribute("aria-label", "No picture yet");
  }
  offer(model.spec);
  listen();
  refresh();
  begin();
  const first = model.samples.at(draws ? -1 : 0); // a first visit shows what this is about
  if (first) await sample(first, true);
}

setUp().catch((error) => say(`The page cannot be set up: ${error.message}`, true));
