"""Which device is taken, and what is said about it: with a stand-in for ONNX Runtime that has any provider."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import INVERT, save_model
from test_engine import ALL, save_sum

from translate.cli.main import main
from translate.errors import ConfigError, ModelError
from translate.files import cache_folder
from translate.inference import devices, session
from translate.inference.devices import GPUS, TENSORRT_SIDE, Window, open_graph
from translate.inference.engine import GPU_BATCH, Engine
from translate.inference.graph_file import read_metadata, with_required_inputs
from translate.spec import METADATA_KEY, ModelSpec

CUDA, TENSORRT, DIRECTML, COREML, CPU = (
    f"{name}ExecutionProvider" for name in ("CUDA", "Tensorrt", "Dml", "CoreML", "CPU")
)


class Part:
    """Operators that one provider took."""

    def __init__(self, provider: str, count: int) -> None:
        self.ep_name, self._count = provider, count

    def get_nodes(self) -> list[None]:
        return [None] * self._count


class Opened:
    """A session on the CPU that says it is on another provider."""

    def __init__(self, real: Any, providers: list[str], parts: list[Part]) -> None:
        self._real, self._providers, self._parts = real, providers, parts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return self._providers

    def get_provider_graph_assignment_info(self) -> list[Part]:
        return self._parts


class Runtime:
    """ONNX Runtime with some more providers."""

    def __init__(self, *available: str, error: str = "", falls_back: bool = False, taken: int = 2) -> None:
        self.available, self.error, self.falls_back, self.taken = available, error, falls_back, taken
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def get_available_providers(self) -> list[str]:
        return [*self.available, CPU]

    def preload_dlls(self) -> None:
        print("a library is missing")  # noqa: T201 - as the real one does

    def InferenceSession(self, model: str | bytes, options: Any, providers: Sequence[Any], **_: Any) -> Any:  # noqa: N802
        real = onnxruntime.InferenceSession(model, options, providers=[CPU])
        if providers[0] == CPU:
            return real
        self.asked.append(providers[0])
        if self.error:
            raise RuntimeError(self.error)
        names = [one if isinstance(one, str) else one[0] for one in providers]
        parts = [Part(names[0], self.taken), Part(CPU, 3)]
        return Opened(real, [CPU] if self.falls_back else names, parts)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """A machine with an NVIDIA GPU, whose results are in main memory. Nothing is ever printed."""
    monkeypatch.setattr(devices, "gpu_present", lambda: True)
    monkeypatch.setitem(session.RESULTS_ON, "cuda", "cpu")
    monkeypatch.setitem(session.RESULTS_ON, "tensorrt", "cpu")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    yield
    assert capfd.readouterr() == ("", "")


def use(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> Runtime:
    monkeypatch.setattr(devices, "_ort", runtime)
    return runtime


def test_auto_takes_the_first_that_starts(invert_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Runtime(TENSORRT, CUDA, COREML))
    engine = Engine(invert_model)
    assert (engine.device, engine.batch) == ("cuda", GPU_BATCH)
    assert engine.device_why == f"{CUDA}, which took 2 of 5 operators"
    use(monkeypatch, Runtime(TENSORRT, COREML))  # which are never chosen
    engine = Engine(invert_model)
    assert (engine.device, engine.device_why) == ("cpu", f"this onnxruntime has no {CUDA}")
    monkeypatch.setattr(sys, "platform", "win32")
    use(monkeypatch, Runtime(DIRECTML))
    assert Engine(invert_model).device == "directml"
    use(monkeypatch, Runtime())
    monkeypatch.setattr(devices, "gpu_present", lambda: False)
    assert Engine(invert_model).device_why == f"no NVIDIA GPU found; this onnxruntime has no {DIRECTML}"
    assert Engine(invert_model, device="cpu").device_why == "as asked"


@pytest.mark.parametrize(
    ("device", "runtime", "found"),
    [
        ("cuda", Runtime(CUDA, error="no\ncuBLAS"), f"{CUDA} failed (no cuBLAS); install the extra `gpu`, or use"),
        ("cuda", Runtime(CUDA, falls_back=True), f"{CUDA} did not load; it needs its driver and libraries; install"),
        ("cuda", Runtime(CUDA, taken=0), f"{CUDA} took none of the 3 operators; install"),
        ("tensorrt", Runtime(CUDA), f"this onnxruntime has no {TENSORRT}; install the extra `gpu` and the package"),
        ("tensorrt", Runtime(TENSORRT, falls_back=True), f"{TENSORRT} did not load; it needs"),
        ("directml", Runtime(CUDA), f"this onnxruntime has no {DIRECTML}; use Windows, with onnxruntime-directml"),
        ("coreml", Runtime(CUDA), f"this onnxruntime has no {COREML}; use a Mac, or use --device cpu"),
    ],
)
def test_a_device_that_does_not_start_is_an_error(
    device: Any, runtime: Runtime, found: str, invert_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, runtime)
    with pytest.raises(ModelError) as caught:
        Engine(invert_model, device=device)
    said = str(caught.value)
    assert said.startswith(f"{invert_model}: --device {device} did not start: {found}")
    assert said.endswith("or use --device cpu")
    assert "\n" not in said


def test_the_command_ends_with_one_line(
    invert_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "gpu_present", lambda: False)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"")
    options = ["--model", str(invert_model), "--device", "tensorrt"]
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out"), *options]) == 2
    reason = "--device tensorrt did not start: no NVIDIA GPU found; use --device cpu"
    assert capfd.readouterr() == ("", f"translate: {invert_model}: {reason}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["auto", "cuda", "directml", "openvino"])
def test_an_unusable_file_is_reported_as_such(device: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Runtime())
    monkeypatch.chdir(tmp_path)  # where the second file would be found
    (tmp_path / "garbage.onnx").write_bytes(b"\xffgarbage")
    save_model(tmp_path / "external.onnx", INVERT, external=True)
    for name in ("garbage", "external"):
        with pytest.raises(ModelError, match=r"truncated, or not an ONNX file|weights are in another file"):
            Engine(tmp_path / f"{name}.onnx", device=device)


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "directml", "coreml"])
def test_results_are_the_same_on_every_device(
    device: Any, tmp_path: Path, image_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, Runtime(CUDA, TENSORRT, DIRECTML, COREML))
    path = save_sum(tmp_path / "all.onnx", ALL)
    engine, plain = Engine(path, device=device), Engine(path, device="cpu")
    assert engine.batch == (GPU_BATCH if device in GPUS else 1)
    turned_HWC = image_HWC[::-1, :, ::-1]  # not contiguous
    for chosen in ({}, {"label": "night", "style": (3, 4)}, {"detail": 1.0}):
        expected_HWC = plain(turned_HWC // 3, **chosen)
        assert np.array_equal(engine(turned_HWC // 3, **chosen), expected_HWC)


def test_tensorrt_is_told_the_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = use(monkeypatch, Runtime(TENSORRT, CUDA))
    path = save_model(tmp_path / "m.onnx", ModelSpec(**{**vars(INVERT), "receptive_field": 9, "min_size": 16}))
    Engine(path, device="tensorrt")
    (((name, settings)),) = runtime.asked
    assert name == TENSORRT
    assert settings["trt_profile_min_shapes"] == "image:1x16x16x3"
    assert settings["trt_profile_max_shapes"] == f"image:{GPU_BATCH}x{TENSORRT_SIDE}x{TENSORRT_SIDE}x3"
    assert settings["trt_fp16_enable"] == "False"
    folder = Path(settings["trt_engine_cache_path"])
    assert folder.is_dir()
    assert folder.parent == cache_folder() / "tensorrt"
    Engine(save_model(tmp_path / "n.onnx", ModelSpec(**{**vars(INVERT), "licence": "CC0"})), device="tensorrt")
    assert runtime.asked[-1][1]["trt_engine_cache_path"] == str(folder)  # the same graph, described in other words
    sizes: list[tuple[int, ...]] = []
    engine = Engine(path, device="tensorrt", tile=100, batch=2)
    whole = engine._session.run
    engine._joined = lambda image_NHWC, controls: (sizes.append(image_NHWC.shape), whole(image_NHWC, controls))[1]
    pictures_NHWC = np.random.default_rng(0).integers(0, 256, (5, 230, 64, 3), dtype=np.uint8)
    assert np.array_equal(engine(pictures_NHWC), 255 - pictures_NHWC)
    assert np.array_equal(engine(pictures_NHWC[:, :50]), 255 - pictures_NHWC[:, :50])
    assert max(size[0] for size in sizes) == 2
    assert max(max(size[1:3]) for size in sizes) <= 100
    with pytest.raises(ConfigError, match="--tile 0 does not work with --device tensorrt"):
        Engine(path, device="tensorrt", tile=0)


def test_defaults_are_taken_out(tmp_path: Path) -> None:
    path = save_sum(tmp_path / "all.onnx", ALL)
    made = onnx.load_from_string(with_required_inputs(path.read_bytes()))
    expected = onnx.load(path)
    inputs = {one.name for one in expected.graph.input}
    kept = [one for one in expected.graph.initializer if one.name not in inputs]
    assert len(kept) < len(expected.graph.initializer)
    del expected.graph.initializer[:]
    expected.graph.initializer.extend(kept)
    assert made == expected
    assert read_metadata(path) == {METADATA_KEY: ALL.to_json()}


def test_openvino_is_missing(invert_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    message = "did not start: the package openvino is not installed; install the extra `openvino`, or use --device cpu"
    with pytest.raises(ModelError, match=message):
        open_graph(invert_model, 1, "openvino", Window(1, 0))


def test_openvino(tmp_path: Path, image_HWC: np.ndarray) -> None:
    pytest.importorskip("openvino")
    path = save_sum(tmp_path / "all.onnx", ALL)
    engine, plain = Engine(path, device="openvino", threads=1), Engine(path, device="cpu")
    assert engine.device == "openvino"
    assert engine.device_why.startswith("OpenVINO 2")
    for chosen in ({}, {"label": "night", "style": (3, 4), "detail": 0.5}):
        assert np.array_equal(engine(image_HWC // 3, **chosen), plain(image_HWC // 3, **chosen))


def test_openvino_with_16_bits(image_HWC: np.ndarray) -> None:
    """A shipped model, whose remainder beyond 8 bits is an optional input."""
    pytest.importorskip("openvino")
    engine, plain = (Engine("super-resolution", device=device) for device in ("openvino", "cpu"))
    image_HWC = image_HWC[:16, :16]
    deep_HWC = image_HWC.astype(np.uint16) * 257 + 100
    assert engine.max_bits == 16
    assert np.abs(engine(image_HWC).astype(int) - plain(image_HWC)).max() <= 1
    assert np.abs(engine(deep_HWC).astype(int) - plain(deep_HWC)).max() <= 257
