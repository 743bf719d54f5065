"""What `translate models add` takes -> where the file is, and what is known about it beforehand.

Besides plain addresses, three sites are known by their pages: Hugging Face, GitHub and OpenModelDB, whose catalogue is
one JSON object, `{id: model}` (https://github.com/OpenModelDB/open-model-database, `src/lib/schema.ts`).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from translate.errors import ModelError

HUGGING_FACE = "https://huggingface.co"
GITHUB = "https://github.com"
OPEN_MODEL_DB = "https://openmodeldb.info"
CATALOGUE = "/api/v1/models.json"
CATALOGUE_BYTES = 64 * 2**20
"""The largest catalogue that is read."""

CHECKPOINTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
"""Suffixes of what `translate import` reads; the first cannot hold anything but tensors."""

ReadAddress = Callable[[str, int], bytes]
"""What an address answers, if it is not larger than that."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to download."""

    url: str
    sha256: str = ""
    """Hexadecimal; empty: not known beforehand."""
    licence: str = ""
    """Empty: not known beforehand."""
    name: str = ""
    """Of the model; empty: the file will tell."""

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name


def is_address(text: str) -> bool:
    """Whether a text is an address, and not the path of a file."""
    return bool(re.match(r"hf:|[A-Za-z][A-Za-z0-9+.-]+://", text))


def locate(address: str, read: ReadAddress) -> Source:
    """Find the file that an address stands for.

    Args:
        address: `hf:OWNER/REPO/FILE`, the page of a file or of a model on a known site, or the address of a file.
        read: asks other addresses; only those of OpenModelDB need it.

    Raises:
        ModelError: the address is not complete, or there is no such model.
    """
    if address.startswith("hf:"):
        return Source(url=_hugging_face(address))
    page = address.split("#")[0]
    if page.startswith(f"{HUGGING_FACE}/"):
        return Source(url=re.sub(r"^(.*?//[^/]+/(?:(?:spaces|datasets)/)?[^/]+/[^/]+)/blob/", r"\1/resolve/", page))
    if page.startswith(f"{GITHUB}/"):
        return Source(url=re.sub(r"^(.*?//[^/]+/[^/]+/[^/]+)/blob/", r"\1/raw/", page))
    if page.startswith(f"{OPEN_MODEL_DB}/models/"):
        return _open_model_db(address, page.removeprefix(f"{OPEN_MODEL_DB}/models/").strip("/"), read)
    return Source(url=page)


def _hugging_face(address: str) -> str:
    match = re.fullmatch(r"hf:(\w[\w.-]*)/(\w[\w.-]*?)(?:@(\w[\w.-]*))?/(.+)", address)
    if not match:
        raise ModelError(
            f"{address} does not name a file on Hugging Face; write hf:OWNER/REPO/FILE, or hf:OWNER/REPO@REVISION/FILE"
        )
    owner, repository, revision, path = match.groups()
    return f"{HUGGING_FACE}/{owner}/{repository}/resolve/{revision or 'main'}/{quote(path)}"


def _open_model_db(address: str, name: str, read: ReadAddress) -> Source:
    try:
        catalogue: Any = json.loads(read(f"{OPEN_MODEL_DB}{CATALOGUE}", CATALOGUE_BYTES))
        found: Any = catalogue.get(name)
        if found is None:
            raise ModelError(f"{address}: OpenModelDB has no model {name}; copy the address of a model's page")
        offered = [_resource(one, url) for one in found["resources"] for url in one["urls"]]
        licence = found.get("license") or ""
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(
            f"{address}: the catalogue of OpenModelDB is not as expected, a JSON object of models with resources; "
            "download the file in a browser and give it"
        ) from None
    usable = [one for one in offered if one.file_name.lower().endswith(CHECKPOINTS)]
    if not usable:
        places = sorted({urlsplit(one.url).hostname or one.url for one in offered})
        raise ModelError(
            f"{address}: the checkpoint is only offered at {', '.join(places) or 'no address'}, which needs a browser; "
            "download it there and give the file"
        )
    best = min(usable, key=lambda one: not one.file_name.lower().endswith(CHECKPOINTS[0]))
    return Source(url=best.url, sha256=best.sha256, licence=str(licence), name=name)


def _resource(resource: Mapping[str, Any], url: str) -> Source:
    """A file of a model. Their ONNX files lack our description, so only checkpoints are of use."""
    sha256 = resource.get("sha256") or ""
    return Source(url=str(url), sha256=str(sha256).lower())
