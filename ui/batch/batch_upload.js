// What is to be converted, and how it gets to the server. Follows batch.js, and shares its names.

// --- what is to be converted

let chosen = []; // {file, name}
let models = config.groups.flatMap((group) => group.models);
let uploading = null; // {stopped} while files are sent

const suffix = (name) => (name.match(/[^/.]\.[^/.]*$/)?.[0].slice(1) ?? "").toLowerCase();
const hidden = (name) => name.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
const megabytes = (size) => {
  const digits = { maximumFractionDigits: size < 1e7 ? 1 : 0 };
  return size < 1e9
    ? `${(size / 1e6).toLocaleString(undefined, digits)} MB`
    : `${(size / 1e9).toLocaleString(undefined, { maximumFractionDigits: 1 })} GB`;
};

function add(found) {
  if (uploading) return;
  const visible = found.filter(({ name }) => !hidden(name));
  // A name without a known suffix may still be a picture: the server looks at its first bytes.
  const wrong = visible.filter(({ name }) => suffix(name) && !config.readable.includes(suffix(name)));
  const right = visible.filter((one) => !wrong.includes(one));
  const all = [...chosen, ...right];
  const archives = all.filter(({ name }) => suffix(name) === ".zip").length;
  if (archives && all.length > 1) return say(word("batch.one_archive"), true);
  if (all.reduce((sum, { file }) => sum + file.size, 0) > config.most_bytes) {
    return say(word("batch.too_large", { name: right[0].name, n: config.most_bytes / 2 ** 30 }), true);
  }
  chosen = all;
  const names = wrong.slice(0, 5).map(({ name }) => name).join(", ") + (wrong.length > 5 ? " …" : "");
  say(wrong.length ? word("batch.left_out", { names }) : "", wrong.length > 0 && !right.length);
  shown();
}

// The files of what was dropped, with the folders they are in.
async function entries(transfer) {
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = [];
  const visit = async (entry, path) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      return found.push({ file, name: path + entry.name });
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const one of some) await visit(one, `${path}${entry.name}/`);
    }
  };
  for (const root of roots) await visit(root, "");
  // One folder alone is the batch itself: its name is the title, as in `translate convert FOLDER`.
  if (roots.length === 1 && roots[0].isDirectory) {
    const prefix = `${roots[0].name}/`;
    found.forEach((one) => Object.assign(one, { name: one.name.slice(prefix.length), root: roots[0].name }));
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1));
}

const title = () => {
  const [{ name, root }] = chosen;
  if (root) return root;
  return chosen.length === 1 ? name : word("batch.and_more", { name, n: chosen.length - 1 });
};

function shown() {
  const size = chosen.reduce((sum, { file }) => sum + file.size, 0);
  find(".drop").classList.toggle("filled", chosen.length > 0);
  find(".drop .hint").hidden = chosen.length > 0;
  find(".drop .chosen").hidden = !chosen.length;
  if (chosen.length) {
    find(".drop .chosen").textContent = `${title()} · ${megabytes(size)}`;
  }
  find(".remove").hidden = !chosen.length;
  find(".drop .buttons").hidden = uploading !== null;
  const start = find(".go .primary");
  start.hidden = !chosen.length || uploading !== null;
  start.textContent = word("batch.start_files", { n: chosen.length });
  find(".choose").classList.toggle("primary", !chosen.length);
  find(".uploading").hidden = uploading === null;
}

const model = () => models.find(({ index }) => index === +find(".model").value);

function controls() {
  const { labels, style, detail, strength } = model();
  const options = [new Option(word("batch.label_from_name"), ""), ...labels.map((one) => new Option(one.title, one.name))];
  find("select.label").replaceChildren(...options);
  find(".labels").hidden = !labels.length;
  find(".style-number").hidden = !style;
  find(".details").hidden = !detail;
  find(".strengths").hidden = !strength;
}

function numbers() {
  const detail = find("input.detail").valueAsNumber;
  const ends = { 0: word("batch.detail_low"), 1: word("batch.detail_high") };
  find(".details output").textContent = ends[detail] ?? detail.toFixed(2);
  find(".strengths output").textContent = `${Math.round(find("input.strength").valueAsNumber * 100)} %`;
}

// What is left alone is not sent, as it would not be given on the command line.
function settings() {
  const { index, labels, style, detail, strength } = model();
  const part = find("input.strength").value;
  return {
    model: index,
    title: title(),
    format: find(".format").value,
    label: labels.length ? find("select.label").value : "",
    style: style ? find("input.style").value : "",
    detail: detail && find("input.detail").value !== "0" ? find("input.detail").value : "",
    strength: strength && part !== "1" ? part : "",
    credentials: find(".credentials input").checked ? "" : "off",
  };
}

// --- uploading

function send(job, { file, name }, progressed, cancelled) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(`batch/jobs/${job}/files`, { name, modified: file.lastModified }));
    request.upload.onprogress = (event) => progressed(event.loaded);
    request.onload = () => {
      if (request.status < 300) return resolve();
      reject(new Error(sentence(request.getResponseHeader("Content-Type"), request.responseText)));
    };
    request.onerror = () => reject(new Error(word("batch.offline")));
    request.onabort = resolve;
    cancelled.push(() => request.abort());
    request.send(file);
  });
}

async function start(event) {
  event.preventDefault();
  if (!chosen.length || uploading) return;
  const now = (uploading = { stopped: false, abort: [] });
  const waiting = [...chosen], wanted = settings();
  const total = waiting.length;
  const size = waiting.reduce((sum, { file }) => sum + file.size, 0) || 1;
  const refused = [];
  let done = 0;
  let sent = 0;
  const progress = (extra = 0) => {
    find(".uploading progress").value = Math.min(1, (sent + extra) / size);
    find(".uploading span").textContent = word("batch.uploading", { n: Math.min(done + 1, total), total });
  };
  shown();
  progress();
  say(word("batch.keep_open"));
  let job = null;
  try {
    await ask("batch/jobs"); // whose answer brings the cookie that the batch belongs to
    job = (await (await ask("batch/jobs", wanted, { method: "POST" })).json()).id;
    while (waiting.length && !now.stopped) {
      const next = waiting.shift();
      try {
        await send(job, next, progress, now.abort);
      } catch (error) {
        refused.push(error.message);
      }
      now.abort.length = 0;
      done += 1;
      sent += next.file.size;
      progress();
    }
    const begins = !now.stopped && refused.length < total;
    await ask(`batch/jobs/${job}/${begins ? "begin" : "delete"}`, {}, { method: "POST" });
    if (begins) chosen = [];
    say(refused.slice(0, 5).join(" "), true);
  } catch (error) {
    say(error.message, true);
  }
  uploading = null;
  shown();
  await look();
  cards.get(job)?.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

// --- begin

find(".drop .hint").textContent = word(config.films ? "batch.drop_films" : "batch.drop");
find(".kept").textContent = word("batch.kept", { n: config.days.toLocaleString() });
find(".drop input").accept = config.readable.join(",");
find(".drop input").setAttribute("aria-label", word("batch.choose"));
find(".uploading progress").setAttribute("aria-label", word("batch.chosen"));
for (const group of config.groups) {
  const options = group.models.map(({ title, index }) => new Option(worded(title), index));
  const box = Object.assign(document.createElement("optgroup"), { label: word(`task.${group.task}.name`) });
  box.append(...options);
  find(".model").append(...(config.groups.length > 1 && group.models.length > 1 ? [box] : options));
}
find(".format").append(
  ...config.formats.map(([name, value]) => new Option(value === "same" ? word("choice.same") : name, value)),
);
find(".credentials").hidden = !config.credentials;
find(".choose").onclick = () => find(".drop input").click();
find(".drop input").onchange = ({ target }) => {
  add([...target.files].map((file) => ({ file, name: file.name })));
  target.value = "";
};
find(".remove").onclick = () => {
  chosen = [];
  say("");
  shown();
};
find(".cancel").onclick = () => {
  uploading.stopped = true;
  uploading.abort.forEach((abort) => abort());
};
find("form").onsubmit = start;
find(".model").onchange = controls;
element.addEventListener("input", numbers);
// A file dropped beside the frame would replace the page.
for (const kind of ["dragover", "dragleave", "drop"]) {
  element.addEventListener(kind, async (event) => {
    event.preventDefault();
    find(".drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") add(await entries(event.dataTransfer));
  });
}
addEventListener("beforeunload", (event) => uploading && event.preventDefault());
document.addEventListener("visibilitychange", look);
const visible = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && look());
visible.observe(find(".batch"));
controls();
numbers();
shown();
look();
