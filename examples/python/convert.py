"""Convert one picture with ONNX Runtime, numpy and Pillow: python convert.py mine.onnx in.png out.png"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, source, target = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.log_severity_level = 3  # optional inputs are no reason to warn
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
spec = json.loads(session.get_modelmeta().custom_metadata_map["translate.spec"])

picture = ImageOps.exif_transpose(Image.open(source))  # photographs may be stored turned
if picture.mode.startswith("I;16"):  # grey of 16 bits, which Pillow would cut off at 255
    picture = Image.fromarray(np.uint8(np.rint(np.asarray(picture) / 257)))
picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("RGB")
things, scenes = spec["working_size"], spec["scene_size"] or 1e9  # the model knows them at these sizes
factor = things / max(picture.size) if things else min(1, scenes / min(picture.size))
seen = picture.resize([max(1, round(side * factor)) for side in picture.size], Image.LANCZOS)
inputs = {"image": np.asarray(seen)[None]}  # uint8 (1, H, W, 3)
if spec["labels"]:
    inputs["label"] = np.array([0])  # the first of them; style and detail work alike
(translated,) = session.run(["translated"], inputs)
size = [side * spec["scale"] for side in picture.size]
result = Image.fromarray(translated[0]).resize(size, Image.LANCZOS)
if spec["scene_size"]:  # a scene keeps its fine detail, as strong as the place is bright
    was, became = (np.moveaxis(np.float32(one), 2, 0) for one in (seen, translated[0]))
    gain = np.minimum((became.sum(0) + 24) / (was.sum(0) + 24), 2)
    wide = np.dstack([Image.fromarray(plane).resize(size, Image.LANCZOS) for plane in (*(became - gain * was), gain)])
    result = Image.fromarray(np.clip(np.rint(picture * wide[..., 3:] + wide[..., :3]), 0, 255).astype(np.uint8))
result.save(target)
