// Convert one picture with Node.js, onnxruntime-node and sharp (npm install --ignore-scripts in this folder):
//   translate info mine.onnx --json > mine.json
//   node convert.mjs mine.onnx mine.json in.png out.png

import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";
import sharp from "sharp";

const [model, facts, source, target] = process.argv.slice(2);
const { spec } = JSON.parse(readFileSync(facts));
const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3 }); // optional inputs are no reason to warn

const picture = sharp(source).autoOrient().flatten({ background: "white" }).toColourspace("srgb");
const { info: given } = await picture.clone().toBuffer({ resolveWithObject: true });
const sides = [given.width, given.height], raw = { resolveWithObject: true };
let factor = spec.working_size ? spec.working_size / Math.max(...sides) : 1; // the model knows things at this size
if (spec.scene_size) factor = Math.min(1, spec.scene_size / Math.min(...sides)); // and scenes at this one
const size = sides.map((side) => Math.max(1, Math.round(side * factor)));
const { data, info } = await picture.clone().resize(...size, { fit: "fill" }).raw().toBuffer(raw);

const image = new ort.Tensor("uint8", data, [1, info.height, info.width, 3]);
const { dims: [, height, width, channels], data: after } = (await session.run({ image })).translated;
const full = sides.map((side) => side * spec.scale);
const enlarged = (pixels, shape) => sharp(pixels, { raw: shape }).resize(...full, { fit: "fill" });
let result = enlarged(after, { width, height, channels });
if (spec.scene_size) { // a scene keeps its fine detail, as strong as the place is bright
  const light = (pixels, at) => pixels.subarray(at - (at % 3), at - (at % 3) + 3).reduce((sum, one) => sum + one, 24);
  const gain = Uint16Array.from(data, (_, at) => 16384 * Math.min(2, light(after, at) / light(data, at)));
  const rest = gain.map((one, at) => 64 * (600 + after[at] - (one / 16384) * data[at])); // sharp has 16 bits
  const wide = (one) => enlarged(one, info).toColourspace("rgb16").raw({ depth: "ushort" }).toBuffer();
  const [whole, ...two] = await Promise.all([picture.raw().toBuffer(), wide(gain), wide(rest)]);
  const [gains, rests] = two.map((one) => new Uint16Array(one.buffer, one.byteOffset, whole.length));
  const relit = Uint8ClampedArray.from(whole, (value, at) => (value * gains[at]) / 16384 + rests[at] / 64 - 600);
  result = sharp(relit, { raw: { width: given.width, height: given.height, channels: 3 } });
}
await result.toFile(target);
