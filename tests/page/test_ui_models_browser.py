"""Models that are used from their cards, in a real browser."""

import pytest
from playwright.sync_api import Page, expect
from test_ui_browser import go_to, visible

pytestmark = pytest.mark.browser


def test_the_result_is_of_the_model_that_is_used(page: Page) -> None:
    go_to(page, "Day to night")
    made = visible(page, ".save")
    expect(made).to_contain_text("Download square-2-night.png")
    page.get_by_role("tab", name="Models").click()
    page.get_by_role("button", name="Use it: Dim").click()
    expect(made).to_contain_text("Download square-2-dim.png")
    expect(page.get_by_role("radio", name="Dim")).to_be_checked()
