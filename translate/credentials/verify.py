"""Reads the content credentials (C2PA) of a file, of this program or any other, and checks them; without any network.

What is read may have been written by anybody: texts are shown with their control characters escaped, and whatever is
not as expected is left out.
"""

import json
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from translate.credentials import watermark
from translate.credentials.identity import anchors
from translate.credentials.library import c2pa, context, said
from translate.credentials.manifest import SOURCE_TYPES
from translate.credentials.sign import SIGNED, has_credentials, media_type
from translate.errors import ConfigError, ImageError, one_line, require

_DECLARED = re.compile(
    rb"newscodes/digitalsourcetype/(%b)" % "|".join(sorted(SOURCE_TYPES, key=len, reverse=True)).encode()
)
_UNTRUSTED = "signingCredential.untrusted"
_CHANGED = "the file was changed after it was signed"
_FAULTS = {
    "assertion.dataHash.mismatch": _CHANGED,
    "assertion.bmffHash.mismatch": _CHANGED,
    "assertion.boxesHash.mismatch": _CHANGED,
    "assertion.hashedURI.mismatch": "the credentials were changed after they were signed",
    "claimSignature.mismatch": "the signature does not belong to these credentials",
    "claimSignature.missing": "there is no signature",
    "signingCredential.expired": "the signer's certificate has expired",
    "signingCredential.invalid": "the signer's certificate must not be used for content credentials",
    "signingCredential.revoked": "the signer's certificate was revoked",
}
_LONGEST = 200
_DEEPEST = 16
"""Parents of parents that are followed."""


@dataclass(frozen=True)
class Ingredient:
    """A file that went into another."""

    title: str
    """Its name; empty if unknown."""
    sha256: str
    """Of the file, hexadecimal; empty if unknown."""
    credentials: "Credentials | None"
    """Its own; None if it had none."""
    faults: tuple[str, ...]
    """What was wrong with its own credentials when it was used."""


@dataclass(frozen=True)
class Credentials:
    """What a signer says of a file."""

    signer: str
    """The names in the certificate."""
    program: str
    """Name and version of the program that made the file."""
    model: str
    """Of ours, or whatever else carried out the last action."""
    model_sha256: str
    """Of the model's file; empty if unknown."""
    actions: tuple[str, ...]
    """What was done, in the words of C2PA, such as `c2pa.edited`."""
    source_types: tuple[str, ...]
    """How the file came about, in the words of IPTC, such as `trainedAlgorithmicMedia`."""
    when: str
    """Date and time by the signer's clock, or that of an authority; empty if unknown."""
    ingredients: tuple[Ingredient, ...]


@dataclass(frozen=True)
class Verdict:
    """What is known of a file."""

    state: Literal["valid", "invalid", "none"]
    """Whether it has credentials, and they match the file as it is now."""
    trusted: bool
    """Whether the signer's certificate comes from an authority that is known here. Only if `valid`."""
    faults: tuple[str, ...] = ()
    """Why the credentials are invalid, in plain words."""
    credentials: Credentials | None = None
    """None also where they are too damaged to be read."""
    declared: str = ""
    """The digital source type that the metadata of a file without credentials states; nothing proves it."""
    watermark: bool | None = None
    """Whether its pixels hold the watermark of this program; None: not looked for, as it is no picture, or the package
    with the networks is not installed."""


def verify(path: Path, trust: str = "") -> Verdict:
    """Read and check the credentials of a file.

    Args:
        path: the file.
        trust: certificates of authorities to trust besides that of this machine, as PEM.

    Raises:
        MissingExtra: the extra `credentials` is not installed.
        ImageError: the file cannot be read.
        ModelError: the networks for the watermark are damaged.
    """
    require("credentials", "c2pa", "cryptography")
    try:
        with path.open("rb") as file:
            kind = media_type(path, path.name) or SIGNED.get(path.suffix.lower(), "")
            known = _readable(kind) or _readable(path.suffix.lower().removeprefix("."))
            trusted = "\n".join((anchors(), trust)).strip()
            verdict = _with_declared(read(file, known, trusted) if known else Verdict("none", False), path)
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error}); check the name and the permissions"
        raise ImageError(f"{path}: {reason}") from None
    return replace(verdict, watermark=watermark.find(path))


def read(file: BinaryIO, kind: str, trust: str) -> Verdict:
    """Read and check the credentials in an open file.

    Args:
        file: open for reading, at its beginning.
        kind: media type, or a suffix without dot.
        trust: certificates of authorities as PEM, or nothing.
    """
    try:
        with c2pa().Reader(kind, file, context=context(checks=True, trust=trust)) as reader:
            state, found = reader.get_validation_state(), _table(json.loads(reader.json()))
    except c2pa().C2paError as error:
        if "ManifestNotFound" in str(error) or type(error).__name__.endswith("ManifestNotFound"):
            return Verdict("none", False)
        file.seek(0)
        if not has_credentials(file.read()):
            return Verdict("none", False)
        return Verdict("invalid", False, (f"the file or its credentials are damaged ({said(error)[:_LONGEST]})",))
    manifests = _table(found.get("manifests"))
    label = _text(found.get("active_manifest"))
    results = _table(found.get("validation_results"))
    faults = list(_faults(results.get("activeManifest")))
    for delta in _list(results.get("ingredientDeltas")):
        faults += [f"{one} (a file that went into it)" for one in _faults(_table(delta).get("validationDeltas"))]
    if state not in ("Valid", "Trusted") and not faults:
        faults = [_CHANGED]
    valid = not faults
    return Verdict(
        "valid" if valid else "invalid",
        valid and state == "Trusted",
        tuple(dict.fromkeys(faults)),
        _credentials(manifests, label, _DEEPEST),
    )


def read_trust(path: Path) -> str:
    """Read a PEM file with certificates of authorities.

    Raises:
        ConfigError: it cannot be read, or holds no certificate.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ConfigError(f"--trust {path}: cannot be read ({error.strerror or error}); give a PEM file") from None
    found = re.findall(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", text)
    if not found:
        raise ConfigError(f"--trust {path}: holds no certificate; give a PEM file with those of authorities")
    return "\n".join(found)


def _readable(kind: str) -> str:
    """The media type or suffix if credentials can be read from such files, or nothing."""
    return kind if kind and kind in c2pa().Reader.get_supported_mime_types() else ""


def _with_declared(verdict: Verdict, path: Path) -> Verdict:
    """Add what metadata says where there are no credentials."""
    if verdict.state != "none":
        return verdict
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _DECLARED.search(data)
            declared = found[1].decode() if found else ""
    except ValueError:  # an empty file
        declared = ""
    return Verdict("none", False, declared=declared)


def _faults(results: Any) -> Iterator[str]:
    for one in _list(_table(results).get("failure")):
        code = _text(_table(one).get("code"))
        if code != _UNTRUSTED:
            yield _FAULTS.get(code, code)


def _credentials(manifests: Mapping[str, Any], label: str, depth: int) -> Credentials | None:
    manifest = _table(manifests.get(label))
    if not manifest or not depth:
        return None
    actions = [_table(one) for one in _actions(manifest)]
    signature, (program, *_) = _table(manifest.get("signature_info")), [*_programs(manifest), ""]
    model = sha256 = when = ""
    for one in actions:
        parameters = _table(one.get("parameters"))
        agent = one.get("softwareAgent")
        model = _text(parameters.get("model")) or _named(agent) or model
        sha256 = _text(parameters.get("modelSha256")) or sha256
        when = _text(one.get("when")) or when
    names = [_text(signature.get(name)) for name in ("common_name", "issuer")]
    types = [_text(one.get("digitalSourceType")).rsplit("/", 1)[-1] for one in actions]
    return Credentials(
        signer=", ".join(dict.fromkeys(name for name in names if name)) or "somebody without a name",
        program=program,
        model="" if model == program else model,
        model_sha256=sha256,
        actions=tuple(_text(one.get("action")) for one in actions),
        source_types=tuple(dict.fromkeys(one for one in types if one)),
        when=_text(signature.get("time")) or when,
        ingredients=tuple(_ingredient(_table(one), manifests, depth) for one in _list(manifest.get("ingredients"))),
    )


def _ingredient(found: Mapping[str, Any], manifests: Mapping[str, Any], depth: int) -> Ingredient:
    results = _table(_table(found.get("validation_results")).get("activeManifest"))
    return Ingredient(
        _text(found.get("title")),
        _text(_table(found.get("metadata")).get("sha256")),
        _credentials(manifests, _text(found.get("active_manifest")), depth - 1),
        tuple(dict.fromkeys(_faults(results))),
    )


def _actions(manifest: Mapping[str, Any]) -> Iterator[Any]:
    for assertion in _list(manifest.get("assertions")):
        if _text(_table(assertion).get("label")).startswith("c2pa.actions"):
            yield from _list(_table(_table(assertion).get("data")).get("actions"))


def _programs(manifest: Mapping[str, Any]) -> list[str]:
    found = [_named(one) for one in _list(manifest.get("claim_generator_info"))]
    return [one for one in (*found, _text(manifest.get("claim_generator"))) if one]


def _named(value: Any) -> str:
    """Name and version of a program: a text, or a table."""
    if isinstance(value, str):
        return _text(value)
    return " ".join(part for name in ("name", "version") if (part := _text(_table(value).get(name))))


def _text(value: Any) -> str:
    return one_line(value)[:_LONGEST] if isinstance(value, str) else ""


def _table(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
