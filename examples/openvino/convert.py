"""Convert one picture with OpenVINO, numpy and Pillow: python convert.py mine.onnx in.png out.png"""

import json
import sys

import numpy as np
import openvino
from PIL import Image, ImageOps

path, source, target = sys.argv[1:]
model = openvino.Core().read_model(path)
spec = json.loads(model.get_rt_info(["framework", "translate.spec"]).astype(str))
# Where the processor can, OpenVINO would compute with bfloat16, which shows: some values differ by dozens of levels.
compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

picture = ImageOps.exif_transpose(Image.open(source))  # photographs may be stored turned
if picture.mode.startswith("I;16"):  # grey of 16 bits, which Pillow would cut off at 255
    picture = Image.fromarray(np.uint8(np.rint(np.asarray(picture) / 257)))
picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("RGB")
things, scenes = spec["working_size"], spec["scene_size"] or 1e9  # the model knows them at these sizes
factor = things / max(picture.size) if things else min(1, scenes / min(picture.size))
seen = picture.resize([max(1, round(side * factor)) for side in picture.size], Image.Resampling.LANCZOS)
translated = compiled({"image": np.asarray(seen)[None]})[0]  # uint8 (1, H, W, 3) in and out
size = [side * spec["scale"] for side in picture.size]
result = Image.fromarray(translated[0]).resize(size, Image.Resampling.LANCZOS)
if spec["scene_size"]:  # a scene keeps its fine detail, as strong as the place is bright
    was, became = np.float32(seen), np.float32(translated[0])
    gain = np.minimum((became.sum(2, keepdims=True) + 24) / (was.sum(2, keepdims=True) + 24), 2)
    planes = np.moveaxis(np.dstack([became - gain * was, gain]), 2, 0)
    wide = np.dstack([Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS) for plane in planes])
    result = Image.fromarray(np.clip(np.rint(picture * wide[..., 3:] + wide[..., :3]), 0, 255).astype(np.uint8))
result.save(target)
