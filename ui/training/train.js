// The form for a new training, and the runs. `element`, `props` and `trigger` come from Gradio, `ask` from ask.js and
// `chart` from chart.js.

const { tasks, layouts, sizes } = props.value;
const find = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
const button = (name) => find(`[data-do=${name}]`);
const SECONDS_BETWEEN = 2;

let runs = [];
let folders = [];
let name = null; // of the run that is shown; null: the form
let run = null; // all that is known of it
let checked = null; // the question of the last check: a training begins with the same
let going = 0; // how many things that take a while
let lost = false; // whether the last question about it was not answered
let grid = null; // the samples that are looked at; null: always the newest

function make(tag, facts = {}, ...children) {
  const made = Object.assign(document.createElement(tag), facts);
  made.append(...children.filter((child) => child));
  return made;
}

function say(text, bad = false) {
  find(".status").textContent = text;
  find(".status").classList.toggle("bad", bad);
}

// Do something that takes a while; what goes wrong becomes one sentence.
async function busy(text, work) {
  say(text);
  going += 1;
  steps();
  try {
    await work();
    if (find(".status").textContent === text) say(""); // what others said stays
  } catch (error) {
    say(error.message, true);
  }
  going -= 1;
  steps();
}

const get = async (path) => (await ask(`train/${path}`, {})).json();
const post = async (path, value) =>
  (await ask(`train/${path}`, {}, { method: "POST", body: value ? JSON.stringify(value) : undefined })).json();

function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return word("train.seconds", { n: Math.round(seconds) });
  return minutes < 90 ? word("train.minutes", { n: minutes }) : word("train.hours", { n: number(minutes / 60) });
}

function options(list, rows) {
  const before = list.value;
  list.replaceChildren(...rows.map(([text, value]) => new Option(text, value)));
  if (rows.some(([, value]) => String(value) === before)) list.value = before;
}

// --- the form

const task = () => tasks.find((one) => one.name === find(".task").value);

function question() {
  const wanted = { task: task().name, folder: find(".folder").value };
  if (task().pairs) wanted.layout = find(".layout").value;
  if (task().labels && find(".labels input").checked) wanted.labels = true;
  return wanted;
}

function plan() {
  const found = { ...question(), preset: find(".preset").value, start_from: find(".start").value };
  found[find(".unit").value] = +find(".amount").value;
  if (find(".size").value) found.image_size = +find(".size").value;
  return found;
}

// What depends on the task.
function choose() {
  const { name, presets, pairs, labels } = task();
  find(".needs").textContent = word("train.needs", { needs: word(`task.${name}.needs`) });
  find(".layouts").hidden = !pairs;
  find(".labels").hidden = !labels;
  options(find(".preset"), presets.map((preset) => [word(`train.preset.${preset}`), preset]));
  aboutPreset();
  steps();
}

function aboutPreset() {
  const preset = find(".preset").value;
  const { starts } = task();
  const suited = starts.filter(({ presets }) => presets.includes(preset));
  options(find(".start"), [[word("train.from_nothing"), ""], ...suited.map((start) => [start.title, start.name])]);
  const alone = starts.length && !suited.length ? [word("train.no_start")] : [];
  find(".about-preset").textContent = [word(`train.about.${preset}`), ...alone].join(" ");
  const minutes = find(".unit").value === "minutes";
  find(".advice").textContent = word(minutes ? "train.advice_minutes" : "train.advice_pictures");
}

// The later steps open when the pictures have been looked at. While something goes on, nothing else is begun.
function steps() {
  find(".train").setAttribute("aria-busy", going > 0);
  const ready = checked && JSON.stringify(checked) === JSON.stringify(question());
  all(".later").forEach((step) => {
    step.toggleAttribute("inert", !ready);
    step.classList.toggle("closed", !ready);
  });
  find(".checked").hidden = !ready;
  button("check").classList.toggle("primary", !ready);
  button("check").disabled = going > 0 || !find(".folder").value;
  const running = runs.find(({ state }) => state === "running");
  find(".waits").hidden = !running;
  find(".waits").textContent = running ? word("train.one_at_a_time", { name: running.name }) : "";
  button("start").disabled = going > 0 || !ready || Boolean(running);
  button("resume").disabled = button("export").disabled = going > 0;
}

function check() {
  const asked = question();
  return busy(word("train.checking"), async () => {
    const found = await post("check", asked);
    const { counts, sizes: table, labels } = found.splits[0];
    const parts = Object.entries(counts).map(([what, count]) => `${number(count)} ${word(`train.count.${what}`)}`);
    const middle = Object.values(table).find(({ median }) => median)?.median;
    if (middle) parts.push(word("train.median", { width: middle[0], height: middle[1] }));
    const kinds = Object.entries(labels).map(([kind, count]) => `${kind}: ${number(count)}`);
    find(".verdict").textContent = [...parts, ...kinds].join(" · ");
    const { findings } = found;
    find(".findings").replaceChildren(...(findings.length ? findings : [null]).map((finding) => finding
      ? make("li", { className: "bad" }, `${finding.text}.`, finding.names.length && make("details", {},
        make("summary", { textContent: word("train.which") }), ...finding.names.map((file) => make("code", { textContent: file }))))
      : make("li", { className: "good", textContent: word("train.nothing_wrong") })));
    find(".contact").src = found.sheet;
    find(".contact").hidden = !found.sheet;
    checked = asked;
  });
}

function start() {
  return busy(word("train.starting"), async () => {
    const started = await post("start", plan());
    await list();
    await show(started.name);
  });
}

// --- the runs

let lists = 0; // how often was asked
async function list() {
  const turn = ++lists, found = await get("state");
  if (turn !== lists) return; // what was asked for later is newer
  ({ folders, runs } = found);
  folders.sort((a, b) => (a.name === ".") - (b.name === ".")); // the whole is rarely meant
  options(find(".folder"), folders.map(({ name, title, pictures }) => [`${title} (${number(pictures)})`, name]));
  chips();
  choose();
}

function chips() {
  const chip = (text, state, chosen) => {
    const made = make("button", { type: "button", textContent: text, className: state });
    made.setAttribute("aria-pressed", name === chosen);
    made.addEventListener("click", () => show(chosen));
    return made;
  };
  const old = runs.map(({ name, state }) => chip(`${name} · ${word(`train.state.${state}`)}`, state, name));
  find(".trainings").replaceChildren(chip(`+ ${word("train.new")}`, "", null), ...old);
  find(".trainings").hidden = !runs.length;
}

async function show(chosen) {
  name = chosen;
  grid = null;
  run = null;
  say(name || folders.length ? "" : word("train.no_folders"));
  chips();
  find(".new").hidden = Boolean(name);
  find(".run").hidden = true;
  if (name) await look();
  else steps();
}

// Fetch how the shown run is going.
async function look() {
  const asked = name;
  try {
    const found = await get(`run/${asked}`);
    if (asked !== name) return;
    if (lost) say("");
    lost = false;
    draw(found);
  } catch (error) {
    if (asked !== name) return;
    lost = true;
    say(error.message, true);
  }
}

function draw(found) {
  const before = run?.state;
  run = found;
  find(".run").hidden = false;
  find(".run .name").textContent = run.name;
  find(".facts").textContent = [
    word(`task.${run.task}.name`),
    word("train.from_folder", { folder: run.folder }),
    word(`train.preset.${run.preset}`),
    run.minutes ? duration(60 * run.minutes) : word("train.pictures_n", { n: number(run.pictures) }),
  ].join(" · ");
  const { state, share, images, learns_from: learns } = run;
  const percent = state === "finished" ? 100 : Math.floor(100 * share);
  find(".bar i").style.width = `${Math.max(percent, images ? 1 : 0)}%`;
  find(".bar").setAttribute("aria-valuenow", percent);
  find(".bar").className = `bar ${state}`;
  const now = run.stopping ? "stopping" : state === "running" && !learns.train ? "preparing" : state;
  const line = [word(`train.state.${now}`)];
  if (learns.train) line.push(`${percent} %`, word("train.seen", { n: number(images), of: number(learns.train) }));
  if (run.seconds_left !== null && images && !run.stopping) line.push(word("train.left", { time: duration(run.seconds_left) }));
  if (run.skipped) line.push(word("train.skipped", { n: run.skipped }));
  find(".progress").textContent = line.join(" · ");
  button("stop").hidden = state !== "running";
  button("stop").disabled = run.stopping;
  button("resume").hidden = !["stopped", "finished"].includes(state);
  button("resume").textContent = word(state === "finished" ? "train.longer" : "train.resume");
  button("export").hidden = !["stopped", "finished"].includes(state);
  button("export").textContent = word(run.exported.length ? "train.export_again" : "train.export");
  button("export").classList.toggle("primary", !run.exported.length);
  warnings();
  exported();
  samples();
  curves(".seen .charts", run.metrics, ({ title, text, better }) =>
    ({ title, note: word(`train.better.${better.replaceAll(" ", "_")}`), text, what: word("train.what_it_means") }));
  find(".losses").hidden = !run.losses.length;
  curves(".losses .charts", run.losses, ({ name: player }) => ({ title: word(`train.player.${player}`) }));
  if (before === "running" && state !== "running") list().catch((error) => say(error.message, true));
}

// Charts are drawn again only when there is more to show: somebody may be reading them.
function curves(selector, charts, facts) {
  const box = find(selector);
  const shown = `${run.name} ${JSON.stringify(charts)}`;
  if (box.shown === shown) return;
  box.shown = shown;
  box.replaceChildren(...charts.map((one) => chart({ ...facts(one), curves: one.curves, x: word("train.pictures") })));
}

function warnings() {
  const rows = run.warnings.map(({ text, now }) => make("li", { className: now ? "bad" : "past" },
    make("strong", { textContent: word(now ? "train.warning" : "train.warning_past") }), ` ${text}.`));
  if (run.message) rows.unshift(make("li", { className: "bad" }, make("strong", { textContent: word("train.ended") }), ` ${run.message}`));
  find(".warnings").replaceChildren(...rows);
}

function samples() {
  const { samples: grids } = run;
  const box = find(".samples");
  box.hidden = !grids.length;
  if (!grids.length) return;
  const slider = box.querySelector("input");
  slider.max = grids.length - 1;
  slider.hidden = grids.length < 2;
  const at = grid === null ? grids.length - 1 : Math.min(grid, grids.length - 1);
  slider.value = at;
  box.querySelector("strong").textContent = word("train.samples_after", { n: number(grids[at]) });
  const address = new URL(`train/run/${run.name}/sample/${grids[at]}`, document.baseURI).href;
  const image = box.querySelector("img");
  if (image.src !== address) image.src = address;
  image.alt = word("train.samples_after", { n: number(grids[at]) });
  box.querySelector("a").href = address;
}

function exported() {
  const row = ({ batch, height, width, device, largest, full, share, controls }) => make("tr", {},
    ...[`${batch > 1 ? `${batch} x ` : ""}${width} x ${height}`, device, controls, `${largest} / ${full}`, `${number(100 * share)} %`]
      .map((text) => make("td", { textContent: text })));
  find(".exported").replaceChildren(...run.exported.map(({ file, bytes, parity }) => {
    const use = make("button", { type: "button", className: "primary", textContent: word("models.use") });
    use.addEventListener("click", () => {
      const chosen = JSON.parse(localStorage.getItem("translate.models") ?? "{}");
      const task = run.task;
      if (!file.endsWith("-back.onnx")) localStorage.setItem("translate.models", JSON.stringify({ ...chosen, [task]: file }));
      window.dispatchEvent(new CustomEvent("translate-model", { detail: { command: file } }));
      trigger("select", { command: file });
    });
    const worst = Math.max(...parity.map(({ largest }) => largest), 0);
    const heads = ["train.parity_size", "train.parity_device", "train.parity_controls", "train.parity_largest", "train.parity_share"].map((key) => make("th", { textContent: word(key) }));
    return make("article", {},
      make("div", {}, make("strong", { textContent: file }), make("p", { textContent: `${number(bytes / 1e6)} MB` })), use,
      parity.length && make("details", {},
        make("summary", { textContent: word("train.parity", { worst, full: parity[0].full }) }),
        make("p", { className: "hint", textContent: word("train.parity_about") }),
        make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...parity.map(row)))));
  }));
}

// --- events

const told = (path, text, after) => () => busy(word(text), async () => {
  const asked = name, found = await post(`run/${asked}/${path}`);
  if (asked === name) draw(found); // another may be shown by now
  await after?.();
});
const actions = {
  check,
  start,
  stop: told("stop", "train.stopping"),
  resume: told("resume", "train.starting", list),
  export: told("export", "train.exporting", () => trigger("change")),
};
for (const [key, act] of Object.entries(actions)) {
  button(key).addEventListener("click", act);
}
options(find(".task"), tasks.map(({ name }) => [word(`task.${name}.name`), name]));
options(find(".layout"), layouts.map((layout) => [word(`train.layout.${layout}`), layout]));
options(find(".unit"), [[word("train.unit_minutes"), "minutes"], [word("train.unit_pictures"), "pictures"]]);
options(find(".size"), [[word("train.size_preset"), ""], ...sizes.map((size) => [`${size} x ${size}`, size])]);
find(".unit").addEventListener("change", () => {
  find(".amount").value = find(".unit").value === "minutes" ? 120 : 50000;
  aboutPreset();
});
find(".task").addEventListener("change", choose);
find(".preset").addEventListener("change", aboutPreset);
for (const selector of [".folder", ".layout", ".labels input"]) find(selector).addEventListener("change", steps);
find(".samples input").addEventListener("input", (event) => {
  grid = +event.target.value === run.samples.length - 1 ? null : +event.target.value;
  samples();
});

const visible = () => element.isConnected && find(".train").offsetParent !== null;
setInterval(() => {
  if (visible() && !document.hidden && run?.state === "running") look();
}, 1000 * SECONDS_BETWEEN);

list().then(() => {
  const latest = runs.find(({ state }) => state === "running") ?? runs[0];
  return show(latest && latest.state !== "failed" ? latest.name : null);
}).catch((error) => say(error.message, true));
