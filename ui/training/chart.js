// Line charts: small, in the colours of the page, with the values at the pointer.

const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, facts, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(facts)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// 12345 -> 12,345; 0.12345 -> 0.123.
function number(value) {
  return value.toLocaleString(undefined, { maximumSignificantDigits: Math.abs(value) < 1000 ? 3 : 20, maximumFractionDigits: 0, roundingPriority: "morePrecision" });
}

// Three or four round numbers from `low` to `high`.
function ticks(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 3 || 1));
  const wide = [1, 2, 5, 10].map((factor) => factor * step).find((wide) => (high - low) / wide < 4.5);
  const found = [];
  for (let at = Math.ceil(low / wide) * wide; at <= high + wide / 1e6; at += wide) found.push(+at.toPrecision(12));
  return found;
}

// `curves`: name -> [[x, y], ...]. `x`: what the horizontal axis counts. `text`: a longer explanation, below `what`.
function chart({ title, note, text, what, curves, x }) {
  const [width, height, left, bottom, top] = [300, 130, 40, 18, 8];
  const names = Object.keys(curves);
  const points = Object.values(curves).flat();
  const most = Math.max(...points.map(([at]) => at), 1);
  let [low, high] = [Math.min, Math.max].map((of) => of(...points.map(([, value]) => value)));
  if (low === high) [low, high] = [low - Math.abs(low || 1) / 10, high + Math.abs(high || 1) / 10];
  const across = (at) => left + (at / most) * (width - left - 8);
  const up = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
  const box = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (const value of ticks(low, high)) {
    box.append(
      drawn("line", { x1: left, x2: width - 8, y1: up(value), y2: up(value), class: "grid" }),
      drawn("text", { x: left - 6, y: up(value) + 3, class: "tick", "text-anchor": "end" }, number(value)),
    );
  }
  for (const at of ticks(0, most)) {
    const anchor = at === 0 ? "start" : at > 0.92 * most ? "end" : "middle"; // nothing is cut off
    box.append(drawn("text", { x: across(at), y: height - 4, class: "tick", "text-anchor": anchor }, number(at)));
  }
  names.forEach((name, index) => {
    const line = curves[name].map(([at, value]) => `${across(at)},${up(value)}`).join(" ");
    const [at, value] = curves[name].at(-1);
    box.append(
      drawn("polyline", { points: line, class: `curve c${index % 6}` }),
      drawn("circle", { cx: across(at), cy: up(value), r: 3, class: `dot c${index % 6}` }),
    );
  });
  const last = names.map((name) => `${names.length > 1 ? `${name} ` : ""}${number(curves[name].at(-1)[1])}`);
  box.setAttribute("aria-label", `${title}: ${last.join(", ")}`);
  const marker = drawn("line", { y1: top, y2: height - bottom, class: "marker", visibility: "hidden" });
  box.append(marker);

  const figure = document.createElement("figure");
  figure.className = "chart";
  const caption = document.createElement("figcaption");
  const values = document.createElement("p");
  values.className = "values";
  const say = (texts) => values.replaceChildren(...texts.map((text, index) => {
    const part = document.createElement("span");
    part.className = `c${index % 6}`;
    part.textContent = text;
    return part;
  }));
  say(last);
  const heading = document.createElement("strong");
  heading.textContent = title;
  const small = document.createElement("span");
  small.textContent = note ?? "";
  caption.append(heading, small, values);
  box.addEventListener("pointermove", (event) => {
    const area = box.getBoundingClientRect();
    const wanted = (((event.clientX - area.left) / area.width) * width - left) / (width - left - 8) * most;
    const near = names.map((name) => curves[name].reduce((a, b) => (Math.abs(b[0] - wanted) < Math.abs(a[0] - wanted) ? b : a)));
    for (const end of ["x1", "x2"]) marker.setAttribute(end, across(near[0][0]));
    marker.setAttribute("visibility", "visible");
    say(near.map(([at, value], index) => `${names.length > 1 ? `${names[index]} ` : ""}${number(value)} (${number(Math.round(at))} ${x})`));
  });
  box.addEventListener("pointerleave", () => { marker.setAttribute("visibility", "hidden"); say(last); });
  figure.append(caption, box);
  if (text) {
    const more = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = what;
    more.append(summary, text);
    figure.append(more);
  }
  return figure;
}
