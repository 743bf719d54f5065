"""The page with a password and below a prefix, in a real browser: every request finds its way."""

from pathlib import Path

import numpy as np
import pytest
from browsing import PATIENCE_MS, served, visited
from conftest import DOUBLE, INVERT, save_model
from PIL import Image
from playwright.sync_api import Browser, expect
from test_ui_browser import made, upload, wait_for
from test_ui_sketch import wait_until

pytestmark = pytest.mark.browser


def test_a_page_with_a_password_below_a_prefix(browser: Browser, tmp_path: Path, image_HWC: np.ndarray) -> None:
    (tmp_path / "samples").mkdir()
    Image.new("L", (64, 64), 100).save(tmp_path / "samples" / "grey.png")
    sketch = save_model(tmp_path / "sketch.onnx", INVERT)
    (tmp_path / "other").mkdir()
    double = save_model(tmp_path / "other" / "double.onnx", DOUBLE)
    (tmp_path / "accounts.txt").write_text("anna:secret\n", encoding="utf-8")
    Image.fromarray(image_HWC).save(tmp_path / "mine.png")
    options = ["--auth-file", tmp_path / "accounts.txt", "--root-path", "/tool"]
    with (
        served(sketch, double, options=options) as address,
        visited(browser, f"{address}tool/", http_credentials={"username": "anna", "password": "secret"}) as page,
    ):
        wait_until(page, lambda found: found.shape == (64, 64, 3) and abs(found - 155).max() < 3)
        page.get_by_role("tab", name="Super resolution").click()
        upload(page, tmp_path / "mine.png")
        wait_for(page, made(double, tmp_path / "mine.png", tmp_path / "out"))
        after = page.locator(".compare .after .shown:visible")
        expect(after).to_be_visible(timeout=PATIENCE_MS)
        page.wait_for_function("image => image.naturalWidth === 80", arg=after.element_handle(), timeout=PATIENCE_MS)
