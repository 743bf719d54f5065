"""The image contract that travels inside every model file."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from translate.errors import ModelError

METADATA_KEY = "translate.spec"
"""Key in the ONNX `metadata_props` whose value is `ModelSpec.to_json()`."""

TRAINING_KEY = "translate.training"
"""Key whose value is what a training needs to go on from the file, as JSON, see `translate.trainers.exported`. Older
files lack it."""

IMAGE_REST = "image_rest"
"""Optional graph input of models with 8 bits: what pictures of 16 bits have beyond them; level = 257 * image + rest."""

RESULT_REST = "translated_rest"
"""The same of the result."""

FORMAT = 1
"""Version of the contract. Raised when an old reader would misunderstand a new file; a field that it can do without,
an optional graph input for example, is added without raising it, and old readers pass over it."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model eats, what it returns, where it comes from and what may be done with it.

    The graph itself takes `image`: uint8 (N, H, W, input_channels), and `label`, `style` and `detail` where it has
    them, and returns uint8 (N, H*scale, W*scale, output_channels); uint16 where there are 16 bits. Padding and
    normalisation are inside the graph, so nothing here is needed to *run* the model; it is needed to run it well and to
    know what it is. Models of pictures at their own size carry 16 bits too, see `IMAGE_REST`.
    """

    name: str
    """Short name, e.g. `sketch-to-photo`."""
    task: str
    """Name of the task (a key of `translate.tasks.TASKS`)."""
    architecture: str
    """Generator class and its sizes, for people; the snapshot's config is what rebuilds it."""
    scale: int = 1
    """Output side length over input side length."""
    input_channels: int = 3
    output_channels: int = 3
    input_bits: int = 8
    output_bits: int = 8
    """8 or 16: depth of the pixels; 16 makes them uint16."""
    labels: tuple[str, ...] = ()
    """Names of the kinds the model can make; the optional graph input `label`, int64 (1,), chooses by number and
    is 0 where it is not given."""
    style_size: int = 0
    """Length of the optional graph input `style`, float32 (1, style_size): one drawing has many results. Standard
    normal numbers choose among them, 0 is the middle."""
    default_style: tuple[float, ...] = ()
    """The style where none is given, `style_size` numbers; none of them: the middle."""
    detail: bool = False
    """Whether there is the optional graph input `detail`, float32 (1,), from 0 (where it is not given: as faithful as
    can be) to 1 (as sharp as can be); everything between is a blend."""
    size_multiple: int = 1
    """The network works on sides divisible by this; the graph pads and crops by itself."""
    receptive_field: int | None = None
    """Side, in input pixels, of the square that one output pixel can depend on; None means unbounded, so
    the model cannot be tiled exactly."""
    working_size: int | None = None
    """Longer side in pixels of the pictures it was trained on, for models that know objects at one size
    (a shoe fills the picture). Other pictures are resized to it and the result is resized back.
    None: the model works at any size."""
    content_share: float | None = None
    """Longer side of what the training pictures show over the longer side of the picture, the median of them, for
    models with a `working_size`; 0: they show no things on paper. None: not said, the task knows."""
    scene_size: int | None = None
    """Shorter side in pixels of the scenes it was trained on, for models that change the light of a scene at one size.
    A larger picture is changed at this size, and its own fine detail is laid over the result, as bright as the place
    has become. None: the picture is changed as it is."""
    min_size: int = 8
    """Smallest height and width in pixels that make sense as input."""
    bytes_per_pixel: int = 1024
    """Working memory the graph needs per input pixel, for refusing pictures that cannot fit."""
    parameters: int = 0
    """Numbers the network learnt; 0: unknown."""
    gmacs_256: float = 0.0
    """10^9 multiply-adds for one picture of 256 x 256 pixels going in; 0: unknown."""
    licence: str = "unknown"
    """Terms for using the weights."""
    training_data: str = "unknown"
    """What it was trained on, with the terms of that data."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """Measured quality, by name; each with its unit in the name."""
    weights_sha256: str = ""
    """SHA-256 of the exported weights (names and bytes in order), hexadecimal."""
    producer: str = ""
    """Program and version that wrote the file."""

    def label_of(self, file_name: str) -> str | None:
        """The label that a file's name begins with, as in `handbag-02.png`; the longest of several, None without."""
        name = file_name.casefold()
        named = [
            label
            for label in self.labels
            if name.startswith(label.casefold()) and not name[len(label.casefold()) :][:1].isalpha()
        ]
        return max(named, key=len, default=None)

    def to_json(self) -> str:
        """Return the contract as one line of JSON with its format version."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, origin: str) -> "ModelSpec":
        """Read what `to_json` wrote, here or in a later version; `origin` names the file in error messages.

        Fields that this version does not know are passed over: within a format no file needs them to be understood.

        Raises:
            ModelError: not JSON, another format version, or fields missing.
        """
        try:
            found: Any = json.loads(text)
            version = found.pop("format")
        except (ValueError, AttributeError, KeyError, TypeError):
            raise ModelError(f"{origin}: its translate.spec is damaged; export the model again") from None
        if version != FORMAT:
            raise ModelError(
                f"{origin}: its contract has format {version}, this version reads format {FORMAT}; "
                "export the model again or update translate"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        try:
            for name in ("labels", "default_style"):
                found[name] = tuple(found.get(name, ()))  # JSON has no tuples
            return cls(**{name: found[name] for name in found.keys() & known})
        except TypeError as error:
            raise ModelError(f"{origin}: its translate.spec does not fit: {error}; export the model again") from None
