"""`translate import`: generators of other programs become files that do the same, or one line says why not.

Shape suffixes: N batch, H height, W width, C channels.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classic_networks import INSTANCE, NETWORKS, their_resnet
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import export.backends
import export.verify
import export.written
from export.foreign.checkpoint import read_state
from export.foreign.recognise import recognise
from translate.cli.main import main
from translate.errors import ModelError
from translate.inference.engine import Engine

IMPORTED = {
    "U-Net 128": NETWORKS["U-Net 128"],
    "ResNet-9, batch, dropout": NETWORKS["ResNet-9, batch, dropout"],
    "CUT": lambda: their_resnet(1, 4, INSTANCE, blur=True),
    "pix2pixHD": lambda: their_resnet(1, 2, INSTANCE, steps=4),
}
"""One of each kind. An export takes time for each layer: of the ResNets, one has as many as are usual."""


def built(name: str, seed: int = 0) -> nn.Module:
    """A network with weights that matter: large enough for results that are not grey, statistics other than 0 and 1."""
    torch.manual_seed(seed)
    network = {**NETWORKS, **IMPORTED}[name]()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.ndim == 4 else 1.0))
        for label, buffer in network.named_buffers():
            if label.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 2.0)
    return network


def as_tested(network: nn.Module) -> nn.Module:
    """In training mode as their test.py leaves it, but without dropout."""
    network.train()
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.eval()
    return network


@pytest.fixture(autouse=True)
def only_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what files are judged by; see `test_backends.py`."""
    monkeypatch.setattr(export.backends, "find_spec", lambda name: None)
    # Nor is the memory measured: see `test_export_command.py`.
    monkeypatch.setattr(export.written, "working_memory", lambda *_: 100)


def saved(network: nn.Module, path: Path, **how: Any) -> Path:
    torch.save(network.state_dict(), path, **how)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_recognised(name: str, tmp_path: Path) -> None:
    theirs = built(name)
    path = saved(theirs, tmp_path / "net.pth")
    found = recognise(read_state(path), path)
    side = 2 * found.generator.size_multiple if name.startswith("U-Net") else 40 if "HD" not in name else 48
    x = torch.rand(1, found.generator.in_channels, side, side + found.generator.size_multiple) * 2 - 1
    with torch.no_grad():
        if "batch" in found.generator.title:
            running = recognise(read_state(path), path, "running").generator
            torch.testing.assert_close(running(x), theirs.eval()(x), atol=2e-5, rtol=0)
            assert (running(x) - found.generator(x)).abs().max() > 0.01
        torch.testing.assert_close(found.generator(x), as_tested(theirs)(x), atol=2e-5, rtol=0)
    assert found.task == ("pix2pix" if name.startswith("U-Net") else "cyclegan")
    assert found.generator.working_size == (int(name.split(" ")[1]) if name.startswith("U-Net") else None)


@pytest.mark.parametrize("statistics", ["picture", "running"])
def test_batch_normalisation_of_old_versions(statistics: Any, tmp_path: Path) -> None:
    """PyTorch did not count batches before 0.4.1."""
    theirs = built("U-Net 128")
    state = {name: value for name, value in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "net.pth")
    found = recognise(read_state(tmp_path / "net.pth"), tmp_path / "net.pth", statistics).generator
    theirs = theirs.eval() if statistics == "running" else as_tested(theirs)
    x = torch.rand(1, 3, 128, 256) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(found(x), theirs(x), atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", IMPORTED)
def test_imported(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != "ResNet-9, batch, dropout":  # all sizes are compared in `test_export.py` too
        monkeypatch.setattr(export.verify, "SIZES", ((16, 16), (97, 301), (1000, 1000)))
    theirs = built(name)
    path, out = saved(theirs, tmp_path / "latest_net_G.pth"), tmp_path / "out" / "m.onnx"
    assert main(["import", str(path), "-o", str(out), "--weights", "float32", "--licence", "CC0-1.0"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "note: the training data is unknown; --training-data stores it in the file\n" in printed.out
    engine = Engine(out, device="cpu")
    assert (engine.spec.name, engine.spec.licence, engine.spec.scale) == ("latest_net_G", "CC0-1.0", 1)
    assert engine.spec.working_size == (128 if name.startswith("U-Net") else None)
    multiple = engine.spec.size_multiple
    for height, width in ((256, 256), (131, 77)):
        image_HWC = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
        padded_HWC = np.pad(image_HWC, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")
        x = torch.from_numpy(padded_HWC).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            made = as_tested(theirs)(x)[0].permute(1, 2, 0)[:height, :width]
        expected_HWC = ((made + 1) * 127.5).clamp(0, 255).round().numpy().astype(np.uint8)
        found_HWC = engine(image_HWC[None])[0]
        assert np.abs(found_HWC.astype(int) - expected_HWC).max() <= 1
        assert expected_HWC.std() > 20  # not a grey picture, which anything would be like
    assert sorted(file.name for file in out.parent.iterdir()) == ["m.onnx", "m.parity.json"]
    # Statistics of each picture are right for large ones too, above all after many layers, which rounding adds up in:
    # see `export.instance_norm`.
    sizes = json.loads((out.parent / "m.parity.json").read_text())["sizes"]
    assert ("1000x1000" in sizes) == (engine.spec.working_size is None)  # others see no picture as large


def test_community(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    torch.manual_seed(0)
    theirs = SRVGGNetCompact(num_feat=8, num_conv=3, upscale=4)
    torch.save({"params": theirs.state_dict()}, tmp_path / "4x.pth")
    assert main(["import", str(tmp_path / "4x.pth"), "-o", str(tmp_path / "m.onnx"), "--weights", "float32"]) == 0
    assert "RealESRGAN Compact" in capsys.readouterr().out
    engine = Engine(tmp_path / "m.onnx", device="cpu")
    assert (engine.spec.scale, engine.spec.task) == (4, "super-resolution")
    image_HWC = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    with torch.no_grad():
        made = theirs(torch.from_numpy(image_HWC).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0)
    expected_HWC = (made * 255).clamp(0, 255).round().numpy()
    assert np.abs(engine(image_HWC[None])[0] - expected_HWC).max() <= 1
    assert expected_HWC.std() > 20


def their_span() -> nn.Module:
    from spandrel.architectures.SPAN import SPAN

    return SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2)


def their_esrgan() -> nn.Module:
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    return RRDBNet(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=4, plus=False)


@pytest.mark.parametrize("make", [their_span, their_esrgan])
def test_community_networks(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    """Recognised, with the signal range of this program; SPAN assigns to weights whenever it is run, which no export
    can follow, so its kernels are folded before."""
    torch.manual_seed(0)
    theirs = make().eval()
    path = saved(theirs, tmp_path / "net.pth")
    generator = recognise(read_state(path), path).generator
    picture = torch.rand(1, 3, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(generator(picture * 2 - 1), theirs(picture) * 2 - 1, atol=1e-5, rtol=0)
    assert all("update_params" not in vars(type(part)) or "update_params" in vars(part) for part in generator.modules())


def under(prefix: str, state: Any) -> Any:
    return {f"{prefix}.{name}": value for name, value in state.items()}


def two_networks(state: Any) -> Any:
    return under("netG_A", state) | under("netG_B", {name: value * 0 for name, value in state.items()})


def momentum_of(state: Any) -> Any:
    """As an optimiser keeps it."""
    return {"state": {number: {"exp_avg": value} for number, value in enumerate(state.values())}, "param_groups": []}


@pytest.mark.parametrize(
    ("wrap", "network"),
    [
        (lambda state: under("module", state), ""),
        (lambda state: {name: value.half() for name, value in state.items()}, ""),
        (lambda state: {"state_dict": state, "epoch": 3}, ""),
        (lambda state: {"model_state_dict": state, "optimizer": momentum_of(state), "loss": torch.tensor(0.3)}, ""),
        (lambda state: {"params": {name: value * 0 for name, value in state.items()}, "params_ema": state}, ""),
        (lambda state: {"G_A": state, "D_A": {"w": torch.zeros(3)}}, ""),
        (lambda state: {"G_A": state, "G_B": {name: value * 0 for name, value in state.items()}}, "G_A"),
        (two_networks, "netG_A"),
        (lambda state: {"state_dict": two_networks(state), "optimizer_states": [momentum_of(state)]}, "netG_A"),
        (lambda state: under("module", two_networks(state)), "netG_A"),
        (lambda state: {"models": {"G_A": state, "G_B": {}}, "optimizers": {"G_A": momentum_of(state)}}, ""),
        (lambda state: {"G": {"state_dict": state, "optimizer": momentum_of(state)}}, ""),
        (lambda state: under("netG_A", state), ""),
        (
            lambda state: {"state_dict": under("generator", state) | under("discriminator", {"w": torch.zeros(3, 3)})},
            "",
        ),
        (lambda state: state | {"model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}, ""),
    ],
    ids=[
        "parallel",
        "half",
        "nested",
        "loss",
        "averaged",
        "discriminator",
        "two",
        "prefixes",
        "Lightning",
        "parallel pair",
        "groups",
        "each with its optimiser",
        "one prefix",
        "words",
        "old instance norm",
    ],
)
def test_ways_to_save(wrap: Callable[[Any], Any], network: str, tmp_path: Path) -> None:
    state = built("ResNet-6").state_dict()
    torch.save(wrap(state), tmp_path / "net.pth")
    found = read_state(tmp_path / "net.pth", network)
    assert found.keys() == state.keys()
    assert all(torch.allclose(found[name], state[name], atol=2e-3, rtol=1e-3) for name in state)
    assert all(value.dtype == torch.float32 for value in found.values())


def test_safetensors(tmp_path: Path) -> None:
    state = built("ResNet-6").state_dict()
    save_file(state, tmp_path / "net.safetensors")
    assert read_state(tmp_path / "net.safetensors").keys() == state.keys()


def refusal(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line with which `path` is refused; nothing is written."""
    out = path.parent / "out" / "m.onnx"
    assert main(["import", str(path), "-o", str(out), *more]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert not out.parent.exists()
    assert said.err.count("\n") == 1
    return said.err


class Evil:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("ran").touch, ())


def test_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model.1.weight": torch.zeros(3), "more": Evil()}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil()))
    torch.save(built("ResNet-6"), tmp_path / "whole.pth")
    assert "holds more than tensors" in refusal(tmp_path / "zip.pth", capsys)
    assert "plain.pth is not a checkpoint" in refusal(tmp_path / "plain.pth", capsys)
    assert "save only the weights: torch.save(net.state_dict(), 'net.pth')" in refusal(tmp_path / "whole.pth", capsys)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = saved(built("ResNet-6"), tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").touch()
    (tmp_path / "page.pth").write_text("\n<!doctype html><html>404</html>")
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08")
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("cat.jpg", b"meow")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:  # as torch.jit.save writes it
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl", "version"):
            archive.writestr(f"script/{name}", b"")
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    expected = {
        "missing.pth": "No such file", "empty.pth": "0 bytes", "page.pth": "a web page",
        "model.onnx": "not a checkpoint",
        "cut.pth": "cannot be read", "noise.pth": "checkpoint", "noise.safetensors": "checkpoint",
        "zip.pth": "a zip archive", "script.pt": "a TorchScript program, not a checkpoint",
        "numbers.pth": "no weights", "tensor.pth": "no weights", "": "Is a directory",
    }  # fmt: skip
    for name, words in expected.items():
        assert words in refusal(tmp_path / name, capsys), name


def test_what_fits_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = built("ResNet-6").state_dict()
    del state["model.13.conv_block.1.bias"]
    torch.save(state, tmp_path / "net.pth")
    line = refusal(tmp_path / "net.pth", capsys)
    assert "fits no network known here; nearest: ResNet, 6 blocks, 2 downsampling steps, width 4" in line
    assert "(differences: 1, first: model.13.conv_block.1.bias is missing)" in line
    assert line.count("(differences: ") == 3
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "linear.pth")
    assert "nearest: " in refusal(tmp_path / "linear.pth", capsys)
    torch.save({"G_A": state, "G_B": state}, tmp_path / "two.pth")
    assert "several networks (G_A, G_B); choose one with --network" in refusal(tmp_path / "two.pth", capsys)
    assert "has no network G_C; did you mean G_B?" in refusal(tmp_path / "two.pth", capsys, "--network", "G_C")
    line = refusal(tmp_path / "net.pth", capsys, "--network", "G_A")
    assert "has no network G_A, it is one network itself; omit --network" in line


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"model\.7\.weight", "down.filt"),
        (r"model\.7\.weight", "model.x.filt"),
        (r"model\.(\d+)\.conv", r"model.1\1.conv"),  # 35 downsampling steps
        (r"model\.10\.", f"model.9{5000 * '0'}."),
        (r"model\.23\.", "model.023."),
    ],
)
def test_numbers_that_no_network_has(old: str, new: str, tmp_path: Path) -> None:
    """Other networks may have names that look like those of a ResNet."""
    state = {re.sub(old, new, name): value for name, value in built("ResNet-6").state_dict().items()}
    with pytest.raises(ModelError, match="fits no network known here"):
        recognise(state, tmp_path / "net.pth")


def test_weights_that_are_no_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Network and file would agree that every picture becomes black."""
    state = built("ResNet-6").state_dict()
    state["model.7.bias"][2] = float("nan")
    torch.save(state, tmp_path / "net.pth")
    said = "model.7.bias has values that are not numbers (NaN or infinity), as after a training that has diverged"
    assert said in refusal(tmp_path / "net.pth", capsys)


def test_weights_of_other_types(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = built("ResNet-6").state_dict()
    torch.save(state | {"model.4.weight": state["model.4.weight"].char()}, tmp_path / "net.pth")
    said = "(differences: 1, first: model.4.weight is torch.int8 instead of torch.float32)"
    assert said in refusal(tmp_path / "net.pth", capsys)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--task", "pix2pixx"], "--task pix2pixx is unknown; did you mean pix2pix?"),
        (["--working-size", "8"], "--working-size 8 is out of range"),
    ],
)
def test_options(more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refusal(saved(built("ResNet-6"), tmp_path / "net.pth"), capsys, *more)


def test_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of it is tested in `test_precision.py`."""
    given: list[Any] = []

    def write(network: Any, spec: Any, pictures: Any, path: Path, change: Any) -> None:
        given.extend([pictures, change])
        path.touch()

    monkeypatch.setattr("export.written.write_verified", write)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(17):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number:02}.png")
    arguments = ["import", str(saved(built("ResNet-6"), tmp_path / "net.pth")), "-o", str(tmp_path / "m.onnx")]
    assert main([*arguments, "--precision", "int8", "--calibrate", str(folder), "--min-psnr", "40"]) == 0
    pictures, change = given
    assert (change.precision, change.min_psnr, change.weights) == ("int8", 40, None)
    compared, calibrated = ({int(image_HWC[0, 0, 0]) for image_HWC in one} for one in (pictures, change.calibration))
    assert compared == {0, 2, 4, 6, 8, 10, 12, 14}
    assert calibrated == {1, 3, 5, 7, 9, 11, 13, 15, 16}
