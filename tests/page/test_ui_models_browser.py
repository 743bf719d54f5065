"""Models that are used from their cards, in a real browser."""

from pathlib import Path

import pytest
from browsing import DIM, NIGHT, launched, served, visited
from evaluated import picture
from PIL import Image
from playwright.sync_api import Playwright, expect
from test_engine import save_sum

pytestmark = pytest.mark.browser


def test_the_result_is_of_the_model_that_is_used(playwright: Playwright, chromium: str, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "samples" / "square.png")
    models = [save_sum(tmp_path / f"{spec.name}.onnx", spec) for spec in (NIGHT, DIM)]
    with (
        served(*models) as address,
        launched(playwright, chromium) as browser,
        visited(browser, address) as page,
    ):
        made = page.locator(".save").filter(visible=True)
        expect(made).to_contain_text("Download square-night.png")
        page.get_by_role("tab", name="Models").click()
        page.get_by_role("button", name="Use it: Dim").click()
        expect(made).to_contain_text("Download square-dim.png")
        expect(page.get_by_role("radio", name="Dim")).to_be_checked()
