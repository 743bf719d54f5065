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

picture = ImageOps.exif_transpose(Image.open(source)).convert("RGBA")  # photographs may be stored turned
picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
factor = min(1, (spec["scene_size"] or 1e9) / min(picture.size))  # the model knows scenes at this size
if spec["working_size"]:  # and things at this one
    factor = spec["working_size"] / max(picture.size)
seen = picture.resize([max(1, round(side * factor)) for side in picture.size], Image.Resampling.LANCZOS)
inputs = {"image": np.asarray(seen)[None]}  # uint8 (1, H, W, 3)
if spec["labels"]:
    inputs["label"] = np.array([0])  # the first of them; style and detail work alike
(translated,) = session.run(["translated"], inputs)
size = [side * spec["scale"] for side in picture.size]
result = Image.fromarray(translated[0]).resize(size, Image.Resampling.LANCZOS)
if spec["scene_size"]:  # a scene keeps its fine detail, as strong as the place is bright
    was, became = np.float32(seen), np.float32(translated[0])
    gain = np.minimum((became.sum(2, keepdims=True) + 24) / (was.sum(2, keepdims=True) + 24), 2)
    planes = np.moveaxis(np.dstack([became - gain * was, gain]), 2, 0)
    wide = np.dstack([Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS) for plane in planes])
    result = Image.fromarray(np.clip(np.rint(picture * wide[..., 3:] + wide[..., :3]), 0, 255).astype(np.uint8))
result.save(target)
