import dataclasses
import json

import pytest
from conftest import DOUBLE, INVERT

from translate.errors import ModelError
from translate.spec import FORMAT, ModelSpec

FULL = dataclasses.replace(
    DOUBLE,
    working_size=256,
    receptive_field=70,
    metrics={"psnr_db": 31.5},
    licence="CC0-1.0",
    input_channels=1,
    input_bits=16,
    output_bits=16,
    labels=("shoe", "handbag"),
    style_size=2,
    default_style=(0.5, -1.0),
    detail=True,
    parameters=1_500_000,
    gmacs_256=3.25,
)


@pytest.mark.parametrize("spec", [INVERT, FULL], ids=["defaults", "full"])
def test_round_trip(spec: ModelSpec) -> None:
    text = spec.to_json()
    assert "\n" not in text
    assert ModelSpec.from_json(text, "m.onnx") == spec


def test_files_of_the_first_version_have_no_knobs() -> None:
    facts = json.loads(INVERT.to_json())
    for name in (
        "input_bits",
        "output_bits",
        "labels",
        "style_size",
        "default_style",
        "detail",
        "parameters",
        "gmacs_256",
    ):
        del facts[name]
    assert ModelSpec.from_json(json.dumps(facts), "m.onnx") == INVERT
    assert (INVERT.input_bits, INVERT.output_bits, INVERT.labels, INVERT.style_size, INVERT.default_style) == (
        8,
        8,
        (),
        0,
        (),
    )
    assert (INVERT.detail, INVERT.parameters, INVERT.gmacs_256) == (False, 0, 0.0)


def test_files_of_a_later_version_are_read_without_what_is_new() -> None:
    facts = json.loads(FULL.to_json()) | {"colour": "blue", "controls": {"contrast": [0, 1]}}
    assert ModelSpec.from_json(json.dumps(facts), "m.onnx") == FULL


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("shoe-01.png", "shoe"),
        ("Handbag_2.PNG", "handbag"),
        ("handbag.png", "handbag"),
        ("hand-3.png", "hand"),
        ("my-shoe.png", None),
        ("shoebox.png", None),
        ("", None),
    ],
)
def test_label_of(name: str, label: str | None) -> None:
    assert dataclasses.replace(INVERT, labels=("hand", "handbag", "shoe")).label_of(name) == label
    assert INVERT.label_of(name) is None


def test_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        INVERT.scale = 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("not json", "damaged"),
        ("[]", "damaged"),
        ("3", "damaged"),
        ("{}", "damaged"),
        (json.dumps({"format": FORMAT + 1}), rf"format {FORMAT + 1}, but this version reads format {FORMAT}"),
        (json.dumps({"format": FORMAT, "name": "x"}), "is invalid"),
        (json.dumps({"format": FORMAT, "colour": 1}), "is invalid: .*missing.*'name'"),
        (json.dumps({**json.loads(INVERT.to_json()), "labels": 3}), "is invalid"),
    ],
)
def test_bad_text(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        ModelSpec.from_json(text, "m.onnx")
    assert str(caught.value).startswith("m.onnx: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 3),
        ("licence", ["CC0"]),
        ("precision", ["int8"]),
        ("direction", None),
        ("min_size", "8"),
        ("scale", 2.5),
        ("scale", 0),
        ("size_multiple", 0),
        ("input_channels", 0),
        ("output_channels", 0),
        ("min_size", -1),
        ("min_size", 1 << 53),
        ("working_size", 1 << 40),
        ("scene_size", 1 << 31),
        ("scene_size", 100),
        ("scale", 257),
        ("bytes_per_pixel", 1 << 53),
        ("input_channels", True),
        ("fixed", ["label"]),
        ("fixed", {"label": 3}),
        ("labels", [1, 2]),
        ("default_style", "red"),
        ("receptive_field", "wide"),
        ("working_size", -256),
        ("metrics", 3),
        ("metrics", {"psnr_db": "high"}),
        ("gmacs_256", "many"),
        ("gmacs_256", -1.0),
        ("detail", "yes"),
        ("restores", None),
    ],
)
def test_fields_of_other_types_are_refused(name: str, value: object) -> None:
    facts = json.loads(FULL.to_json()) | {name: value}
    with pytest.raises(
        ModelError, match=rf"^m.onnx: its translate.spec is invalid: {name} is .*, expected (a .*|null .*); export"
    ):
        ModelSpec.from_json(json.dumps(facts), "m.onnx")
