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

picture = ImageOps.exif_transpose(Image.open(source)).convert("RGBA")  # photographs may be stored turned
picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
width, height = picture.size
if spec["working_size"]:  # the model knows things at this size
    factor = spec["working_size"] / max(width, height)
    picture = picture.resize((max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.LANCZOS)
translated = compiled({"image": np.asarray(picture)[None]})[0]  # uint8 (1, H, W, 3) in and out
size = (width * spec["scale"], height * spec["scale"])
Image.fromarray(translated[0]).resize(size, Image.Resampling.LANCZOS).save(target)
