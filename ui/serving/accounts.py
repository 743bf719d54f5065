"""Who may use the page: names and passwords from a file.

A line is `name:password`, or `name:` and what `translate ui --hash-password` prints, which does not reveal the
password: scrypt (RFC 7914), with parameters that OWASP's Password Storage Cheat Sheet recommends. Name and password are
sent by HTTP Basic (RFC 7617), which browsers ask for, or the password alone as a bearer token (RFC 6750).
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path

from translate.errors import ConfigError

DELAY_SECONDS = 0.5
"""How long a wrong password takes; one is tried at a time."""
MOST_WAITING = 50
"""Maximum number of passwords that wait to be checked."""
_MOST_KNOWN = 1000
_SCHEME = "scrypt"
_COST, _BLOCK, _PARALLEL = 1 << 14, 8, 5
_LARGEST_COST = 1 << 17
_SALT_BYTES = 16


class TooManyAttempts(Exception):  # noqa: N818 - no fault of the program
    """So many passwords wait to be checked that this one is refused unread."""


class Accounts:
    """Names and their passwords or hashes.

    A credential that was right once is recognised afterwards without hashing it again, by a keyed digest.

    Args:
        secrets_by_name: passwords, or what `hash_password` returned.
        delay_seconds: how long a wrong password takes.
    """

    def __init__(self, secrets_by_name: Mapping[str, str], *, delay_seconds: float = DELAY_SECONDS) -> None:
        self._secrets, self._delay = dict(secrets_by_name), delay_seconds
        self._key, self._known = secrets.token_bytes(32), set[bytes]()
        self._turn, self._waiting = asyncio.Lock(), 0
        # An unknown name takes as long as a known one.
        hashed = any(map(_is_hash, self._secrets.values()))
        self._nobody = hash_password(secrets.token_hex()) if hashed else secrets.token_hex()

    @classmethod
    def read(cls, path: Path) -> "Accounts":
        """Read a file of accounts, UTF-8; empty lines and those that begin with `#` are skipped.

        Raises:
            ConfigError: it cannot be read, or a line is no account; the message does not quote the line.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror or error) if isinstance(error, OSError) else "not UTF-8 text"
            raise ConfigError(
                f"--auth-file {path}: cannot be read ({reason}); give a file of lines NAME:PASSWORD"
            ) from None
        found: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, secret = line.partition(":")
            if not (name and colon and secret) or name in found or (_is_hash(secret) and _parsed(secret) is None):
                reason = "not NAME:PASSWORD, a damaged hash, or a name for the second time"
                raise ConfigError(f"--auth-file {path}, line {number}: {reason}")
            found[name] = secret
        if not found:
            raise ConfigError(f"--auth-file {path}: has no account; add a line NAME:PASSWORD")
        return cls(found)

    async def allow(self, authorization: str) -> bool:
        """Whether the value of the header `Authorization` is that of an account.

        Raises:
            TooManyAttempts: it was not checked.
        """
        digest = hashlib.blake2b(authorization.encode(errors="surrogateescape"), key=self._key).digest()
        if digest in self._known:
            return True
        if self._waiting >= MOST_WAITING:
            raise TooManyAttempts
        self._waiting += 1
        try:
            async with self._turn:
                right = await asyncio.to_thread(self._check, authorization)
                if not right:
                    await asyncio.sleep(self._delay)
        finally:
            self._waiting -= 1
        if right and len(self._known) < _MOST_KNOWN:
            self._known.add(digest)
        return right

    def _check(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            # All are tried, so that the time does not tell which one it is.
            return sum(matches(value.strip(), secret) for secret in self._secrets.values()) > 0
        if scheme.lower() != "basic":
            return False
        try:
            name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return matches(password, self._secrets.get(name, self._nobody)) and bool(colon) and name in self._secrets


def hash_password(password: str) -> str:
    """What to put into the file instead of the password: `scrypt$COST$BLOCK$PARALLEL$SALT$HASH`."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join((_SCHEME, str(_COST), str(_BLOCK), str(_PARALLEL), *parts))


def matches(password: str, secret: str) -> bool:
    """Whether a password is the one of the file, in a time that does not tell how much of it is right."""
    parsed = _parsed(secret) if _is_hash(secret) else None
    if parsed is None:
        return hmac.compare_digest(password.encode(), secret.encode())
    cost, block, parallel, salt, digest = parsed
    return hmac.compare_digest(_scrypt(password, salt, cost, block, parallel), digest)


def _is_hash(secret: str) -> bool:
    return secret.startswith(f"{_SCHEME}$")


def _parsed(secret: str) -> tuple[int, int, int, bytes, bytes] | None:
    try:
        _, *numbers, salt, digest = secret.split("$")
        cost, block, parallel = map(int, numbers)
        found = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except ValueError:
        return None
    usable = 1 < cost <= _LARGEST_COST and not cost & (cost - 1) and 1 <= block <= 32 and 1 <= parallel <= 32
    return (cost, block, parallel, *found) if usable and all(found) else None


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 128 * block * (cost + parallel + 2)
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=memory + (1 << 20))
