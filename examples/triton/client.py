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
factor = min(1, (spec["scene_size"] or 1e9) / min(picture.size))  # the model knows scenes at this size
if spec["working_size"]:  # and things at this one
    factor = spec["working_size"] / max(picture.size)
# uint8 (1, H, W, 3)
image = np.asarray(picture.resize([max(1, round(side * factor)) for side in picture.size], Image.LANCZOS))[None]
meta = {"name": "image", "datatype": "UINT8", "shape": image.shape, "parameters": {"binary_data_size": image.nbytes}}
head = json.dumps({"inputs": [meta], "outputs": [{"name": "translated", "parameters": {"binary_data": True}}]}).encode()
length = "Inference-Header-Content-Length"
with urlopen(Request(f"{address}/infer", head + image.tobytes(), {length: str(len(head))})) as answer:
    shape = json.loads(answer.read(int(answer.headers[length])))["outputs"][0]["shape"]
    translated = np.frombuffer(answer.read(), np.uint8).reshape(shape)
size = [side * spec["scale"] for side in picture.size]
result = Image.fromarray(translated[0]).resize(size, Image.LANCZOS)
if spec["scene_size"]:  # a scene keeps its fine detail, as strong as the place is bright
    was, became = (np.moveaxis(np.float32(one), 2, 0) for one in (image[0], translated[0]))
    gain = np.minimum((became.sum(0) + 24) / (was.sum(0) + 24), 2)
    wide = np.dstack([Image.fromarray(plane).resize(size, Image.LANCZOS) for plane in (*(became - gain * was), gain)])
    result = Image.fromarray(np.clip(np.rint(picture * wide[..., 3:] + wide[..., :3]), 0, 255).astype(np.uint8))
result.save(target)
