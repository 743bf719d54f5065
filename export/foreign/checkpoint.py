"""Reads the tensors of a checkpoint, and nothing else in it: a pickle can run any program when it is opened."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from translate.errors import ModelError, nearest
from translate.inference.graph_file import read_graph
from translate.inference.model_file import Kind, kind_of

_WRAPPERS = ("params_ema", "params-ema", "ema", "params", "state_dict", "model_state_dict", "model", "weights")
"""Names under which training programs put the weights of their one network; the first that is there is taken, since
averaged weights make better pictures."""
_DEEPEST = 3
"""Dictionaries within dictionaries that are looked into."""
_PREFIX = re.compile(r"^(module|_orig_mod|net|netG|net_g|generator)\.")
"""What parallel training, compilation and wrappers put in front of every name."""
_DISCRIMINATOR = re.compile(r"(net_?)?[dD](_|$|isc)")
_NETWORK = re.compile(rf"(net_?)?[gG](_|$|en)|{_DISCRIMINATOR.pattern}")
"""Names of generators and discriminators."""
_NUMBERS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")
"""What a pickle names for numbers of numpy, such as the loss, before and after numpy 2."""
_SAVE_WEIGHTS = "where it was made, save only the weights: torch.save(net.state_dict(), 'net.pth')"

_REFUSED: Mapping[Kind, str] = {
    "empty": "is empty (0 bytes), not a checkpoint; copy or download it again",
    "page": "is a web page, not a checkpoint; download the file itself",
    "archive": "is a zip archive, not a checkpoint; unpack it and give the .pth file in it",
    "pointer": "stands for a file in Git LFS and is no checkpoint itself; fetch that: git lfs pull",
    "text": "is a text, not a checkpoint; check the name, or download it again",
}


def read_state(path: Path, network: str = "") -> dict[str, Tensor]:
    """The weights of one network, float32, without prefixes that say nothing.

    Args:
        path: a `.pth` file (or `.pt`, `.ckpt`, `.bin`: whatever `torch.save` wrote) or a `.safetensors` file.
        network: which network, if the file holds several, e.g. `G_A`.

    Raises:
        ModelError: not a checkpoint, more than tensors, or several networks and none or a wrong one is named.
    """
    found = _chosen(_loaded(path), path, network)
    # Instance normalisation once kept running statistics, which were never used.
    unused = {
        name
        for name in found
        if name.endswith((".running_mean", ".running_var", ".num_batches_tracked"))
        and f"{name.rpartition('.')[0]}.weight" not in found
    }
    state = {name: tensor for name, tensor in found.items() if name not in unused}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _refuse_archive(path: Path) -> None:
    """Refuse a program of TorchScript, and a checkpoint that grows when it is read: `torch.save` packs nothing."""
    with suppress(zipfile.BadZipFile, ValueError, NotImplementedError, OSError), zipfile.ZipFile(path) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise ModelError(f"{path} is a TorchScript program, not a checkpoint; {_SAVE_WEIGHTS}")
        if (unpacked := sum(member.file_size for member in archive.infolist())) > 2 * path.stat().st_size:
            raise ModelError(
                f"{path} holds {unpacked / 2**20:,.0f} MiB in a file of {path.stat().st_size / 2**20:,.0f} MiB, which "
                "torch.save never writes; download it again from where it was made"
            )


class _Unread:
    """Stands for a number of numpy, or its type: numpy itself would believe whatever the file says of its memory."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def _only_tensors() -> safe_globals:
    """While it is entered, torch reads tensors and leaves out numbers of numpy."""
    return safe_globals([(_Unread, name) for name in _NUMBERS])


def _loaded(path: Path) -> Any:
    try:
        kind = kind_of(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}; give the .pth file of a generator") from None
    if kind in _REFUSED:
        raise ModelError(f"{path} {_REFUSED[kind]}")
    if kind == "unknown" and _is_onnx(path):
        raise ModelError(f"{path} is an ONNX file, not a checkpoint; give the .pth file that it was made from")
    if kind == "pickle":
        _refuse_archive(path)
    try:
        if kind == "safetensors":
            return load_file(path)
        with warnings.catch_warnings(), _only_tensors():
            warnings.simplefilter("ignore")  # of old ways to pickle; whether it can be read is said below
            # Numbers that were pickled by Python 2 are bytes that are no other text.
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")
    except pickle.UnpicklingError as error:
        raise ModelError(_refusal(path, str(error))) from None
    except Exception as error:  # damaged files make torch fail in many ways
        raise ModelError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); it may be cut short or of another kind, "
            "expected what torch.save writes, or safetensors; download it again"
        ) from None


def _is_onnx(path: Path) -> bool:
    try:
        return bool(read_graph(path))
    except ModelError:
        return False


def _refusal(path: Path, reason: str) -> str:
    """What a pickle with more than tensors holds."""
    named = re.search(r"GLOBAL ([\w.]+)", reason)
    objects = [named[1]] if named else []
    if zipfile.is_zipfile(path):
        with suppress(Exception), _only_tensors():  # damaged files make torch fail in many ways
            objects = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if not objects:
        return (
            f"{path} is not a checkpoint; expected what torch.save writes, or safetensors: download it again, or "
            "give another file"
        )
    return (
        f"{path} holds more than tensors ({', '.join(sorted(objects)[:3])}), which could run a program when it is "
        f"opened; {_SAVE_WEIGHTS}"
    )


def _chosen(found: Any, path: Path, network: str) -> dict[str, Tensor]:
    networks = _networks(found)
    if not networks:
        raise ModelError(f"{path} holds no weights; expected a dictionary of tensors by name, as net.state_dict()")
    if network:
        if network not in networks:
            names = [name for name in networks if name]
            advice = f"; {nearest(network, names)}" if names else ", it is one network itself; omit --network"
            raise ModelError(f"{path} has no network {network}{advice}")
        return networks[network]
    if (alone := _alone(networks)) is not None:
        return alone
    # Discriminators are beside the generators in some files, and are never what is wanted.
    generators = [name for name in networks if not _DISCRIMINATOR.match(name)]
    if len(generators) == 1:
        return networks[generators[0]]
    raise ModelError(f"{path} holds several networks ({', '.join(sorted(networks))}); choose one with --network")


def _alone(networks: Mapping[str, dict[str, Tensor]]) -> dict[str, Tensor] | None:
    """The network of a file, or of a part of it, that holds no other; None if it may hold several."""
    return next((networks[name] for name in ("", *_WRAPPERS) if name in networks), None)


def _networks(found: Any, depth: int = 0) -> dict[str, dict[str, Tensor]]:
    """The networks by name, without prefixes; the name is empty if the file is the one network itself."""
    if not isinstance(found, Mapping) or depth > _DEEPEST:
        return {}
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if all(value.ndim < 2 for value in tensors.values()):  # none, or what is beside networks, such as the loss
        nested: dict[str, dict[str, Tensor]] = {}
        for name, value in found.items():
            inner = _networks(value, depth + 1)
            if (alone := _alone(inner)) is not None:
                nested[str(name)] = alone
            else:
                nested |= {name: network for name, network in inner.items() if _NETWORK.match(name)}
        if nested or not tensors:
            return nested
    tensors = _without_prefixes(tensors)
    # Names such as netG_A.model.1.weight beside netG_B.model.1.weight.
    first = {name.partition(".")[0] for name in tensors}
    if all(_NETWORK.match(name) for name in first):
        parts = {top: {name: value for name, value in tensors.items() if name.startswith(f"{top}.")} for top in first}
        return {
            top: _without_prefixes({name.partition(".")[2]: value for name, value in part.items()})
            for top, part in sorted(parts.items())
        }
    return {"": tensors}


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while tensors and all(_PREFIX.match(name) for name in tensors):
        tensors = {_PREFIX.sub("", name): tensor for name, tensor in tensors.items()}
    return tensors
