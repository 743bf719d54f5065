// What translate.Engine does around the graph: sizes, framing, light and tiles.

import {
  alphaOf, asRgb, blank, cutOut, fitSize, frameOf, grey, isInk, pasteIn, relight, resize, rint, withAlpha, withoutAlpha,
} from "./pixels.js";

const MIN_CORE = 64;

export class TooLarge extends Error {}

// Convert a picture.
//   picture: RGBA, see pixels.js.
//   model: the facts in model.json.
//   run: (image) => Promise of an image, the graph itself.
//   memory: bytes that one run may take.
export async function apply(picture, model, run, { memory, progress = () => {} }) {
  const { spec } = model;
  const given = withoutAlpha(picture);
  const alpha = alphaOf(picture);
  const colours = async (rgb) => {
    const image = spec.input_channels === 1 ? grey(rgb) : rgb;
    return asRgb(await runTiled(image, spec, run, memory, progress));
  };
  const result = spec.working_size ? await sheet(given, model, colours) : await scene(given, spec, colours);
  const lines = spec.working_size && alpha && isInk(alpha);
  return withAlpha(result, alpha && !lines ? resize(alpha, result.height, result.width) : null);
}

async function sheet(rgb, { spec, content_share: share }, colours) {
  const { height, width } = rgb;
  const frame = frameOf(rgb, share);
  if (frame) {
    const output = await colours(resize(cutOut(rgb, frame), spec.working_size, spec.working_size));
    return pasteIn(rgb, frame, output, spec.scale);
  }
  const small = resize(rgb, ...fitSize(height, width, spec.working_size));
  return resize(await colours(small), height * spec.scale, width * spec.scale);
}

async function scene(rgb, spec, colours) {
  const factor = Math.min(1, (spec.scene_size ?? Infinity) / Math.min(rgb.height, rgb.width));
  if (factor === 1) return colours(rgb);
  const small = resize(rgb, Math.max(1, rint(rgb.height * factor)), Math.max(1, rint(rgb.width * factor)));
  return relight(rgb, small, await colours(small));
}

// --- windows, exact for a bounded receptive field; see translate.inference.tiling

const roundUp = (number, multiple) => Math.ceil(number / multiple) * multiple;

// The windows along an axis: { start, stop, keepStart, keepStop }.
export function spans(length, tile, { size_multiple: multiple, receptive_field: field }) {
  if (length <= tile) return [{ start: 0, stop: length, keepStart: 0, keepStop: length }];
  const margin = roundUp(Math.floor(field / 2), multiple), shared = 2 * margin;
  const most = Math.floor(tile / multiple) * multiple;
  const count = Math.ceil((length - shared) / (most - shared));
  const step = roundUp(Math.ceil((length - shared) / count), multiple);
  const side = step + shared;
  return Array.from({ length: count }, (_, number) => {
    const last = number === count - 1;
    const start = last ? roundUp(length - side, multiple) : number * step;
    const stop = Math.min(start + side, length);
    const keepStart = number ? number * step + margin : 0, keepStop = last ? length : start + side - margin;
    return { start, stop, keepStart, keepStop };
  });
}

async function runTiled(image, spec, run, memory, progress) {
  const side = Math.floor(Math.sqrt(memory / spec.bytes_per_pixel));
  const fits = image.height * image.width <= side * side;
  if (!fits && spec.receptive_field === null) throw new TooLarge();
  const { size_multiple: multiple, receptive_field: field } = spec;
  const smallest = 2 * roundUp(Math.floor(field / 2), multiple) + roundUp(MIN_CORE, multiple);
  const tile = fits ? Infinity : Math.max(side, smallest);
  const columns = spans(image.width, tile, spec);
  const windows = spans(image.height, tile, spec).flatMap((row) => columns.map((column) => [row, column]));
  const { scale } = spec;
  let result = null;
  for (const [number, [row, column]] of windows.entries()) {
    progress(number, windows.length);
    const found = await runPadded(cut(image, row, column), spec, run);
    if (windows.length === 1) return found;
    result ??= blank(image.height * scale, image.width * scale, found.channels);
    const length = (column.keepStop - column.keepStart) * scale * found.channels;
    for (let y = row.keepStart * scale; y < row.keepStop * scale; y++) {
      const from = ((y - row.start * scale) * found.width + (column.keepStart - column.start) * scale) * found.channels;
      const to = (y * result.width + column.keepStart * scale) * found.channels;
      result.data.set(found.data.subarray(from, from + length), to);
    }
  }
  return result;
}

function cut({ data, width, channels }, row, column) {
  const part = blank(row.stop - row.start, column.stop - column.start, channels);
  for (let y = 0; y < part.height; y++) {
    const from = ((row.start + y) * width + column.start) * channels;
    part.data.set(data.subarray(from, from + part.width * channels), y * part.width * channels);
  }
  return part;
}

// Pictures smaller than the model takes are continued at the right and at the bottom, and the result is cut.
async function runPadded(image, { min_size: least, scale }, run) {
  const { height, width, channels } = image;
  if (Math.min(height, width) >= least) return run(image);
  const padded = blank(Math.max(height, least), Math.max(width, least), channels);
  for (let y = 0; y < padded.height; y++) {
    for (let x = 0; x < padded.width; x++) {
      const from = (Math.min(y, height - 1) * width + Math.min(x, width - 1)) * channels;
      for (let c = 0; c < channels; c++) padded.data[(y * padded.width + x) * channels + c] = image.data[from + c];
    }
  }
  return cut(await run(padded), { start: 0, stop: height * scale }, { start: 0, stop: width * scale });
}
