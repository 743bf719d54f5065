"""c2pa-python, imported when it is needed, and configured not to use the network."""

import importlib
from functools import lru_cache
from typing import Any

from translate.errors import ConfigError, message_of, one_line


def c2pa() -> Any:
    """The library; with the extra `credentials` it is there."""
    return importlib.import_module("c2pa")


@lru_cache(maxsize=16)
def context(*, checks: bool, trust: str = "") -> Any:
    """Settings for its readers and builders.

    Args:
        checks: whether they check the credentials that they read.
        trust: certificates of authorities as PEM, or nothing.

    Raises:
        ConfigError: `trust` holds no usable certificates.
    """
    settings: dict[str, Any] = {
        "version": 1,
        "verify": {
            "verify_after_reading": checks,
            "verify_trust": checks,
            "verify_after_sign": False,
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
        # Thumbnails would cost time, and could show what was to be stripped.
        "builder": {"thumbnail": {"enabled": False}, "actions": {"auto_created_action": {"enabled": False}}},
    }
    if trust:
        settings["trust"] = {"user_anchors": trust}
    try:
        return c2pa().Context(c2pa().Settings.from_dict(settings))
    except c2pa().C2paError as error:
        raise ConfigError(f"the certificates to trust cannot be used ({said(error)}); give others") from None


def said(error: Exception) -> str:
    """What an error says, in one line."""
    return one_line(message_of(error))
