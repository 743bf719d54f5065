"""Names and passwords."""

import asyncio
import base64
import re
from pathlib import Path

import pytest

from translate.errors import ConfigError
from ui.serving import accounts
from ui.serving.accounts import Accounts, TooManyAttempts, hash_password, matches


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def allowed(found: Accounts, *headers: str) -> list[bool]:
    async def ask() -> list[bool]:
        return [await found.allow(header) for header in headers]

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def hashed() -> str:
    return hash_password("geheim: ß")


def test_a_hash_is_of_one_password_only(hashed: str) -> None:
    assert matches("geheim: ß", hashed)
    assert not matches("geheim: s", hashed)
    assert not matches(hashed, hashed)  # the file does not let anybody in
    assert hash_password("geheim: ß") != hashed  # another salt


def test_who_is_let_in(tmp_path: Path, hashed: str) -> None:
    path = tmp_path / "accounts.txt"
    path.write_text(f"# who\n\nanna:se cret:x\r\nben:{hashed}\n", encoding="utf-8")
    found = Accounts.read(path)
    found._delay = 0
    right = [basic("anna", "se cret:x"), basic("ben", "geheim: ß"), "Bearer se cret:x", "bearer geheim: ß"]
    wrong = [
        basic("anna", "secret"),
        basic("anna", ""),
        basic("ben", hashed),
        basic("anna", "geheim: ß"),
        basic("carla", "se cret:x"),
        basic("", ""),
        "Basic anna:se cret:x",
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        "Basic",
        "Bearer",
        "Digest se cret:x",
        "",
    ]
    assert allowed(found, *right) == [True] * len(right)
    assert allowed(found, *wrong) == [False] * len(wrong)


def test_a_right_password_is_hashed_once(hashed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, tried = Accounts({"ben": hashed}, delay_seconds=0), list[str]()

    def recorded(password: str, secret: str) -> bool:
        tried.append(password)
        return matches(password, secret)

    monkeypatch.setattr(accounts, "matches", recorded)
    wrong, right = basic("ben", "x"), basic("ben", "geheim: ß")
    assert allowed(found, wrong, right, right, wrong, right) == [False, True, True, False, True]
    assert tried == ["x", "geheim: ß", "x"]


def test_an_unknown_name_takes_as_long_as_a_known_one(hashed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, costs = Accounts({"ben": hashed}, delay_seconds=0), list[int]()
    scrypt = accounts._scrypt
    monkeypatch.setattr(accounts, "_scrypt", lambda *args: costs.append(args[2]) or scrypt(*args))
    assert allowed(found, basic("nobody", "x"), basic("ben", "x")) == [False, False]
    assert costs[0] == costs[1] == 1 << 14


def test_wrong_passwords_wait_for_one_another_and_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found, waits = Accounts({"anna": "secret"}), list[float]()
    monkeypatch.setattr(accounts, "MOST_WAITING", 3)
    go = asyncio.Event()

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        await go.wait()

    async def attack() -> list[object]:
        monkeypatch.setattr(accounts.asyncio, "sleep", wait)
        tries = [asyncio.create_task(found.allow(basic("anna", str(number)))) for number in range(5)]
        while sum(task.done() for task in tries) < 2 or not waits:
            await asyncio.wait(tries, return_when=asyncio.FIRST_COMPLETED, timeout=0.01)
        assert waits == [accounts.DELAY_SECONDS]  # the others are not even looked at
        go.set()
        return await asyncio.gather(*tries, return_exceptions=True)

    results = asyncio.run(attack())
    assert results[:3] == [False] * 3
    assert [type(result) for result in results[3:]] == [TooManyAttempts] * 2
    assert waits == [accounts.DELAY_SECONDS] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("anna", r", line 1: not NAME:PASSWORD"),
        ("anna:", r", line 1: "),
        (":secret", r", line 1: "),
        ("#\nanna:x\nanna:y", r", line 3: "),
        ("ben:scrypt$1$2", r", line 1: "),
        ("ben:scrypt$16384$8$5$AAAA$???", r", line 1: "),
        ("ben:scrypt$99999999$8$5$AAAA$AAAA", r", line 1: "),
        ("# nobody\n", r": has no account; add a line NAME:PASSWORD$"),
        (b"anna:\xff", r": cannot be read \(not UTF-8 text\)"),
        (None, r": cannot be read \(No such file"),
    ],
)
def test_bad_files_are_refused_without_telling_what_is_in_them(
    text: str | bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "accounts.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=re.escape(f"--auth-file {path}") + message) as found:
        Accounts.read(path)
    assert "anna" not in str(found.value)
    assert "secret" not in str(found.value)
