"""Convert one picture on a Triton server, with numpy and Pillow: python client.py http://host:8000 NAME in.png out.png

A server for NAME: translate export MODEL --target triton -o models
"""

import json
import sys
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image, ImageOps

server, name, source, target = sys.argv[1:]
address = f"{server}/v2/models/{name}"
with urlopen(f"{address}/config") as answer:
    spec = json.loads(json.load(answer)["parameters"]["translate.spec"]["string_value"])
picture = ImageOps.exif_transpose(Image.open(source)).convert("RGBA")  # photographs may be stored turned
picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
width, height = picture.size
if spec["working_size"]:  # the model knows things at this size
    factor = spec["working_size"] / max(width, height)
    picture = picture.resize((max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.LANCZOS)
image = np.asarray(picture)[None]  # uint8 (1, H, W, 3)
facts = {"name": "image", "datatype": "UINT8", "shape": image.shape, "parameters": {"binary_data_size": image.nbytes}}
wanted = {"name": "translated", "parameters": {"binary_data": True}}
header = json.dumps({"inputs": [facts], "outputs": [wanted]}).encode()
length = "Inference-Header-Content-Length"
with urlopen(Request(f"{address}/infer", header + image.tobytes(), {length: str(len(header))})) as answer:
    shape = json.loads(answer.read(int(answer.headers[length])))["outputs"][0]["shape"]
    translated = np.frombuffer(answer.read(), np.uint8).reshape(shape)
size = (width * spec["scale"], height * spec["scale"])
Image.fromarray(translated[0]).resize(size, Image.Resampling.LANCZOS).save(target)
