"""What the comparison of a network with its file says, and when it refuses."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_export import SPEC

from export.backends import Backend
from export.verify import Parity, _compare, affordable, demand, report, save_for_report, table, working_memory
from translate.errors import ModelError
from translate.spec import ModelSpec


@pytest.mark.parametrize(
    ("full", "largest", "refused"),
    [(255, 0, False), (255, 1, False), (255, 2, True), (65535, 257, False), (65535, 258, True)],
)
def test_demand(full: int, largest: int, refused: bool) -> None:
    rows = [
        Parity(batch=1, height=8, width=9, largest=level, mean=0.0, share=0.0, full=full) for level in (0, largest, 0)
    ]
    if refused:
        message = f"by {largest} of {full} at 9x8, but at most {largest - 1} is allowed; nothing was written"
        with pytest.raises(ModelError, match=message):
            demand(rows, Path("x.onnx"))
    else:
        demand(rows, Path("x.onnx"))


def test_what_a_gpu_computes_is_reported_but_not_judged() -> None:
    rows = [
        Parity(batch=1, height=10, width=10, largest=1, mean=0.5, share=0.5),
        Parity(batch=3, height=10, width=10, largest=0, mean=0.1, share=0.1),
        Parity(batch=1, height=10, width=10, largest=9, mean=3.0, share=1.0, device="cuda"),
    ]
    demand(rows, Path("x.onnx"))
    found = report(rows, "ab" * 32)
    assert (found["largest"], found["allowed"], found["batches"], found["sizes"]) == (1, 1, [1, 3], ["10x10"])
    assert (found["devices"], len(found["rows"])) == (["cpu", "cuda"], 3)
    assert found["mean"] == pytest.approx((0.5 + 3 * 0.1) / 4)


@pytest.mark.parametrize(
    ("gmacs", "scale", "largest"),
    [
        (0.0, 1, (320, 224)),
        (2.0, 1, (1000, 1000)),
        (10.0, 1, (600, 600)),
        (20.0, 1, (320, 224)),
        (47.65, 4, (1000, 1000)),
    ],
)
def test_only_light_networks_are_compared_at_large_sizes(gmacs: float, scale: int, largest: tuple[int, int]) -> None:
    sizes = affordable(dataclasses.replace(SPEC, gmacs_256=gmacs, scale=scale))
    assert {(16, 16), (1000, 16), (16, 1000), (255, 257)} < set(sizes)
    assert max(height * width for height, width in sizes) == largest[0] * largest[1]


@pytest.mark.parametrize(("highest", "lost"), [(0, False), (3, False), (200, True)])
def test_only_a_picture_can_be_lost(highest: int, lost: bool) -> None:
    """A white sheet with a level or two of noise may well become plain white in another precision."""
    expected_NHWC = np.zeros((1, 8, 9, 3), np.uint8)
    expected_NHWC[:, ::2] = highest
    black = Backend("cpu", lambda image_NHWC, controls: np.zeros_like(image_NHWC))
    (row,) = _compare(lambda image_NHWC, controls: expected_NHWC, [black], expected_NHWC, {})
    assert row.blank == lost


def test_save_for_report(tmp_path: Path) -> None:
    rows = [
        Parity(batch=1, height=8, width=9, largest=1, mean=0.25, share=0.25, picture=3),
        Parity(batch=2, height=5, width=7, largest=300, mean=9.5, share=1.0, full=65535, controls="label, style"),
        Parity(batch=2, height=5, width=7, largest=2, mean=0.5, share=0.5, device="cuda"),
    ]
    save_for_report([dataclasses.asdict(row) for row in rows], tmp_path / "parity.json")
    found = json.loads((tmp_path / "parity.json").read_text())
    assert [Parity(**row) for row in found] == rows
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match=r"^cannot write .*parity.json: .*; check the permissions of the folder$"):
        save_for_report([dataclasses.asdict(row) for row in rows], tmp_path / "file" / "parity.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "parity.json"]
    assert table(rows).splitlines()[2:] == [
        "      1       8      9            1 of 255         0.250000           25.0000 %  on cpu, picture 3",
        "      2       5      7        300 of 65535         9.500000          100.0000 %  on cpu, label, style",
        "      2       5      7            2 of 255         0.500000           50.0000 %  on cuda",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="is measured on Linux alone")
@pytest.mark.parametrize(("most", "measured"), [(300, True), (200, False)])
def test_memory_of_a_network_that_does_not_run_at_all_sizes(most: int, measured: bool, tmp_path: Path) -> None:
    """As one that needs more memory than there is: no reason to lose an export at its end."""
    nodes = [
        helper.make_node("Shape", ["image"], ["height"], start=1, end=2),
        helper.make_node("Sub", ["height", "one"], ["last"]),
        helper.make_node("Gather", ["zeros", "last"], ["zero"]),  # fails where a picture is higher than `zeros`
        helper.make_node("Sub", ["image", "zero"], ["translated"]),
    ]
    shape = ["N", "H", "W", 3]
    values = [helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name in ("image", "translated")]
    constants = {"one": np.ones(1, np.int64), "zeros": np.zeros(most, np.uint8)}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", values[:1], values[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    found = working_memory(tmp_path / "m.onnx", ModelSpec(name="m", task="pix2pix", architecture="none"))
    assert found >= 64
    assert (found == ModelSpec.bytes_per_pixel) is not measured
