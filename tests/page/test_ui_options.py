"""Options of `translate ui` for others than oneself, and the line for a password."""

import asyncio
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from test_ui_accounts import basic

from translate.errors import ConfigError
from ui import command
from ui.command import UiOptions, is_loopback
from ui.serving.accounts import Accounts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "0.0.0.0"}, r"^--host 0\.0\.0\.0 lets the network in without a password; give --auth-file"),
        ({"host": "::"}, "^--host :: lets"),
        ({"host": ""}, "^--host  lets"),
        ({"host": "192.0.2.1"}, "lets the network in"),
        ({"root_path": "tool"}, "^--root-path tool is no path; write it as /tool$"),
        ({"root_path": "/a b"}, "is no path"),
        ({"root_path": "//x"}, "is no path"),
        ({"max_upload_mb": 0}, "^--max-upload-mb 0 is too small; give 1 or more$"),
        ({"max_pixels": 0}, "^--max-pixels 0"),
        ({"concurrency": 0}, "^--concurrency 0"),
        ({"queue_size": 0}, "^--queue-size 0"),
        ({"training_options": "--device cpu"}, "^--training-options has no effect without --allow-training; add that"),
        (
            {"training_options": '"--seed 5', "allow_training": True, "data_root": Path("data")},
            r'^--training-options "--seed 5 cannot be read \(No closing quotation\); write it as in a shell$',
        ),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UiOptions(**options)


def test_training_options_are_read_as_the_help_writes_them() -> None:
    for words in (["--training-options", "--device cpu --threads 2"], ["--training-options=--device cpu --threads 2"]):
        with pytest.raises(ConfigError, match=r"^--training-options has no effect without --allow-training"):
            command.main(words)
    with pytest.raises(ConfigError, match=r"^Missing value for argument '--training-options'"):
        command.main(["--training-options"])


def test_hosts() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "localhost", "::1")))
    for host in ("0.0.0.0", "::", "192.0.2.1", "", "no-such-host.invalid"):
        assert not is_loopback(host)
    UiOptions(host="0.0.0.0", without_password=True)
    UiOptions(host="0.0.0.0", auth_file=Path("accounts.txt"))


def test_a_password_becomes_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("secret\n"))
    assert command.main(["--hash-password"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\n")
    assert asyncio.run(Accounts({"anna": printed.strip()}).allow(basic("anna", "secret")))
    monkeypatch.setattr("sys.stdin", StringIO("\n"))
    with pytest.raises(ConfigError, match=r"^no password was given"):
        command.main(["--hash-password"])
