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
width, height = picture.size
if spec["working_size"]:  # the model knows things at this size
    factor = spec["working_size"] / max(width, height)
    picture = picture.resize((max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.LANCZOS)
inputs = {"image": np.asarray(picture)[None]}  # uint8 (1, H, W, 3)
if spec["labels"]:
    inputs["label"] = np.array([0])  # the first of them; style and detail work alike
(translated,) = session.run(["translated"], inputs)
size = (width * spec["scale"], height * spec["scale"])
Image.fromarray(translated[0]).resize(size, Image.Resampling.LANCZOS).save(target)
