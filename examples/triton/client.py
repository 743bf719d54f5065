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
spec = json.loads(json.load(urlopen(f"{address}/config"))["parameters"]["translate.spec"]["string_value"])
picture = ImageOps.exif_transpose(Image.open(source))  # photographs may be stored turned
if picture.mode.startswith("I;16"):  # grey of 16 bits, which Pillow would cut off at 255
    picture = Image.fromarray(np.uint8(np.rint(np.asarray(picture) / 257)))
picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA")).convert("RGB")
things, scenes = spec["working_size"], spec["scene_size"] or 1e9  # the model knows them at these sizes
factor = things / max(picture.size) if things else min(1, scenes / min(picture.size))
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
