// Arithmetic on pixels, the same as in translate.pictures.operations and translate.inference.placement, which say why.
//
// An image is { data, height, width, channels }: rows of pixels, 0 to 255, in a Uint8Array or Uint8ClampedArray.

const PRECISION = 22; // bits of a weight, as Pillow has them
const SMALL = 2 / 3, SEARCH_SIZE = 256, CELL = 4, CONTRAST = 24, STEP = 4, NOISE = 6;
const SPECK_CELLS = 2, SPECK_INK = 0.01, MIN_SIDE = 8, RING = 16;
const DIM = 8, MOST_GAIN = 2;

export const blank = (height, width, channels) => ({
  data: new Uint8ClampedArray(height * width * channels), height, width, channels,
});

// Round half to even, as Python does.
export const rint = (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

export function fitSize(height, width, longer) {
  const factor = longer / Math.max(height, width);
  return [Math.max(1, rint(height * factor)), Math.max(1, rint(width * factor))];
}

// --- resizing: Lanczos with the whole numbers of Pillow, so that the result is the same to the bit

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const lanczos = (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0);

// For every output place the first input place, and the weights from there on; they sum to 1.
function weights(from, to) {
  const scale = from / to, wide = Math.max(1, scale), support = 3 * wide;
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const shares = Array.from({ length: last - first }, (_, i) => lanczos((i + first - centre + 0.5) / wide));
    const sum = shares.reduce((a, b) => a + b, 0);
    return [first, shares.map((share) => share / sum)];
  });
}

function wholeWeights(from, to) {
  const whole = (share) => Math.trunc(share * (1 << PRECISION) + (share < 0 ? -0.5 : 0.5));
  return weights(from, to).map(([first, shares]) => [first, Int32Array.from(shares, whole)]);
}

function resizeRows({ data, height, width, channels }, to) {
  const result = blank(height, to, channels);
  const columns = wholeWeights(width, to);
  let place = 0;
  for (let y = 0; y < height; y++) {
    for (const [first, shares] of columns) {
      const start = (y * width + first) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (PRECISION - 1);
        for (let i = 0, p = start + c; i < shares.length; i++, p += channels) sum += data[p] * shares[i];
        result.data[place++] = sum >> PRECISION;
      }
    }
  }
  return result;
}

function resizeColumns({ data, height, width, channels }, to) {
  const result = blank(to, width, channels);
  const length = width * channels;
  const sums = new Int32Array(length);
  wholeWeights(height, to).forEach(([first, shares], y) => {
    sums.fill(1 << (PRECISION - 1));
    shares.forEach((share, i) => {
      const start = (first + i) * length;
      for (let x = 0; x < length; x++) sums[x] += data[start + x] * share;
    });
    for (let x = 0; x < length; x++) result.data[y * length + x] = sums[x] >> PRECISION;
  });
  return result;
}

export function resize(image, height, width) {
  const wide = image.width === width ? image : resizeRows(image, width);
  return wide.height === height ? wide : resizeColumns(wide, height);
}

// The same of one plane of numbers, not rounded.
function resizeNumbers(plane, [height, width], [toHeight, toWidth]) {
  const wide = new Float32Array(height * toWidth), result = new Float32Array(toHeight * toWidth);
  weights(width, toWidth).forEach(([first, shares], x) => {
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let i = 0, p = y * width + first; i < shares.length; i++, p++) sum += plane[p] * shares[i];
      wide[y * toWidth + x] = sum;
    }
  });
  weights(height, toHeight).forEach(([first, shares], y) => {
    const row = result.subarray(y * toWidth, (y + 1) * toWidth);
    shares.forEach((share, i) => {
      const start = (first + i) * toWidth;
      for (let x = 0; x < toWidth; x++) row[x] += share * wide[start + x];
    });
  });
  return result;
}

// --- colours and opacity

export function withoutAlpha({ data, height, width }) {
  const result = blank(height, width, 3);
  for (let i = 0; i < height * width; i++) {
    const alpha = data[4 * i + 3];
    for (let c = 0; c < 3; c++) {
      result.data[3 * i + c] = Math.trunc((data[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  return result;
}

// The opacity, or null if everything is opaque.
export function alphaOf({ data, height, width }) {
  const result = blank(height, width, 1);
  let opaque = true;
  for (let i = 0; i < height * width; i++) {
    result.data[i] = data[4 * i + 3];
    opaque = opaque && data[4 * i + 3] === 255;
  }
  return opaque ? null : result;
}

export const isInk = (alpha) => alpha.data.reduce((a, b) => a + b, 0) / alpha.data.length / 255 < 0.25;

export function withAlpha({ data, height, width }, alpha) {
  const result = blank(height, width, 4);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) result.data[4 * i + c] = data[3 * i + c];
    result.data[4 * i + 3] = alpha ? alpha.data[i] : 255;
  }
  return result;
}

export function grey({ data, height, width }) {
  const result = blank(height, width, 1);
  for (let i = 0; i < height * width; i++) {
    result.data[i] = (data[3 * i] * 19595 + data[3 * i + 1] * 38470 + data[3 * i + 2] * 7471 + 0x8000) >> 16;
  }
  return result;
}

export function asRgb(image) {
  if (image.channels === 3) return image;
  const result = blank(image.height, image.width, 3);
  for (let i = 0; i < result.data.length; i++) result.data[i] = image.data[Math.trunc(i / 3)];
  return result;
}

// Give a picture the change that a small copy of it went through, and keep its own fine detail.
export function relight(picture, before, after) {
  const { height, width } = picture;
  const light = ({ data }, i) => (data[i] + data[i + 1] + data[i + 2]) / 3 + DIM;
  const gain = (i) => Math.min(light(after, i) / light(before, i), MOST_GAIN);
  const enlarged = (value) => {
    const plane = Float32Array.from({ length: before.height * before.width }, (_, place) => value(3 * place));
    return resizeNumbers(plane, [before.height, before.width], [height, width]);
  };
  const gains = enlarged(gain);
  const result = blank(height, width, 3);
  for (let c = 0; c < 3; c++) {
    const rest = enlarged((i) => after.data[i + c] - gain(i) * before.data[i + c]);
    for (let place = 0, i = c; place < rest.length; place++, i += 3) {
      result.data[i] = Math.floor(gains[place] * picture.data[i] + rest[place] + 0.5);
    }
  }
  return result;
}

// --- where on a sheet the drawing is

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const middleColour = (pixels) => [0, 1, 2].map((c) => Math.trunc(median(pixels.map((pixel) => pixel[c]))));

// The least squares solution x of a x = b for rows of three numbers; `b` has one column per colour.
function leastSquares(rows, values) {
  const matrix = (entry) => [0, 1, 2].map((i) => [0, 1, 2].map((j) => entry(i, j)));
  const a = matrix((i, j) => rows.reduce((sum, row) => sum + row[i] * row[j], i === j ? 1e-9 : 0));
  const b = matrix((i, c) => rows.reduce((sum, row, n) => sum + row[i] * values[n][c], 0));
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      if (i === j) continue;
      const factor = a[j][i] / a[i][i];
      for (let c = 0; c < 3; c++) [a[j][c], b[j][c]] = [a[j][c] - factor * a[i][c], b[j][c] - factor * b[i][c]];
    }
  }
  return b.map((row, i) => row.map((value) => value / a[i][i]));
}

// Everything that is not paper, 1 or 0 per pixel. The paper's colour is a plane, fitted to the pixels closest to it.
function ink({ data, height, width }) {
  const line = (place, length) => (length === 1 ? -1 : -1 + (2 * place) / (length - 1));
  const pixel = (y, x) => data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3);
  const places = [], colours = [];
  for (let y = 0; y < height; y += STEP) {
    for (let x = 0; x < width; x += STEP) {
      places.push([1, line(y, height), line(x, width)]);
      colours.push(pixel(y, x));
    }
  }
  const furthest = (colour, paper) => Math.max(...[0, 1, 2].map((c) => Math.abs(colour[c] - paper[c])));
  const paperAt = (plane, [, y, x]) => [0, 1, 2].map((c) => plane[0][c] + plane[1][c] * y + plane[2][c] * x);
  const usual = [0, 1, 2].map((c) => median(colours.map((colour) => colour[c])));
  let off = colours.map((colour) => furthest(colour, usual));
  let plane;
  for (let pass = 0; pass < 2; pass++) {
    const most = Math.max(4 * median(off), CONTRAST / 2);
    const paper = off.flatMap((distance, i) => (distance <= most ? [i] : []));
    plane = leastSquares(paper.map((i) => places[i]), paper.map((i) => colours[i]));
    off = colours.map((colour, i) => furthest(colour, paperAt(plane, places[i])));
  }
  const least = Math.max(CONTRAST, NOISE * 1.4826 * median(off));
  const found = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      found[y * width + x] = furthest(pixel(y, x), paperAt(plane, [1, line(y, height), line(x, width)])) > least;
    }
  }
  return found;
}

// Ink without small isolated specks: a function that tells whether a place belongs to anything larger.
function withoutSpecks(found, height, width) {
  const down = Math.ceil(height / CELL), across = Math.ceil(width / CELL);
  const counts = new Int32Array(down * across);
  let total = 0;
  found.forEach((dark, i) => {
    const y = Math.trunc(i / width), x = i % width;
    counts[Math.trunc(y / CELL) * across + Math.trunc(x / CELL)] += dark;
    total += dark;
  });
  const remaining = new Set([...counts.keys()].filter((cell) => counts[cell]));
  const kept = new Set();
  while (remaining.size) {
    const [first] = remaining;
    remaining.delete(first);
    const cells = [first];
    for (const cell of cells) {
      const y = Math.trunc(cell / across), x = cell % across;
      for (let near of [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]]) {
        const column = x + near[1];
        near = (y + near[0]) * across + column;
        if (column >= 0 && column < across && remaining.delete(near)) cells.push(near);
      }
    }
    const rows = cells.map((cell) => Math.trunc(cell / across)), columns = cells.map((cell) => cell % across);
    const extent = Math.max(...[rows, columns].map((places) => Math.max(...places) - Math.min(...places)));
    const dark = cells.reduce((sum, cell) => sum + counts[cell], 0);
    if (extent >= SPECK_CELLS || dark > SPECK_INK * total) cells.forEach((cell) => kept.add(cell));
  }
  return (y, x) => kept.has(Math.trunc(y / CELL) * across + Math.trunc(x / CELL));
}

// The box around everything drawn on a sheet, { top, bottom, left, right }; null for an empty one.
export function contentBox(sheet) {
  const { height, width } = sheet;
  const small = Math.max(height, width) > SEARCH_SIZE ? resize(sheet, ...fitSize(height, width, SEARCH_SIZE)) : sheet;
  const found = ink(small);
  const kept = withoutSpecks(found, small.height, small.width);
  let top = Infinity, bottom = -1, left = Infinity, right = -1;
  found.forEach((dark, i) => {
    const y = Math.trunc(i / small.width), x = i % small.width;
    if (!dark || !kept(y, x)) return;
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
  });
  if (bottom < 0) return null;
  const down = height / small.height, across = width / small.width;
  const box = {
    top: Math.trunc(top * down), bottom: Math.min(height, Math.ceil((bottom + 1) * down)),
    left: Math.trunc(left * across), right: Math.min(width, Math.ceil((right + 1) * across)),
  };
  return longer(box) >= MIN_SIDE ? box : null;
}

const longer = ({ top, bottom, left, right }) => Math.max(bottom - top, right - left);

// The square around the drawing, framed as in training pictures; null if the sheet already frames it so.
export function frameOf(sheet, contentShare) {
  const box = contentShare ? contentBox(sheet) : null;
  if (!box || longer(box) >= SMALL * contentShare * Math.max(sheet.height, sheet.width)) return null;
  const side = rint(longer(box) / contentShare);
  const top = Math.floor((box.top + box.bottom - side) / 2), left = Math.floor((box.left + box.right - side) / 2);
  return { top, left, side };
}

// Visit every place of a square that is on an image: where it is on the image, and where in the square.
function inside({ top, left, side }, { height, width }, visit) {
  for (let y = Math.max(0, top); y < Math.min(height, top + side); y++) {
    for (let x = Math.max(0, left); x < Math.min(width, left + side); x++) visit(y, x, y - top, x - left);
  }
}

function filled(height, width, colour) {
  const result = blank(height, width, 3);
  for (let i = 0; i < result.data.length; i++) result.data[i] = colour[i % 3];
  return result;
}

const at = ({ data, width }, y, x) => data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3);

// Cut a square out of a sheet; outside the sheet it is filled with paper.
export function cutOut(sheet, frame) {
  const seen = [];
  inside(frame, sheet, (y, x) => seen.push(at(sheet, y, x)));
  const crop = filled(frame.side, frame.side, middleColour(seen));
  inside(frame, sheet, (y, x, toY, toX) => at(crop, toY, toX).set(at(sheet, y, x)));
  return crop;
}

// Paste the result for a square into a sheet; outside, the background of the result.
export function pasteIn(sheet, frame, output, scale) {
  const ring = Math.max(1, Math.trunc(output.height / RING)), border = [];
  for (let y = 0; y < output.height; y++) {
    for (let x = 0; x < output.width; x++) {
      const inner = [y, x].every((place) => place >= ring && place < output.height - ring);
      if (!inner) border.push(at(output, y, x));
    }
  }
  const result = filled(sheet.height * scale, sheet.width * scale, middleColour(border));
  const large = resize(output, frame.side * scale, frame.side * scale);
  const moved = { top: frame.top * scale, left: frame.left * scale, side: frame.side * scale };
  inside(moved, result, (y, x, fromY, fromX) => at(result, y, x).set(at(large, fromY, fromX)));
  return result;
}
