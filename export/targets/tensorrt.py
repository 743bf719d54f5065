"""A graph that TensorRT takes, and a script that builds the engine with `trtexec`.

TensorRT lets pixels of 8 bits in and out, but does nothing else with them than to convert them (NVIDIA/TensorRT#3985).
So the graph converts them first and last, and has no other inputs. Engines are built on the GPU that they are for.
"""

import re
from pathlib import Path

import onnx
import onnx.helper

from export.targets.folder import check_new, new_folder
from export.targets.source import Source, load
from translate.errors import ConfigError, ModelError
from translate.options import quoted
from translate.spec import ModelSpec

Size = tuple[int, int]
"""Width and height in pixels."""

_SCRIPT = """\
#!/bin/sh
# Builds model.plan from model.onnx, for the GPU of this machine; more options of trtexec may be given.
set -eu
cd "$(dirname "$0")"
if ! command -v trtexec > /dev/null; then
    echo "trtexec is not on the PATH; it comes with TensorRT, often in /usr/src/tensorrt/bin" >&2
    exit 127
fi
exec trtexec --onnx=model.onnx --saveEngine=model.plan \\
    --minShapes={minimum} --optShapes={optimum} --maxShapes={maximum} "$@"
"""

_README = """\
# {name} in TensorRT

```sh
sh build.sh            # float32
sh build.sh --fp16     # half precision where it is faster; TensorRT 8.6 to 10
trtexec --loadEngine=model.plan --shapes={optimum}     # how fast it is
```

The engine takes `{image}`, uint8 (N, H, W, {channels}), and returns `{result}`, uint8 (N, H{times}, W{times}, {deep}).
It takes sizes from {least} to {most} (width x height) and batches of up to {batch}, and is tuned for {best}; change the
shapes in `build.sh` for others. Labels, style and detail, if the model has them, are built in.

- It belongs to the GPU and the version of TensorRT that it was built with.
- TensorRT 11 has no `--fp16`: there, the precision is that of the graph.
- Half precision rounds; compare results before you rely on it.
{note}
Licence of the model: {licence}.
"""


def write(
    model: str,
    output: Path,
    *,
    min_size: str | None = None,
    opt_size: str | None = None,
    max_size: str | None = None,
    max_batch_size: int = 1,
) -> str:
    """Write the folder.

    Args:
        model: see `export.targets.source.load`.
        output: the folder.
        min_size, opt_size, max_size: WIDTHxHEIGHT of the smallest, the usual and the largest picture; None: by the
            spec, see `default_sizes`.
        max_batch_size: most pictures at once.

    Returns:
        What to do next, one line.

    Raises:
        ConfigError: the sizes are not in order, or the folder exists already.
        ModelError: the model cannot be read, or computes with pixels of 8 bits.
    """
    given = {"min": min_size, "opt": opt_size, "max": max_size}
    wished = {name: _size(f"--{name}-size", text) for name, text in given.items() if text}
    check_new(output)  # before a run is exported, which takes a while
    source = load(model, "fixed")
    sizes = default_sizes(source.spec) | wished
    _check_order(sizes, source.spec.min_size)
    pixels_at_the_ends(source.graph)
    image, channels = source.graph.graph.input[0].name, source.spec.input_channels
    batches = {"min": 1, "opt": 1, "max": max_batch_size}
    shapes = {name: f"{image}:{batches[name]}x{height}x{width}x{channels}" for name, (width, height) in sizes.items()}
    with new_folder(output) as folder:
        source.write(folder / "model.onnx")
        script = _SCRIPT.format(minimum=shapes["min"], optimum=shapes["opt"], maximum=shapes["max"])
        (folder / "build.sh").write_text(script, encoding="utf-8", newline="\n")
        (folder / "README.md").write_text(_readme(source, sizes, shapes, max_batch_size), encoding="utf-8")
    return f"wrote {output}; next, on the machine with the GPU: sh {quoted(output / 'build.sh')}"


def default_sizes(spec: ModelSpec) -> dict[str, Size]:
    """Smallest, usual and largest size for a model, as `translate.Engine` would use it."""
    if spec.working_size:
        side = spec.working_size
        least = max(spec.min_size, side // 4)
        return {"min": (least, least), "opt": (side, side), "max": (side, side)}
    if spec.scene_size:
        side = spec.scene_size
        least = max(spec.min_size, side // 2)
        return {"min": (least, least), "opt": (round(side * 16 / 9), side), "max": (3 * side, 3 * side)}
    least = max(spec.min_size, 64)
    usual, most = max(512, least), max(1024, least)
    return {"min": (least, least), "opt": (usual, usual), "max": (most, most)}


def pixels_at_the_ends(model: onnx.ModelProto) -> None:
    """Let a graph convert its pixels to floats first and back last, in place; the result is the same.

    Raises:
        ModelError: it computes with 8 bits in between.
    """
    graph = model.graph
    image, result = graph.input[0].name, graph.output[0].name
    del graph.value_info[:]  # the types change
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == image:
                node.input[place] = f"{image}_float"
    nodes = [onnx.helper.make_node("Cast", [image], [f"{image}_float"], to=onnx.TensorProto.FLOAT), *graph.node]
    last = next(node for node in nodes if result in node.output)
    before = next((node for node in nodes if last.input[0] in node.output), last)
    if (before.op_type, last.op_type) == ("Cast", "Transpose"):  # first the axes, then the type
        last.input[0], before.input[0] = before.input[0], f"{result}_float"
        last.output[0], before.output[0] = before.input[0], result
        nodes = [*(node for node in nodes if node is not before), before]
        last = before
    del graph.node[:]
    graph.node.extend(nodes)
    if last.op_type != "Cast" or not _floats_inside(model):
        raise ModelError(
            "this graph computes with unsigned numbers of 8 bits, which TensorRT does not; "
            "use one that `translate export` has written"
        )


def _floats_inside(model: onnx.ModelProto) -> bool:
    """Whether nothing but the first input and the output has pixels of 8 bits."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    kinds = {value.type.tensor_type.elem_type for value in inferred.value_info}
    return onnx.TensorProto.UINT8 not in kinds | {tensor.data_type for tensor in inferred.initializer}


def _check_order(sizes: dict[str, Size], least: int) -> None:
    if min(sizes["min"]) < least:
        raise ConfigError(f"--min-size {_text(sizes['min'])} is too small; the model needs {least}x{least} or more")
    for name, other in (("min", "opt"), ("opt", "max")):
        if any(small > large for small, large in zip(sizes[name], sizes[other], strict=True)):
            texts = " and ".join(f"{key} {_text(sizes[key])}" for key in (name, other))
            raise ConfigError(
                f"sizes have to grow from min to opt to max, but {texts}; give --{name}-size or --{other}-size"
            )


def _readme(source: Source, sizes: dict[str, Size], shapes: dict[str, str], max_batch_size: int) -> str:
    graph, spec = source.graph.graph, source.spec
    note = ""
    if spec.working_size:
        note = f"- Resize pictures so that the longer side is {spec.working_size}; the model works on that size.\n"
    if spec.scene_size:
        note = (
            f"- Reduce larger pictures so that the shorter side is {spec.scene_size}, and transfer the change of light "
            "to the full picture.\n"
        )
    return _README.format(
        name=spec.name, image=graph.input[0].name, result=graph.output[0].name, channels=spec.input_channels,
        deep=spec.output_channels, times=f" * {spec.scale}" if spec.scale > 1 else "", least=_text(sizes["min"]),
        most=_text(sizes["max"]), best=_text(sizes["opt"]), batch=max_batch_size, optimum=shapes["opt"],
        licence=spec.licence, note=note,
    )  # fmt: skip


def _size(option: str, text: str) -> Size:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not found:
        raise ConfigError(f"{option} is {text!r}; give width and height in pixels, for example 256x256")
    return int(found[1]), int(found[2])


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
