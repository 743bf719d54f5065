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
const factor = spec.working_size ? spec.working_size / Math.max(given.width, given.height) : 1; // the size that it knows
const size = [given.width, given.height].map((side) => Math.max(1, Math.round(side * factor)));
const { data, info } = await picture.resize(...size, { fit: "fill" }).raw().toBuffer({ resolveWithObject: true });

const image = new ort.Tensor("uint8", data, [1, info.height, info.width, 3]);
const { translated } = await session.run({ image });
const [, height, width, channels] = translated.dims;
await sharp(translated.data, { raw: { width, height, channels } })
  .resize(given.width * spec.scale, given.height * spec.scale, { fit: "fill" })
  .toFile(target);
