// Runs the model beside the page, so that the page stays responsive.
//
// Takes { id, picture, controls }; answers { id, picture }, { id, error } or { id, done, of }. Before, { loaded, of }
// while the model is read and { ready: "webgpu" or "wasm" } when it can run, or { failed } if it cannot.

import { apply, TooLarge } from "./engine.js";

const MEMORY = 768 * 2 ** 20; // of the 4 GiB that WebAssembly has, with room for pictures and copies
const LIBRARIES = { webgpu: "./ort/ort.webgpu.bundle.min.js", wasm: "./ort/ort.wasm.bundle.min.js" };

const ready = start();
ready.catch((error) => postMessage({ failed: `${error?.message ?? error}` }));

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path} cannot be read (${answer.status})`);
  return answer;
}

async function start() {
  const model = await (await read("model.json")).json();
  const answer = await read("model.onnx");
  const parts = [];
  let loaded = 0;
  for await (const part of chunks(answer.body)) {
    parts.push(part);
    postMessage({ loaded: (loaded += part.length), of: model.bytes });
  }
  const graph = new Uint8Array(await new Blob(parts).arrayBuffer());
  // A graphics card that is there may still fail; the processor is slower, but always works.
  const card = model.webgpu ? await navigator.gpu?.requestAdapter().catch(() => null) : null;
  const emulated = card?.info?.isFallbackAdapter ?? card?.isFallbackAdapter; // which takes far longer than WebAssembly
  for (const kind of card && !emulated ? ["webgpu", "wasm"] : ["wasm"]) {
    try {
      const found = { ...(await opened(kind, graph, model)), model };
      postMessage({ ready: kind });
      return found;
    } catch (error) {
      if (kind === "wasm") throw error;
    }
  }
}

async function* chunks(stream) {
  const reader = stream.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
}

async function opened(kind, graph, model) {
  const ort = await import(LIBRARIES[kind]);
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  ort.env.logLevel = "error";
  const executionProviders = kind === "wasm" ? ["wasm"] : [kind, "wasm"];
  const session = await ort.InferenceSession.create(graph, { executionProviders, logSeverityLevel: 3 });
  const run = runner(ort, session, model);
  const side = Math.max(16, model.spec.min_size), channels = model.spec.input_channels;
  const trial = { data: new Uint8Array(side * side * channels), height: side, width: side, channels };
  if (kind !== "wasm") await run(trial, {}); // some graphics cards fail only now
  return { run };
}

// The graph as a function: an image and the controls -> Promise of an image.
function runner(ort, session, { spec, defaults }) {
  const controlled = {
    label: (value) => new ort.Tensor("int64", BigInt64Array.from([BigInt(value)]), [1]),
    style: (value) => new ort.Tensor("float32", Float32Array.from(value), [1, value.length]),
    detail: (value) => new ort.Tensor("float32", Float32Array.from([value]), [1]),
  };
  return async ({ data, height, width, channels }, controls) => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.length);
    const pixels = new ort.Tensor("uint8", bytes, [1, height, width, channels]);
    const inputs = { [session.inputNames[0]]: pixels };
    for (const name of session.inputNames.slice(1)) inputs[name] = controlled[name](controls[name] ?? defaults[name]);
    const output = (await session.run(inputs))[session.outputNames[0]];
    const [, high, wide, deep] = output.dims;
    const found = { data: new Uint8ClampedArray(await output.getData()), height: high, width: wide, channels: deep };
    output.dispose();
    return found;
  };
}

// What went wrong, as the page has a sentence for it.
function reason(error) {
  const text = `${error?.message ?? error}`;
  if (error instanceof TooLarge || error instanceof RangeError) return "memory";
  if (/memory|bad_alloc|allocat|out of bounds/i.test(text)) return "memory";
  return text;
}

onmessage = async ({ data: { id, picture, controls } }) => {
  try {
    const { run, model } = await ready;
    const progress = (done, of) => postMessage({ id, done, of });
    const made = await apply(picture, model, (image) => run(image, controls), { memory: MEMORY, progress });
    postMessage({ id, picture: made }, [made.data.buffer]);
  } catch (error) {
    postMessage({ id, error: reason(error) });
  }
};
