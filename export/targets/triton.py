"""A model repository for NVIDIA Triton Inference Server: `NAME/1/model.onnx` and `NAME/config.pbtxt`.

Triton joins waiting requests of equal size to one run ("dynamic batching"). It then takes the first dimension of every
input for the batch, but label, style and detail have one value for all pictures. So they are built in, unless batches
are switched off. The configuration is described by model_config.proto of Triton.
"""

import json
import re
from pathlib import Path

import onnx

from export.targets.folder import check_new, new_folder
from export.targets.source import Source, load
from translate.errors import ConfigError
from translate.options import quoted
from translate.spec import METADATA_KEY, ModelSpec

BATCH = 8
DELAY_MICROSECONDS = 2000
"""How long a picture waits for others: little beside the time of a run."""

_WARM_UP = 256
_KINDS: dict[int, str] = {onnx.TensorProto.INT64: "TYPE_INT64", onnx.TensorProto.FLOAT: "TYPE_FP32"}

Tensors = dict[str, tuple[str, list[int]]]
"""Type and dimensions by name, as in the configuration."""

_README = """\
# {name} in Triton Inference Server

In the folder that `{name}` is in; on a machine with a GPU, add `--gpus all` to the first line:

```sh
docker run --rm -p 8000-8002:8000-8002 -v "$PWD:/models" nvcr.io/nvidia/tritonserver:24.12-py3 \\
    tritonserver --model-repository=/models
curl -f localhost:8000/v2/models/{name}/ready
curl localhost:8000/v2/models/{name}
curl localhost:8002/metrics
```

`examples/triton/client.py` of translate sends a picture to it.

- {inputs}
- Licence of the model: {licence}
"""


def write(model: str, output: Path, *, name: str | None = None, max_batch_size: int = BATCH) -> str:
    """Add a model to a repository.

    Args:
        model: see `export.targets.source.load`.
        output: the repository, which may exist.
        name: of the model; None: as in its spec.
        max_batch_size: most pictures per run; 0: no batches, and label, style and detail are inputs.

    Returns:
        What to do next, one line.

    Raises:
        ConfigError: the name cannot be that of a folder, or the repository has such a model.
        ModelError: the model cannot be read.
    """
    if name is not None:  # before a run is exported, which takes a while
        _check_name(name)
        check_new(output / name)
    source = load(model, "fixed" if max_batch_size else "required")
    name = name or source.spec.name
    _check_name(name)
    with new_folder(output / name) as folder:
        (folder / "1").mkdir()
        written = source.write(folder / "1" / "model.onnx")
        (folder / "config.pbtxt").write_text(configuration(source, written, name, max_batch_size), encoding="utf-8")
        (folder / "README.md").write_text(_readme(source, name, max_batch_size), encoding="utf-8")
    return f"wrote {output / name}; next: tritonserver --model-repository={quoted(output.absolute())}"


def _check_name(name: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise ConfigError(f"{name!r} cannot be the name of a model in Triton; give --name with letters, digits, . _ -")


def configuration(source: Source, written: ModelSpec, name: str, max_batch_size: int) -> str:
    """The text of config.pbtxt; `written` is the spec in the file."""
    spec = source.spec
    side = spec.working_size or max(_WARM_UP, spec.min_size)
    lines = [
        f'name: "{name}"',
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {max_batch_size}",
        *_tensors("input", _inputs(source, [-1, -1] if max_batch_size else [-1, -1, -1])),
        *_tensors("output", _outputs(source, [-1, -1] if max_batch_size else [-1, -1, -1])),
    ]
    if max_batch_size:
        preferred = sorted({max_batch_size // 2, max_batch_size} - {0, 1})
        lines += [
            "dynamic_batching {",
            *([f"  preferred_batch_size: {preferred}"] if preferred else []),
            f"  max_queue_delay_microseconds: {DELAY_MICROSECONDS}",
            "}",
        ]
    lines.append("instance_group [ { count: 1, kind: KIND_AUTO } ]")
    # For clients, at /v2/models/NAME/config. The escapes of JSON are those of this format.
    described = json.dumps(written.to_json())
    lines.append(f'parameters {{ key: "{METADATA_KEY}", value {{ string_value: {described} }} }}')
    lines += _warm_up(_inputs(source, [side, side] if max_batch_size else [1, side, side]))
    return "\n".join(lines) + "\n"


def _inputs(source: Source, pixels: list[int]) -> Tensors:
    """The inputs; `pixels` are the dimensions of the image before its channels."""
    image, *controls = source.graph.graph.input
    shapes = {"style": [1, source.spec.style_size]}
    found = {image.name: ("TYPE_UINT8", [*pixels, source.spec.input_channels])}
    for value in controls:
        found[value.name] = (_KINDS[value.type.tensor_type.elem_type], shapes.get(value.name, [1]))
    return found


def _outputs(source: Source, pixels: list[int]) -> Tensors:
    return {source.graph.graph.output[0].name: ("TYPE_UINT8", [*pixels, source.spec.output_channels])}


def _tensors(kind: str, tensors: Tensors) -> list[str]:
    """`input` or `output` of the configuration."""
    rows = [f'  {{ name: "{name}", data_type: {type_}, dims: {dims} }}' for name, (type_, dims) in tensors.items()]
    return [f"{kind} [", ",\n".join(rows), "]"]


def _warm_up(inputs: Tensors) -> list[str]:
    """One run before the first request, which would wait for what runtimes prepare in it."""
    rows = [
        f'  inputs {{ key: "{name}", value {{ data_type: {kind}, dims: {dims}, zero_data: true }} }}'
        for name, (kind, dims) in inputs.items()
    ]
    return ["model_warmup [ {", '  name: "one picture"', "  batch_size: 1", *rows, "} ]"]


def _readme(source: Source, name: str, max_batch_size: int) -> str:
    spec, (image, *controls) = source.spec, source.graph.graph.input
    inputs = [f"Input `{image.name}`: uint8 (N, H, W, {spec.input_channels}), any H and W"]
    if max_batch_size:
        inputs.append(f"Up to {max_batch_size} pictures of equal size share a run")
        inputs.append("Label, style and detail, if the model has them, are built in")
    elif controls:
        inputs.append(f"To be given as well: {', '.join(f'`{value.name}`' for value in controls)}")
    if spec.working_size:
        inputs.append(f"Resize pictures so that their longer side is {spec.working_size}; the model works on that size")
    if spec.scene_size:
        inputs.append(
            f"Reduce larger pictures so that their shorter side is {spec.scene_size}, and transfer the change of light "
            "to the full picture, as examples/triton/client.py does"
        )
    return _README.format(name=name, inputs="\n- ".join(inputs), licence=spec.licence)
