// The batches of this browser: how far they are, and their results. `element` and `props` come from Gradio.

const config = props.value;
const find = (selector, within = element) => within.querySelector(selector);
const ACTIVE = ["waiting", "running"];
const EVERY = 1000; // milliseconds between two looks at a batch that is going on

function say(text, bad = false) {
  const status = find(".go .status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

const address = (path, query = {}) => {
  const url = new URL(path, document.baseURI);
  Object.entries(query).forEach(([name, value]) => value !== "" && value != null && url.searchParams.set(name, value));
  return url;
};

async function ask(path, query, options) {
  const answer = await fetch(address(path, query), options);
  if (!answer.ok) throw new Error(sentence(answer.headers.get("Content-Type"), await answer.text()));
  return answer;
}

// What went wrong: the server's sentence, or ours if it has none.
const sentence = (type, text) => (type?.startsWith("text/plain") && text ? text : word("batch.gone"));

// --- the batches

let works = true;
let timer = 0;
let looks = 0; // how often was looked
const cards = new Map();

async function look() {
  clearTimeout(timer);
  if (document.hidden || !element.offsetParent) return; // `visible` looks again
  const turn = ++looks;
  let going = true;
  try {
    const found = await (await ask("batch/jobs")).json();
    if (turn !== looks) return; // somebody looked later, and will see more
    works = found.works;
    show(found.jobs);
    going = found.jobs.some(({ state }) => ACTIVE.includes(state));
    if (find(".go .status").textContent === word("batch.offline")) say("");
  } catch {
    if (turn !== looks) return;
    say(word("batch.offline"), true);
  }
  clearTimeout(timer);
  if (going) timer = setTimeout(look, EVERY);
}

function show(jobs) {
  find(".banner").hidden = works;
  [".intro", ".drop", ".choices"].forEach((part) => (find(part).hidden = !works));
  find(".none").hidden = jobs.length > 0;
  const ids = new Set(jobs.map(({ id }) => id));
  cards.forEach((card, id) => ids.has(id) || (card.remove(), cards.delete(id)));
  jobs.forEach((job, place) => {
    const list = find(".jobs");
    if (!cards.has(job.id)) cards.set(job.id, card(job));
    if (list.children[place] !== cards.get(job.id)) list.insertBefore(cards.get(job.id), list.children[place] ?? null);
    update(cards.get(job.id), job);
  });
  shown();
}

function card(job) {
  const made = find("template.card").content.firstElementChild.cloneNode(true);
  const name = job.title || word("batch.pictures", { n: job.total });
  find("h3", made).textContent = name;
  find("progress", made).setAttribute("aria-label", word("batch.progress", { name }));
  find(".zip", made).href = address(`batch/jobs/${job.id}/zip`);
  find("code", made).textContent = job.command;
  const change = (what) => () => ask(`batch/jobs/${job.id}/${what}`, {}, { method: "POST" }).catch((error) => say(error.message, true)).then(look);
  find(".stop", made).onclick = change("stop");
  find(".go-on", made).onclick = change("go-on");
  const remove = find(".delete", made);
  remove.onclick = ({ detail }) => {
    if (detail > 1) return; // a double click is one wish, not two
    if (remove.classList.contains("sure")) return change("delete")();
    remove.classList.add("sure");
    remove.textContent = word("batch.delete_sure");
  };
  remove.onblur = () => {
    remove.classList.remove("sure");
    remove.textContent = word("batch.delete");
  };
  find(".more", made).onclick = () => results(made, job.id, find(".grid", made).children.length);
  return made;
}

function left(seconds) {
  if (seconds === null) return "";
  if (seconds < 45) return word("batch.soon");
  if (seconds < 90) return word("batch.minute");
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? word("batch.minutes", { n: minutes }) : word("batch.hours", { n: Math.round(minutes / 60) });
}

function update(made, job) {
  const { state, done, failed, total, part } = job;
  const active = ACTIVE.includes(state);
  made.dataset.state = state;
  const counted = { n: state === "finished" ? done : done + failed, total };
  const rest = state === "running" ? left(job.seconds_left) : "";
  text(find(".state", made), [word(`batch.state.${state}`, counted), rest].filter(Boolean).join(" · "));
  const format = job.format === "same" ? "" : job.format.toUpperCase();
  const when = new Date(job.created * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  text(find(".how", made), [job.model, word("batch.pictures", { n: total }), format, when].filter(Boolean).join(" · "));
  const bar = find("progress", made);
  bar.hidden = state === "finished";
  bar.value = total ? (done + failed + part) / total : 0;
  find(".message", made).hidden = !job.message;
  text(find(".message", made), job.message);
  const failures = find(".failures", made);
  failures.hidden = !failed;
  text(find("summary", failures), word("batch.failures", { n: failed }));
  lines(find("ul", failures), job.failures);
  lines(find(".notes", made), job.notes);
  find(".zip", made).hidden = active || !done;
  find(".zip", made).classList.toggle("primary", state === "finished");
  find(".stop", made).hidden = !active || !works;
  const again = state === "finished" && failed > 0;
  find(".go-on", made).hidden = !works || !(again || state === "stopped" || state === "failed");
  find(".go-on", made).classList.toggle("primary", !again);
  text(find(".go-on", made), word(again ? "batch.again" : "batch.go_on"));
  find(".delete", made).hidden = active || !works;
  gallery(made, job);
}

// Only what differs is written, so that screen readers do not read everything again.
function text(where, what) {
  if (where.textContent !== what) where.textContent = what;
}

function lines(list, texts) {
  if (list.children.length === texts.length) return;
  list.replaceChildren(...texts.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

// --- results

// The first results appear when there are some, and again when the batch has ended.
function gallery(made, job) {
  const { state, done } = job;
  const stage = ACTIVE.includes(state) ? `${Math.min(done, config.shown)}` : `${state} ${done}`;
  if (!done || made.dataset.stage === stage) return;
  made.dataset.stage = stage;
  results(made, job.id);
}

async function results(made, id, from = 0) {
  const turn = (made.turn = (made.turn ?? 0) + 1);
  try {
    const { names, total } = await (await ask(`batch/jobs/${id}/results`, { from })).json();
    if (turn !== made.turn) return; // asked again meanwhile
    const grid = find(".grid", made);
    const known = new Map([...grid.children].map((item) => [item.dataset.name, item]));
    const tiles = names.map((name) => known.get(name) ?? tile(id, name));
    if (from) grid.append(...tiles);
    else grid.replaceChildren(...tiles);
    find(".results", made).hidden = !total;
    find(".more", made).hidden = from + names.length >= total;
  } catch {
    if (turn !== made.turn) return;
    delete made.dataset.stage; // the next look asks again
    clearTimeout(timer);
    timer = setTimeout(look, EVERY);
  }
}

function tile(id, name) {
  const link = Object.assign(document.createElement("a"), { href: address(`batch/jobs/${id}/result`, { name }) });
  Object.assign(link, { target: "_blank", rel: "noopener", title: name });
  const image = Object.assign(document.createElement("img"), { loading: "lazy", alt: name });
  image.src = address(`batch/jobs/${id}/thumbnail`, { name });
  image.onerror = () => {
    // A film, or too large: its name.
    link.classList.add("named");
    link.textContent = name;
  };
  link.append(image);
  const item = document.createElement("li");
  item.dataset.name = name;
  item.append(link);
  return item;
}
