"""A static web page that runs a model in the browser, with ONNX Runtime Web.

Everything is in one folder, which any file host can serve, also below a path: no program on the server, no special
headers, no other host. `page/` holds what is written for it; the sheet, the look and the style sheets are those of the
page of `translate ui`, copied as files.
"""

import html
import json
import shutil
import string
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from export.targets.folder import new_folder
from export.targets.source import Source, load
from translate.errors import ConfigError, ModelError
from translate.inference.controls import default_inputs
from translate.inference.placement import content_share_of
from translate.options import quoted
from translate.spec import ModelSpec
from translate.tasks import TASKS

RUNTIME = "1.30.0"
"""Version of onnxruntime-web that the page is written for and tested with."""

CPU_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
GPU_FILES = ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm")

MOST_SAMPLES = 6

_PAGE = Path(__file__).parent / "page"
_SHARED = Path(__file__).resolve().parents[2] / "ui"
_SHARED_FILES = ("controls.css", "sketch/studio.css", "sketch/sheet.js", "sketch/look.js")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")

_NOTICE = f"""\
The files in this folder are from onnxruntime-web {RUNTIME}, Copyright (c) Microsoft Corporation, MIT licence:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def write(model: str, output: Path, *, onnxruntime_web: Path | None = None, without_webgpu: bool = False) -> str:
    """Write the page.

    Args:
        model: see `export.targets.source.load`.
        output: the folder.
        onnxruntime_web: the unpacked npm package; None: npm fetches it.
        without_webgpu: whether to leave out what computes on the graphics card.

    Returns:
        What to do next, one line.

    Raises:
        ConfigError: the package cannot be had, has another version, or the folder exists already.
        ModelError: the model cannot be read, or has pixels that a browser cannot show.
    """
    with new_folder(output) as folder, tempfile.TemporaryDirectory() as scratch:
        package = onnxruntime_web or _fetched(Path(scratch))
        _copy_runtime(package, folder / "ort", CPU_FILES + (() if without_webgpu else GPU_FILES))
        source = load(model, "required")
        if not {source.spec.input_channels, source.spec.output_channels} <= {1, 3}:
            raise ModelError(f"{model}: pictures of a web page have 1 or 3 channels, this model has others")
        source = Source(source.graph, source.write(folder / "model.onnx"), source.origin)
        facts = _facts(source, webgpu=not without_webgpu, size=(folder / "model.onnx").stat().st_size)
        facts["samples"] = _copy_samples(source, folder)
        (folder / "model.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        for path in (*(_SHARED / name for name in _SHARED_FILES), *_PAGE.glob("*.[jc]s*")):
            shutil.copyfile(path, folder / path.name)
        (folder / "index.html").write_text(_index(source.spec), encoding="utf-8")
    trial = f"python -m http.server --bind 127.0.0.1 -d {quoted(output)}"
    return f"wrote {output}; put it on any file host, or try it: {trial}"


def served_name(name: str) -> str:
    """The name of a file of the package on the page: not all file hosts know that .mjs is JavaScript."""
    return name.replace(".mjs", ".js")


def _fetched(folder: Path) -> Path:
    """The npm package onnxruntime-web, from the registry that npm is configured for."""
    name = f"onnxruntime-web@{RUNTIME}"
    npm = shutil.which("npm")
    without = f"give the unpacked npm package with --onnxruntime-web FOLDER (npm pack {name})"
    if npm is None:
        raise ConfigError(f"npm is not installed, but fetches {name}; install it, or {without}")
    done = subprocess.run([npm, "pack", name, "--silent"], cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = (done.stderr.strip() or "no message").splitlines()[0]
        raise ConfigError(f"npm cannot fetch {name} ({said}); connect to the network, or {without}")
    with tarfile.open(archives[0]) as archive:
        wanted = {f"package/dist/{file}" for file in CPU_FILES + GPU_FILES} | {"package/package.json"}
        archive.extractall(folder, [file for file in archive if file.name in wanted], filter="data")
    return folder / "package"


def _copy_runtime(package: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy the files of ONNX Runtime Web that the page needs, if the version is right."""
    hint = f"give an unpacked onnxruntime-web@{RUNTIME}, or omit --onnxruntime-web to let npm fetch it"
    try:
        facts = json.loads((package / "package.json").read_text(encoding="utf-8"))
        found = f"{facts['name']}@{facts['version']}"
    except (OSError, ValueError, LookupError, TypeError):
        raise ConfigError(f"{package} is not an unpacked npm package; {hint}") from None
    if found != f"onnxruntime-web@{RUNTIME}":
        raise ConfigError(f"{package} is {found}; {hint}")
    target.mkdir()
    for name in names:
        try:
            shutil.copyfile(package / "dist" / name, target / served_name(name))
        except OSError:
            raise ConfigError(f"{package} lacks dist/{name}; {hint}") from None
    (target / "LICENSE.txt").write_text(_NOTICE, encoding="utf-8")


def _facts(source: Source, *, webgpu: bool, size: int) -> dict[str, Any]:
    """What the page has to know about the model: `model.json`."""
    spec = source.spec
    defaults = {name: value.ravel().tolist() for name, value in default_inputs(spec).items()}
    return {
        "spec": json.loads(spec.to_json()),
        "defaults": {name: value if name == "style" else value[0] for name, value in defaults.items()},
        "style_kind": "colours" if spec.colour_style else "number" if spec.style_size else "",
        "content_share": content_share_of(spec),
        "webgpu": webgpu,
        "bytes": size,
    }


def _copy_samples(source: Source, folder: Path) -> list[dict[str, Any]]:
    """Copy a few pictures to try the model on, from `samples` beside its file, evenly spread."""
    found = sorted(source.origin.parent.glob("samples/*")) if source.origin else []
    found = [path for path in found if path.suffix.lower() in _PICTURES]
    chosen = found[:: -(-len(found) // MOST_SAMPLES)] if found else []
    samples: list[dict[str, Any]] = []
    for path in chosen:
        (folder / "samples").mkdir(exist_ok=True)
        shutil.copyfile(path, folder / "samples" / path.name)
        label = source.spec.label_of(path.name)
        title = path.stem.replace("-", " ").replace("_", " ")
        number = None if label is None else source.spec.labels.index(label)
        samples.append({"file": f"samples/{quote(path.name)}", "title": title, "label": number})
    return samples


def _index(spec: ModelSpec) -> str:
    """index.html for a model."""
    task = TASKS.get(spec.task)
    forward = task if spec.direction == "forward" else None
    about = [f"Licence of the model: {spec.licence}."]
    if spec.training_data != "unknown":
        about.append(f"It was trained on {spec.training_data}.")
    if spec.working_size is not None:
        about.append(f"It works on {spec.working_size} pixels; other pictures are resized to that and back.")
    if spec.scene_size is not None:
        about.append(
            f"It sees the light of a scene at {spec.scene_size} pixels of the shorter side; larger pictures keep their "
            "own fine detail."
        )
    words = {
        "title": spec.name.replace("-", " ").replace("_", " ").capitalize(),
        "summary": forward.summary if forward else "Turn a picture into another one",
        "input": forward.input_label if forward else "Input",
        "output": forward.output_label if forward else "Result",
    }
    words = {name: html.escape(text) for name, text in words.items()}
    words["about"] = "\n".join(f"<p>{html.escape(text)}</p>" for text in about)
    words["draws"] = "true" if forward is not None and forward.draws_input else "false"
    return string.Template((_PAGE / "index.html").read_text(encoding="utf-8")).substitute(words)
