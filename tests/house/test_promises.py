"""Every promise is shown by something that is there, and has its row in docs/reliability.md."""

import ast
from typing import Any

import pytest
from scripts import ROOT, load_script

script = load_script("tools/reliability.py")
PROMISES = script.read()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.says[:40])
def test_what_shows_a_promise_is_there(promise: Any) -> None:
    for test in promise.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in names if name else any(known.startswith("test_") for known in names), test
    for word in promise.command[:1]:
        assert (ROOT / word).is_file()


def test_the_page_has_a_row_for_every_promise() -> None:
    rows = script.kept_rows(script.PAGE.read_text(encoding="utf-8"))
    assert set(rows) == {(promise.part, promise.says.replace("|", "/")) for promise in PROMISES}
    assert [row for row in rows.values() if script.BROKEN in row] == []
