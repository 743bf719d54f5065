// Before and after on top of each other, with a line between them to drag. The strength mixes the two here, at once;
// the file to download is made when the slider is let go. `element`, `props`, `watch` and `trigger` come from Gradio.

const find = (selector) => element.querySelector(selector);
const [before, after, split, strength] = [".before", ".after", ".split", ".strength input"].map(find);

function cut() {
  after.style.clipPath = `inset(0 0 0 ${split.value}%)`;
  find(".line").style.left = `${split.value}%`;
}

function mix() {
  after.style.opacity = strength.value;
  find("output").textContent = `${Math.round(100 * strength.value)} %`;
}

async function show() {
  const value = props.value ?? {};
  const some = Boolean(value.before);
  const another = Boolean(before.src);
  if (some) {
    const next = [value.before, value.after].map((path) => Object.assign(new Image(), { src: new URL(path, document.baseURI).href }));
    await Promise.all(next.map((image) => image.decode()));
    if (props.value?.before !== value.before) return; // another came meanwhile
    [before.src, after.src] = next.map((image) => image.src);
    find(".frame").style.aspectRatio = `${next[1].naturalWidth} / ${next[1].naturalHeight}`;
  }
  element.querySelectorAll(".frame > *").forEach((part) => (part.hidden = !some));
  find(".hint").hidden = some;
  find(".strength").hidden = !some || !value.mixes;
  strength.value = value.strength ?? 1;
  cut();
  mix();
  if (another && element.offsetParent) find(".frame").scrollIntoView({ block: "nearest", behavior: "smooth" }); // on a phone
}

split.addEventListener("input", cut);
strength.addEventListener("input", mix);
strength.addEventListener("change", () => {
  props.value = { ...props.value, strength: +strength.value };
  trigger("release");
});
watch("value", show);
show();
