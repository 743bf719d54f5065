"""The specification of a model, stored inside every model file."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args, get_origin

from translate.errors import ModelError

Precision = Literal["float32", "fp16", "int8"]

METADATA_KEY = "translate.spec"
"""Key in the ONNX `metadata_props` whose value is `ModelSpec.to_json()`."""

TRAINING_KEY = "translate.training"
"""Key whose value is the JSON needed to continue training from the file, see `translate.training.exported`. Missing in
older files."""

PARITY_KEY = "translate.parity"
"""Key whose value is JSON: the summary of the comparison with the network (see `export.verify.summary`), and `sha256`,
the digest of the report beside the file. Missing in older files; nothing depends on it."""

PARITY_SUFFIX = ".parity.json"
"""The report on `mine.onnx` is `mine.parity.json`."""

IMAGE_REST = "image_rest"
"""Optional graph input of 8-bit models for 16-bit pictures: the remainder, level = 257 * image + rest."""

RESULT_REST = "translated_rest"
"""The same for the result."""

FORMAT = 1
"""Version of the format. Incremented when an old reader would misinterpret a new file; a field that old readers can do
without, such as an optional graph input, is added without incrementing it, and old readers ignore it."""


MOST_STYLE = 1 << 16
"""Largest `style_size`: memory for that many numbers is taken before the graph is asked."""

_MOST = 1 << 53
"""Largest number in a spec; JSON has no larger whole numbers that every reader understands."""

_LARGEST = {
    "scale": 256,
    "min_size": 1 << 14,
    "working_size": 1 << 14,
    "scene_size": 1 << 14,
    "bytes_per_pixel": 1 << 30,
}
"""Fields that say how much memory a picture takes -> a number that no model needs; with more, every picture fails."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Input, output, origin and licence of a model.

    The graph takes `image`: uint8 (N, H, W, input_channels), and `label`, `style` and `detail` if the model has them,
    and returns uint8 (N, H*scale, W*scale, output_channels); with 16 bits, both are uint16. Padding and normalisation
    are part of the graph, so nothing here is needed to *run* the model; it is needed to run it well and to know what it
    is. 8-bit models that run at the picture's own size also support 16 bits, see `IMAGE_REST`.
    """

    name: str
    """Short name, e.g. `sketch-to-photo`."""
    task: str
    """Name of the task (a key of `translate.tasks.TASKS`)."""
    direction: Literal["forward", "back"] = "forward"
    """`back`: from the task's output to its input, where that has no task of its own."""
    architecture: str
    """Generator class and its sizes, for information only; it is rebuilt from the config in the snapshot."""
    scale: int = 1
    """Output side length over input side length."""
    input_channels: int = 3
    output_channels: int = 3
    input_bits: int = 8
    output_bits: int = 8
    """Bit depth of the pixels, 8 or 16; 16 means uint16."""
    labels: tuple[str, ...] = ()
    """Class labels that the model can generate; the optional graph input `label`, int64 (1,), selects one by index and
    defaults to 0."""
    style_size: int = 0
    """Length of the optional graph input `style`, float32 (1, style_size), for models with many results per input.
    Standard normal numbers select one; zeros are the mean style."""
    style_kind: Literal["", "learned", "colours"] = ""
    """What the style means. colours: brightness, orange-blue, green-magenta, contrast and texture; learned: nothing
    that has a name. Empty in older files, see `colour_style`."""
    default_style: tuple[float, ...] = ()
    """Default style vector, `style_size` numbers; empty: the mean style."""
    detail: bool = False
    """Whether there is the optional graph input `detail`, float32 (1,), from 0 (the default, most faithful) to 1
    (sharpest); values in between blend the two."""
    restores: bool = False
    """Whether it was trained on degraded pictures, so that it removes blur, noise and JPEG blocks. False in older
    files."""
    fixed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Label, style and detail of the network that are built into the graph (`translate export --freeze`, `--controls
    fixed`), as they are typed, styles as their numbers: `{"label": "shoe", "style": "0.5,-1", "detail": "0.5"}`. They
    are no inputs, so `labels`, `style_size` and `detail` do not announce them."""
    precision: Precision = "float32"
    """Numbers in which the graph computes. float32 may still store weights in 16 bits."""
    size_multiple: int = 1
    """The network works on sides divisible by this; the graph pads and crops as needed."""
    receptive_field: int | None = None
    """Side, in input pixels, of the square that one output pixel can depend on; None means unbounded, so the model
    cannot be tiled exactly."""
    working_size: int | None = None
    """Longer side in pixels of the training pictures, for models trained on objects of one size (a shoe fills the
    picture). Other pictures are resized to it, and the result is resized back. None: the model works at any size."""
    content_share: float | None = None
    """Longer side of the object over the longer side of the picture, median of the training pictures, for models with a
    `working_size`; 0: the pictures do not show objects on paper. None: use the value of the task."""
    scene_size: int | None = None
    """Shorter side in pixels of the training scenes, for models that change the light of a scene at one size. A larger
    picture is changed at this size, and its own fine detail is added back, with adapted brightness. None: the picture
    is changed at its own size."""
    min_size: int = 8
    """Minimum useful height and width of the input in pixels."""
    bytes_per_pixel: int = 1024
    """Working memory that the graph needs per input pixel, for rejecting pictures that cannot fit."""
    parameters: int = 0
    """Number of trainable parameters; 0: unknown."""
    gmacs_256: float = 0.0
    """Billions of multiply-adds for one input of 256 x 256 pixels; 0: unknown."""
    licence: str = "unknown"
    """Licence of the weights."""
    training_data: str = "unknown"
    """Description and licence of the training data."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    """Quality metrics by name; names include the unit."""
    weights_sha256: str = ""
    """SHA-256 of the exported weights (names and bytes, sorted by name), hexadecimal."""
    producer: str = ""
    """Program and version that wrote the file."""

    @property
    def colour_style(self) -> bool:
        """Whether the style is five numbers with names: brightness, orange-blue, green-magenta, contrast, texture."""
        colours = self.style_size == 5 and self.output_channels == 3
        return colours and self.style_kind != "learned"

    def label_of(self, file_name: str) -> str | None:
        """The label that a file name begins with, as in `handbag-02.png`; the longest if several match, else None."""
        name = file_name.casefold()
        named = [
            label
            for label in self.labels
            if name.startswith(label.casefold()) and not name[len(label.casefold()) :][:1].isalpha()
        ]
        return max(named, key=len, default=None)

    def to_json(self) -> str:
        """Return the spec as one line of JSON, with the format version."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, sort_keys=True)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], origin: str) -> "ModelSpec":
        """Read the spec of a model file, from its `metadata_props`; `origin` names the file in error messages.

        Raises:
            ModelError: there is none, or see `from_json`.
        """
        if METADATA_KEY not in metadata:
            raise ModelError(
                f"{origin}: an ONNX model of another program, without {METADATA_KEY} metadata, so what its pictures "
                "mean is unknown; write it with `translate export`, or turn its checkpoint into a model with "
                "`translate import`"
            )
        return cls.from_json(metadata[METADATA_KEY], origin)

    @classmethod
    def from_json(cls, text: str, origin: str) -> "ModelSpec":
        """Read the output of `to_json`, of this or a later version; `origin` names the file in error messages.

        Unknown fields are ignored: within a format version, no file depends on them.

        Raises:
            ModelError: not JSON, another format version, or fields missing.
        """
        try:
            found: Any = json.loads(text)
            version = found.pop("format")
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            raise ModelError(f"{origin}: its translate.spec is damaged; export the model again") from None
        if version != FORMAT:
            raise ModelError(
                f"{origin}: its translate.spec has format {version!r}, but this version reads format {FORMAT}; "
                "export the model again or update translate"
            )
        if "direction" not in found and found.get("name") == f"{found.get('task')}-back":  # files of earlier versions
            found["direction"] = "back"
        known = {field.name for field in dataclasses.fields(cls)}
        try:
            _check_types(found)
            for name in ("labels", "default_style"):
                found[name] = tuple(found.get(name, ()))  # JSON has no tuples
            return cls(**{name: found[name] for name in found.keys() & known})
        except TypeError as error:
            raise ModelError(f"{origin}: its translate.spec is invalid: {error}; export the model again") from None


def _check_types(found: Mapping[str, Any]) -> None:
    """Check the type of every field: the file may come from anywhere.

    Raises:
        TypeError: a field has another type, or a number is zero or negative where it cannot be, or larger than any file
            needs.
    """
    for one in dataclasses.fields(ModelSpec):
        if one.name not in found:
            continue
        value, inner = found[one.name], get_args(one.type)
        if one.type is bool:
            fits, expected = type(value) is bool, "a choice of true or false"
        elif one.type is int:
            fits, expected = _is_number(value, int), "a whole number"
        elif one.type is float:
            fits, expected = _is_number(value, float), "a number"
        elif one.type is str or get_origin(one.type) is Literal:
            fits, expected = type(value) is str, "a text"
        elif get_origin(one.type) is Mapping:
            fits = type(value) is dict and _are(inner[1], cast("dict[str, Any]", value).values())
            expected = "a table of texts or numbers"
        elif get_origin(one.type) is tuple:
            fits = type(value) is list and _are(inner[0], cast("list[Any]", value))
            expected = "a list of texts or numbers"
        else:  # int | None and float | None
            fits, expected = value is None or _is_number(value, inner[0]), "a number or null"
        if not fits:
            raise TypeError(f"{one.name} is {value!r}, expected {expected}")
    for name in ("scale", "size_multiple", "input_channels", "output_channels"):
        if found.get(name) == 0:
            raise TypeError(f"{name} is 0, expected a number from 1")
    for name, most in _LARGEST.items():
        if (found.get(name) or 0) > most:
            raise TypeError(f"{name} is {found[name]}, expected a number up to {most}")
    if found.get("scene_size") and found.get("scale", 1) != 1:
        raise TypeError(f"scene_size is {found['scene_size']}, expected null where the scale is {found['scale']}")
    size = found.get("style_size", 0)
    if size > MOST_STYLE or len(found.get("default_style", ())) not in (0, size):
        raise TypeError(f"style_size is {size}, expected the length of default_style, at most {MOST_STYLE}")


def _is_number(value: Any, kind: Any) -> bool:
    return _are(kind, [value]) and 0 <= value <= _MOST


def _are(kind: Any, values: Iterable[Any]) -> bool:
    """Whether values of JSON are of a type; whole numbers may be written for floats."""
    return all(type(value) is kind or (kind is float and type(value) is int) for value in values)
