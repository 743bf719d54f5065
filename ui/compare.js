// Before and after: on top of each other with a line between them to drag, or side by side; all views show the same
// place at the same zoom. The strength mixes the two here, at once; the file to download is mixed when the slider is
// let go. `element`, `props`, `watch` and `trigger` come from Gradio.

const find = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
const stage = find(".stage"), split = find(".split"), strength = find(".strength input");
const views = all(".view");
const MOST = 16; // zoom: CSS pixels for a pixel of the result

let size = null; // width and height of the result
let zoom = null; // null: as much as fits
let centre = [0.5, 0.5]; // what is in the middle of a view, as shares of the picture
let mode = "line", against = "before";

const box = () => views.at(-1).getBoundingClientRect();
const fitting = () => Math.min(box().width / size.width, box().height / size.height);
const scale = () => zoom ?? fitting();
const real = () => 1 / devicePixelRatio; // one pixel of the result on one of the screen
const least = () => Math.min(fitting(), real());

// Put every picture where zoom and centre say. A share of the picture that is too near its edge is moved inwards.
function place() {
  if (!size || !element.offsetParent) return;
  const { width, height } = box(), z = scale();
  const spans = [width / (size.width * z), height / (size.height * z)]; // what a view shows, as a share of the picture
  centre = centre.map((share, i) => (spans[i] >= 1 ? 0.5 : Math.min(1 - spans[i] / 2, Math.max(spans[i] / 2, share))));
  const [x, y] = [width / 2 - centre[0] * size.width * z, height / 2 - centre[1] * size.height * z];
  all(".view img").forEach((image) => {
    if (!image.naturalWidth) return;
    const factor = (size.width * z) / image.naturalWidth;
    image.style.transform = `translate(${x}px, ${y}px) scale(${factor}, ${(size.height * z) / image.naturalHeight})`;
    image.style.imageRendering = factor > 1.5 * real() ? "pixelated" : "auto";
  });
  find(".zoom output").textContent = `${Math.round((100 * z) / real())} %`;
  stage.classList.toggle("zoomed", zoom !== null);
  find("[data-do=out]").disabled = z <= least();
  find("[data-do=in]").disabled = z >= MOST * real();
}

// Zoom to `next`, and keep what is at the point (x, y) of a view where it is.
function zoomTo(next, x = box().width / 2, y = box().height / 2) {
  if (!size) return;
  const { width, height } = box(), old = scale();
  next = Math.max(least(), Math.min(next, MOST * real()));
  const away = [x - width / 2, y - height / 2];
  centre = centre.map((share, i) => share + (away[i] / [size.width, size.height][i]) * (1 / old - 1 / next));
  zoom = Math.abs(next / fitting() - 1) < 0.001 ? null : next;
  place();
}

function pan(x, y) {
  const z = scale();
  centre = [centre[0] - x / (size.width * z), centre[1] - y / (size.height * z)];
  place();
}

function cut() {
  const line = mode === "line";
  find(".after").style.clipPath = line ? `inset(0 0 0 ${split.value}%)` : "";
  find(".line").style.left = `${split.value}%`;
}

function mix() {
  find(".after .shown").style.opacity = strength.value;
  find(".strength output").textContent = `${Math.round(100 * strength.value)} %`;
}

// Which views there are, and how they lie.
function arrange() {
  const value = props.value ?? {}, some = Boolean(size), line = mode === "line";
  const left = line && value.bicubic ? against : "before";
  stage.classList.toggle("side", some && !line);
  find(".before").hidden = !some || (line && left !== "before");
  find(".bicubic").hidden = !some || !value.bicubic || (line && left !== "bicubic");
  find(".after").hidden = find(".bar").hidden = find(".below").hidden = !some;
  find(".line").hidden = split.hidden = !some || !line;
  find(".against").hidden = !line || !value.bicubic;
  find(".hint").hidden = some;
  if (some) stage.tabIndex = 0;
  if (some) views.concat(stage).forEach((part) => part.style.setProperty("--aspect", `${size.width} / ${size.height}`));
  cut();
  place();
}

async function show() {
  const value = props.value ?? {};
  const another = Boolean(size);
  if (!value.after) size = null;
  else {
    const paths = [value.before, value.after, ...(value.bicubic ? [value.bicubic] : [])];
    const next = paths.map((path) => Object.assign(new Image(), { src: new URL(path, document.baseURI).href }));
    await Promise.allSettled(next.map((image) => image.decode())); // one that cannot be loaded is seen to be missing
    if (props.value?.after !== value.after) return; // another came meanwhile
    const [before, after, bicubic] = next.map((image) => image.src);
    find(".before img").src = find(".under").src = before;
    find(".after .shown").src = after;
    if (bicubic) find(".bicubic img").src = bicubic;
    await Promise.allSettled(all(".view img[src]").map((image) => image.decode()));
    if (props.value?.after !== value.after) return;
    if (!size || size.width !== value.width || size.height !== value.height) [zoom, centre] = [null, [0.5, 0.5]];
    size = { width: value.width, height: value.height };
  }
  find(".strength").hidden = !value.mixes;
  strength.value = props.value?.strength ?? 1; // which may have been moved while the pictures came
  find(".facts").textContent = (value.facts ?? []).map(([key, facts]) => word(key, facts)).join(" ");
  find(".suggestion").hidden = !value.suggestion;
  find(".suggestion span").textContent = value.suggestion ? word(value.suggestion.key) : "";
  arrange();
  mix();
  if (another && element.offsetParent) stage.scrollIntoView({ block: "nearest", behavior: "smooth" }); // on a phone
}

function setMode(next) {
  mode = next;
  all(".views input").forEach((choice) => (choice.checked = choice.value === mode));
  arrange();
}

// --- mouse, finger and pen: one pointer drags the line or the picture, two pinch

const pointers = new Map(); // by id: the view that it was put down on, and where on it it is
const viewOf = (event) => event.target.closest(".view") ?? views.at(-1);
const at = (event, view = viewOf(event)) => {
  const { left, top } = view.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
};
let dragsLine = false;

stage.addEventListener("pointerdown", (event) => {
  if (event.button || !size) return;
  stage.setPointerCapture(event.pointerId);
  const view = viewOf(event), point = at(event, view);
  pointers.set(event.pointerId, { view, point });
  const near = Math.abs(point[0] - (split.value / 100) * box().width) < 24;
  dragsLine = mode === "line" && pointers.size === 1 && (zoom === null || near);
  if (dragsLine) drag(event);
});
stage.addEventListener("pointermove", (event) => {
  const moved = pointers.get(event.pointerId);
  if (!moved) return;
  const old = moved.point, now = at(event, moved.view);
  moved.point = now;
  const other = [...pointers.values()].find((one) => one !== moved)?.point;
  if (other) {
    const apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
    zoomTo((scale() * apart(now)) / apart(old), (old[0] + other[0]) / 2, (old[1] + other[1]) / 2);
    pan((now[0] - old[0]) / 2, (now[1] - old[1]) / 2); // as far as the middle between them
  } else if (dragsLine) drag(event);
  else if (zoom !== null) pan(now[0] - old[0], now[1] - old[1]);
});
for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => pointers.delete(event.pointerId));

function drag(event) {
  const { left, width } = box();
  split.value = (100 * (event.clientX - left)) / width;
  cut();
}

stage.addEventListener("wheel", (event) => {
  if (!size || (event.deltaY > 0 && scale() <= least())) return; // nothing to zoom out of: the page scrolls
  event.preventDefault();
  zoomTo(scale() * Math.exp(-event.deltaY / 400), ...at(event));
}, { passive: false });
stage.addEventListener("dblclick", (event) => (zoom === null ? zoomTo(real(), ...at(event)) : actions.fit()));

// --- keys and buttons

const actions = {
  in: () => zoomTo(scale() * 1.5),
  out: () => zoomTo(scale() / 1.5),
  fit: () => { zoom = null; place(); },
  full: () => zoomTo(real()),
  suggested: () => trigger("select"),
};
for (const [name, act] of Object.entries(actions)) find(`[data-do=${name}]`).addEventListener("click", act);
const KEYS = {
  "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.fit, 1: actions.full,
  o: () => chooser()?.click(),
  c: () => setMode(mode === "line" ? "side" : "line"),
};
document.addEventListener("keydown", (event) => {
  if (!element.isConnected || !element.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=range],[type=radio]), select, textarea, dialog")) return;
  const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
  const act = step ? event.target === stage && zoom !== null && (() => pan(...step)) : KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

// --- a picture that is dropped or pasted goes the way of one that is chosen by the button

const chooser = () => element.closest(".work")?.querySelector("input[type=file]");
function choose(files) {
  if (!chooser() || !files.length) return;
  const carrier = new DataTransfer();
  carrier.items.add(files[0]);
  chooser().files = carrier.files;
  chooser().dispatchEvent(new Event("change", { bubbles: true }));
}
const over = (on) => stage.classList.toggle("over", on);
stage.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
stage.addEventListener("dragleave", () => over(false));
stage.addEventListener("drop", (event) => { event.preventDefault(); over(false); choose(event.dataTransfer.files); });
document.addEventListener("paste", (event) => {
  if (element.isConnected && element.offsetParent) choose(event.clipboardData.files);
});

const group = `compare-${Math.random().toString(36).slice(2)}`;
for (const [name, act] of [["views", setMode], ["against", (value) => { against = value; arrange(); }]]) {
  all(`.${name} input`).forEach((choice) => {
    choice.name = `${name}-${group}`;
    choice.addEventListener("change", () => act(choice.value));
  });
}
split.addEventListener("input", cut);
strength.addEventListener("input", mix);
strength.addEventListener("change", () => {
  props.value = { ...props.value, strength: +strength.value };
  trigger("release");
});
new ResizeObserver(place).observe(stage);
watch("value", show);
show();
