"""What the tab of training asks for, without a browser."""

import json
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from programs import until
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_ui_runs import new_runs as new_runs
from test_ui_runs import root as root
from test_ui_runs import stub as stub

from translate.cli.main import main
from translate.errors import ConfigError
from ui.command import UiOptions
from ui.training.runs import Runs
from ui.training.tab import MAX_QUESTION_BYTES, Training, train_tab

SHOES = {"task": "sketch-to-photo", "folder": "shoes", "minutes": 10}


@pytest.fixture
def client(new_runs: Callable[[], Runs], tmp_path: Path) -> Generator[TestClient]:
    (tmp_path / "cache").mkdir()
    with TestClient(Starlette(routes=Training(new_runs(), tmp_path / "cache").routes())) as client:
        yield client


@pytest.mark.usefixtures("stub")
def test_start_look_and_stop(client: TestClient, tmp_path: Path) -> None:
    folders = [{"name": ".", "title": "data", "pictures": 6}, {"name": "shoes", "title": "shoes", "pictures": 6}]
    assert client.get("/train/state").json() == {"folders": folders, "runs": []}
    started = client.post("/train/start", json=SHOES).json()
    assert (started["name"], started["state"], started["minutes"]) == ("shoes-1", "running", 10)
    assert client.get("/train/state").json()["runs"] == [started]
    answer = client.post("/train/start", json=SHOES)
    assert (answer.status_code, answer.text[:25]) == (422, "shoes-1 is being trained;")
    answer = client.post("/train/start", json=SHOES, headers={"Accept-Language": "de"})
    assert answer.text == "shoes-1 wird gerade trainiert; bitte das Ende abwarten oder es anhalten."
    shown = client.get("/train/run/shoes-1").json()
    assert (shown["state"], shown["share"], shown["samples"], shown["message"]) == ("running", 0.0, [], "")
    assert client.get("/train/run/shoes-1/sample/0").status_code == 422
    (tmp_path / "runs" / "shoes-1" / "samples").mkdir()
    (tmp_path / "runs" / "shoes-1" / "samples" / "000000012.png").write_bytes(b"picture")
    assert client.get("/train/run/shoes-1").json()["samples"] == [12]
    assert client.get("/train/run/shoes-1/sample/12").content == b"picture"
    assert client.post("/train/run/shoes-1/stop").status_code == 200
    until(lambda: client.get("/train/run/shoes-1").json()["state"] == "failed")
    answer = client.post("/train/run/shoes-1/export")
    assert (answer.status_code, answer.text[:36]) == (422, "shoes-1 has nothing to export yet; s")


@pytest.mark.parametrize(
    "question",
    [
        "nothing", "[]", '"text"', json.dumps({**SHOES, "out": "/etc"}), json.dumps({**SHOES, "options": ["--out"]}),
        json.dumps({"task": "sketch-to-photo"}), json.dumps({**SHOES, "folder": "../outside"}),
        json.dumps({**SHOES, "folder": "/etc"}), json.dumps({**SHOES, "preset": "--out=/tmp"}),
        json.dumps({**SHOES, "minutes": 1e9}), "{" + " " * MAX_QUESTION_BYTES + "}",
    ],
)  # fmt: skip
def test_other_questions_are_refused_in_a_line(question: str, client: TestClient, tmp_path: Path) -> None:
    for address in ("/train/start", "/train/check"):
        answer = client.post(address, content=question)
        assert (answer.status_code, answer.text.count("\n")) == (422, 0)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2fruns", "none-1", "shoes-1%00"])
def test_only_runs_are_shown(name: str, client: TestClient) -> None:
    for address in (f"/train/run/{name}", f"/train/run/{name}/sample/0"):
        assert client.get(address).status_code in (404, 422)
    for act in ("stop", "resume", "export"):
        assert client.post(f"/train/run/{name}/{act}").status_code in (404, 422)


def test_other_sites_may_not_train(client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/train/start", json=SHOES, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, (tmp_path / "runs").exists()) == (403, False)


def test_options_belong_together(tmp_path: Path) -> None:
    for options in (dict[str, Any](allow_training=True), dict[str, Any](data_root=tmp_path)):
        with pytest.raises(ConfigError, match=r"^--allow-training and --data-root DIR belong together"):
            UiOptions(**options)


def test_without_torch_it_ends_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("translate.errors.find_spec", lambda name: None if name == "torch" else name)
    assert main(["ui", "--allow-training", "--data-root", str(tmp_path), "--no-open"]) == 2
    assert re.fullmatch(r"translate: torch not installed; .*'\.\[train\]'\n", capsys.readouterr().err)
    assert main(["ui", "--allow-training", "--data-root", str(tmp_path / "none"), "--no-open"]) == 2
    assert "--data-root" in capsys.readouterr().err


def test_the_form_knows_every_task() -> None:
    value: Any = train_tab().value
    assert [task["name"] for task in value["tasks"] if task["pairs"]] == ["pix2pix"]
    assert all(task["presets"] for task in value["tasks"])
