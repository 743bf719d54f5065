// Connects the sheet, the look and the result. `element` and `props` come from Gradio.

const config = props.value;
const find = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
const button = (name) => find(`[data-do=${name}]`);
let model = config.models[0];
let label = null;
let lifted = 0; // when the pen was lifted

const sheet = new Sheet(find("canvas"), changed);
const look = new Look(find(".look"), changed);
const live = new Live({ drawing: () => (sheet.blank ? null : sheet.png(512)), settings, show, busy: awaited });
const others = new Live({}); // its number and tab, for the variations

function settings() {
  return { model: model.index, label, style: look.text };
}

function awaited(on) {
  find(".result").setAttribute("aria-busy", on);
}

function say(text, bad = false) {
  const status = find(".status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

function changed(finished) {
  if (finished) lifted = performance.now();
  say(""); // what was said before is of no interest any more
  refresh();
  if (sheet.blank) find(".result img").hidden = true;
  live.changed(finished);
}

// Show a picture, or why there is none.
async function show(answer) {
  if (answer instanceof Error) return say(answer.message, true);
  const image = find(".result img");
  const old = image.src;
  const next = new Image();
  next.src = URL.createObjectURL(answer);
  await next.decode();
  if (sheet.blank) return URL.revokeObjectURL(next.src); // cleared meanwhile
  image.src = next.src;
  image.hidden = false;
  find(".result").style.aspectRatio = find(".sheet").style.aspectRatio;
  if (old) URL.revokeObjectURL(old);
  find(".result").dataset.milliseconds = Math.round(performance.now() - lifted);
  find(".result").dataset.pictures = +(find(".result").dataset.pictures ?? 0) + 1;
}

function refresh() {
  const { base, strokes, blank } = sheet;
  const { opened, mode } = base;
  find(".sheet").classList.toggle("erases", sheet.erases);
  find(".hint").textContent = base.example ? word("sketch.example_hint") : blank ? word("sketch.hint") : "";
  button("undo").disabled = sheet.steps.length < 2;
  button("redo").disabled = !sheet.undone.length;
  button("clear").disabled = blank;
  all("[data-pen]").forEach((pen) => press(pen, !sheet.erases && +pen.dataset.pen === sheet.width));
  press(find("[data-eraser]"), sheet.erases);
  const note = mode === "lines" ? word("sketch.these_lines") : base.file && strokes ? word("sketch.drawn_over", sheet.size) : "";
  find(".opened").hidden = !opened;
  find(".opened .name").textContent = note ? `${base.name}. ${note}` : (base.name ?? "");
  all(".opened input").forEach((choice) => (choice.checked = choice.value === mode));
  find(".underlay").hidden = mode !== "trace";
  if (mode === "trace") find(".underlay").src = opened.plain.src;
}

function press(toggle, on) {
  toggle.setAttribute("aria-pressed", on);
}

// Do something that takes a while, with a message; what goes wrong becomes one sentence.
let going = 0; // how much of this is going on
async function busy(text, work) {
  say(text);
  element.firstElementChild.setAttribute("aria-busy", ++going > 0);
  try {
    const told = await work();
    if (told || find(".status").textContent === text) say(told ?? ""); // what others said stays
  } catch (error) {
    say(error.message, true);
  }
  element.firstElementChild.setAttribute("aria-busy", --going > 0);
}

const picture = async (address) => {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
};

// --- pictures

let newest = 0; // of what was asked for last, to put it on the sheet: others may come later and are too late

function open(file) {
  if (!file) return;
  if (file.size > config.most_bytes) return say(word("page.too_large", { megabytes: config.most_bytes / 1e6 }), true);
  const turn = ++newest;
  return busy(word("sketch.reading"), async () => {
    const wanted = { ...settings(), style: "", name: file.name };
    const found = await (await ask("sketch/picture", wanted, { method: "POST", body: file })).json();
    const [plain, lines] = await Promise.all([found.picture, found.lines].map(picture));
    if (turn === newest) use(found.drawing ? "drawing" : "lines", { name: file.name, file, plain, lines });
  });
}

// Use the picture that was opened in one of three ways.
function use(mode, opened = sheet.base.opened) {
  const { plain, lines, file, name } = opened;
  const size = { width: plain.naturalWidth, height: plain.naturalHeight };
  const used = { drawing: { picture: plain, file }, lines: { picture: lines }, trace: {} }[mode];
  sheet.begin({ ...used, ...size, name, opened, mode });
  changed(true);
}

async function example(number, chosen) {
  const sample = model.samples[number], turn = ++newest;
  return busy("", async () => {
    const file = await (await ask(`sketch/sample/${model.index}/${number}`, {})).blob();
    const shown = await picture(URL.createObjectURL(file));
    if (turn !== newest || (!chosen && !sheet.blank)) return;
    if (model.labels.some(({ name }) => name === sample.label)) choose(sample.label); // the model may be another by now
    const facts = { file, name: sample.name, example: !chosen };
    sheet.begin({ picture: shown, width: shown.naturalWidth, height: shown.naturalHeight, ...facts });
    if (!chosen) sheet.steps = [sheet.steps[0], sheet.steps.at(-1)];
    changed(true);
  });
}

// --- results

// What `translate convert` is given: the file that was opened, or what was drawn.
const untouched = () => sheet.base.file && !sheet.strokes;
const original = async () => (untouched() ? sheet.base.file : sheet.png());
function name() {
  const { name = "" } = sheet.base;
  return untouched() ? name : `${name.replace(/\.[^.]*$/, "") || config.input}.png`;
}

function download(blob, as) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = as;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function save() {
  if (sheet.blank) return say(word("sketch.empty"), true);
  return busy(word("sketch.saving"), async () => {
    const wanted = { ...settings(), name: name(), format: find(".format").value, credentials: signs() ? "on" : "off" };
    const answer = await ask("sketch/file", wanted, { method: "POST", body: await original() });
    download(await answer.blob(), decodeURIComponent(answer.headers.get("X-Name")));
    return decodeURIComponent(answer.headers.get("X-Notes") ?? "");
  });
}

let liked = null; // the photograph that was chosen last
function like(file) {
  if (!file) return;
  if (sheet.blank) return say(word("sketch.empty"), true);
  if (file.size + 1e6 > config.most_bytes) return say(word("page.too_large", { megabytes: config.most_bytes / 1e6 }), true);
  const asked = model, wanted = settings();
  liked = file;
  return busy(word("sketch.matching"), async () => {
    const body = new FormData();
    body.append("drawing", await sheet.png(512));
    body.append("photo", file);
    const found = await (await ask("sketch/look", wanted, { method: "POST", body })).json();
    if (model === asked && liked === file) look.set(found.style);
  });
}

async function six() {
  if (sheet.blank) return say(word("sketch.empty"), true);
  const box = find(".six");
  box.hidden = false;
  const tiles = Array.from({ length: 6 }, (_, number) => {
    const tile = Object.assign(document.createElement("button"), { type: "button", disabled: true });
    tile.setAttribute("aria-label", word("sketch.variation", { number: number + 1 }));
    return tile;
  });
  box.replaceChildren(...tiles);
  const wanted = settings(), body = await sheet.png(512);
  for (const tile of tiles) {
    if (!tile.isConnected) return; // asked for again, or another model was chosen
    const style = look.random();
    const text = Array.isArray(style) ? style.join(",") : style;
    try {
      const path = `sketch/live/${others.tab}/${++others.number}`;
      const answer = await ask(path, { ...wanted, style: text }, { method: "POST", body });
      if (answer.status !== 200) return;
      tile.append(await picture(URL.createObjectURL(await answer.blob())));
      tile.disabled = false;
      tile.onclick = () => look.set(style);
    } catch (error) {
      if (tile.isConnected) say(error.message, true);
      return;
    }
  }
}

const signs = () => config.credentials && find(".credentials input").checked;

function command() {
  const quoted = (text) => (/^[\w.,=:\/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const words = ["translate", "convert", quoted(name()), "results"];
  words.push("--model", quoted(model.command));
  if (label) words.push("--label", quoted(label));
  if (look.text) words.push(quoted(`--style=${look.text}`));
  const format = find(".format").value;
  if (format !== "same") words.push("--format", format);
  if (signs()) words.push("--credentials", "on");
  return words.join(" ");
}

async function copy() {
  try {
    await navigator.clipboard.writeText(command());
    say(`${word("sketch.copied")} ${command()}`);
  } catch {
    say(command()); // browsers let only secure pages copy
  }
}

// --- the model and its label

function choose(name) {
  label = name;
  all(".labels input").forEach((choice) => (choice.checked = choice.value === name));
  const list = find(".labels select");
  if (list) list.value = name;
}

function labels() {
  const box = find(".labels .choice");
  find(".labels").hidden = !model.labels.length;
  box.replaceChildren();
  box.className = model.labels.length > config.most_buttons ? "choice" : "choice segments";
  const list = document.createElement("select");
  for (const { name, title } of model.labels) {
    if (model.labels.length > config.most_buttons) list.add(new Option(title, name));
    else {
      const choice = Object.assign(document.createElement("input"), { type: "radio", value: name });
      const row = document.createElement("label");
      row.append(choice, title);
      choice.addEventListener("change", () => (choose(name), changed(true)));
      box.append(row);
    }
  }
  if (list.options.length) box.append(list);
  list.addEventListener("change", () => (choose(list.value), changed(true)));
  list.setAttribute("aria-label", word("choice.label"));
  choose(model.labels[0]?.name ?? null);
}

function setModel(index) {
  model = offered[index];
  labels();
  look.use(model);
  for (const name of ["dice", "six"]) button(name).hidden = !model.style;
  button("like").hidden = model.style !== "colours";
  find(".six").hidden = true;
  find(".six").replaceChildren();
  find(".samples").hidden = !model.samples.length;
  find(".strip").replaceChildren(...model.samples.map((sample, number) => {
    const tile = Object.assign(document.createElement("button"), { type: "button", title: sample.title });
    const address = new URL(`sketch/sample/${model.index}/${number}`, document.baseURI).href;
    tile.append(Object.assign(new Image(), { src: address, alt: sample.title, loading: "lazy" }));
    tile.addEventListener("click", () => example(number, true));
    return tile;
  }));
  find(".about").replaceChildren(...model.about.map(([key, facts]) => Object.assign(document.createElement("p"), { textContent: word(key, facts) })));
}

// --- events

const actions = {
  undo: () => sheet.undo(),
  redo: () => sheet.redo(),
  clear: () => sheet.clear(),
  upload: () => find(".file").click(),
  dice: () => look.set(look.random()),
  plain: () => look.set(null),
  like: () => find(".likeness").click(),
  paper: async () => (sheet.blank ? say(word("sketch.empty"), true) : download(await original(), name())),
  six, copy, save,
};
for (const [name, act] of Object.entries(actions)) button(name).addEventListener("click", act);
all("[data-pen]").forEach((pen) => pen.addEventListener("click", () => draws(+pen.dataset.pen)));
find("[data-eraser]").addEventListener("click", () => draws(null));
function draws(width) {
  sheet.erases = width === null;
  sheet.width = width ?? sheet.width;
  refresh();
}
all(".opened input").forEach((choice) => choice.addEventListener("change", () => use(choice.value)));
const group = `use-${live.tab}`;
all(".opened input").forEach((choice) => (choice.name = group));
for (const [kind, act] of [[".file", open], [".likeness", like]]) {
  const chooser = find(kind);
  chooser.accept = config.readable;
  chooser.addEventListener("change", () => { act(chooser.files[0]); chooser.value = ""; });
}

const studio = element.firstElementChild;
const zones = [[find(".sheet"), open], [find(".look"), (file) => button("like").hidden || like(file)]];
for (const [zone, act] of zones) {
  const over = (on) => zone.classList.toggle("over", on);
  zone.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  zone.addEventListener("dragleave", () => over(false));
  zone.addEventListener("drop", (event) => { event.preventDefault(); over(false); act(event.dataTransfer.files[0]); });
}
const shown = () => studio.isConnected && studio.offsetParent !== null;
document.addEventListener("paste", (event) => {
  if (shown() && event.clipboardData.files.length) open(event.clipboardData.files[0]);
});
const KEYS = {
  1: () => draws(2), 2: () => draws(4), 3: () => draws(8), e: () => draws(null), Delete: actions.clear,
  o: actions.upload, r: actions.dice, 0: actions.plain, v: six, s: save,
};
document.addEventListener("keydown", (event) => {
  if (!shown() || event.target.closest("input:not([type=range],[type=radio]), select, textarea, dialog")) return;
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const act = command
    ? { z: event.shiftKey ? actions.redo : actions.undo, y: actions.redo }[key]
    : event.altKey ? null : KEYS[key];
  const needs = { r: "dice", 0: "dice", v: "six" }[key];
  if (!act || (!command && needs && button(needs).hidden)) return;
  event.preventDefault();
  act();
});

// The models to choose from; more may come while the page is open.
const models = find(".models select");
let offered = [];
// Chosen earlier or in another tab, perhaps before it is known here.
let wanted = JSON.parse(localStorage.getItem("translate.models") ?? "{}")[config.task];
function offer() {
  offered = props.value.models;
  models.replaceChildren(...offered.map(({ title }, index) => new Option(title, index)));
  models.value = offered.findIndex(({ index }) => index === model?.index);
  find(".models").hidden = offered.length < 2;
  useWanted();
}
function useWanted() {
  const place = offered.findIndex(({ command }) => command === wanted);
  if (place < 0) return;
  wanted = null;
  if (offered[place].index === model.index) return;
  models.value = place;
  setModel(place);
  changed(true);
}
models.addEventListener("change", () => { setModel(+models.value); changed(true); });
watch("value", offer);
window.addEventListener("translate-model", (event) => {
  wanted = event.detail.command;
  useWanted();
});
config.formats.forEach(([text, value]) => find(".format").add(new Option(value === "same" ? word("choice.same") : text, value)));
find(".credentials").hidden = !config.credentials;
offered = props.value.models;
setModel(0);
offer();
refresh();
if (model.samples.length) example(model.samples.length - 1, false); // a first visit shows what this is about
