"""Networks that the exporter of PyTorch cannot express."""

import logging
from typing import Any

import pytest
import torch
from test_export import SPEC
from torch import nn

from export.to_onnx import trace
from translate.errors import ModelError


def test_one_line_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any, **__: Any) -> None:
        logging.getLogger("torch.export").error("a hundred lines")
        raise torch.onnx.OnnxExporterError("This is step 1 of 3.\nNext steps: ...") from TypeError("no\nsuch operator")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ModelError, match=r"^tiny cannot be expressed in ONNX by PyTorch .* \(no such operator\); "):
        trace(nn.Identity(), SPEC)
    assert not caplog.records
    logging.getLogger("torch.export").error("heard again")
    assert len(caplog.records) == 1
