import dataclasses
import json

import pytest
from conftest import DOUBLE, INVERT

from translate.errors import ModelError
from translate.spec import FORMAT, ModelSpec

FULL = dataclasses.replace(DOUBLE, working_size=256, receptive_field=70, metrics={"psnr_db": 31.5}, licence="CC0-1.0")


@pytest.mark.parametrize("spec", [INVERT, FULL], ids=["defaults", "full"])
def test_round_trip(spec: ModelSpec) -> None:
    text = spec.to_json()
    assert "\n" not in text
    assert ModelSpec.from_json(text, "m.onnx") == spec


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
        (json.dumps({"format": FORMAT + 1}), rf"format {FORMAT + 1}, this version reads format {FORMAT}"),
        (json.dumps({"format": FORMAT, "name": "x"}), "does not fit"),
        (json.dumps({"format": FORMAT, "colour": 1}), "does not fit.*colour"),
    ],
)
def test_bad_text(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        ModelSpec.from_json(text, "m.onnx")
    assert str(caught.value).startswith("m.onnx: ")
