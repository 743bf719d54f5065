"""The command `translate verify`."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from translate.credentials.manifest import SOURCE_TYPES
from translate.credentials.verify import Credentials, Ingredient, Verdict, read_trust, verify
from translate.errors import ConfigError, one_line
from translate.options import parse_options

EXIT_INVALID, EXIT_NONE = 1, 3


@tyro.conf.configure(tyro.conf.FlagCreatePairsOff)
@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Tell who made a picture or film, with what, and whether it was changed since, by its content credentials (C2PA).

    Reads PNG, JPEG, WebP, TIFF, AVIF, GIF, MP4, MOV and others, from any program, without using the network. Exit
    status: 0 all credentials are valid, 1 a file was changed or its credentials are invalid, 3 one has none, 2 one
    cannot be read, or none was given. Whether the signer is known here, and whether the watermark of `translate
    convert --watermark` was found, is printed, but does not affect the status.
    """

    files: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE", help_behavior_hint="(required)")
    ]
    """Pictures or films."""
    trust: Annotated[Path | None, tyro.conf.arg(metavar="PEM", help_behavior_hint="(default: none)")] = None
    """File with the certificates of authorities to trust, besides that of this machine."""
    json: bool = False
    """One line of JSON per file."""

    def __post_init__(self) -> None:
        """Validate the options.

        Raises:
            ConfigError: there is no file, so nothing could be said to be valid.
        """
        if not self.files:
            raise ConfigError("no file is given; give one or more pictures or films")


def main(argv: list[str]) -> int:
    """Print what is known of each file and return the exit status.

    Raises:
        MissingExtra: the extra `credentials` is not installed.
        ConfigError: `--trust` holds no certificates.
        ImageError: a file cannot be read.
    """
    options = parse_options(VerifyOptions, argv, "translate verify")
    trust = read_trust(options.trust) if options.trust else ""
    states: set[str] = set()
    for path in options.files:
        verdict = verify(path, trust)
        states.add(verdict.state)
        if options.json:
            sys.stdout.write(f"{json.dumps({'file': str(path), **asdict(verdict)})}\n")
        else:
            lines = (*_lines(one_line(str(path)), verdict), *_marked(verdict))
            sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_INVALID if "invalid" in states else EXIT_NONE if "none" in states else 0


def _lines(name: str, verdict: Verdict) -> Iterator[str]:
    if verdict.state == "none":
        yield f"{name}: no content credentials, so nothing is known for certain"
        if verdict.declared:
            yield f"  Its metadata, which anybody can write, says: {_meant(verdict.declared)}."
        return
    found = verdict.credentials
    if verdict.state == "invalid":
        yield f"{name}: NOT VALID: {'; '.join(verdict.faults)}"
        if found is not None:
            yield "  What its credentials say may therefore be wrong:"
    else:
        yield f"{name}: valid, not changed since it was signed"
    if found is None:
        return
    if verdict.state == "valid" and verdict.trusted:
        yield f"  Signed by {found.signer}, who was certified by an authority that is trusted here."
    elif verdict.state == "valid":
        yield f"  Signed by {found.signer}. The signer is not known to this machine: anybody can use such a name."
    yield from (f"  {line}" for line in _said(found))


def _marked(verdict: Verdict) -> Iterator[str]:
    """About the watermark, if there is one: that none was found says nothing."""
    if verdict.watermark:
        yield (
            "  Its pixels hold the watermark of translate, which stays through many changes: a model has probably made "
            "or changed it."
        )


def _said(found: Credentials) -> Iterator[str]:
    """Sentences about a manifest."""
    program = f" with {found.program}" if found.program else ""
    when = f" on {found.when.replace('T', ' ').replace('Z', ' UTC')}" if found.when else ""
    yield f"Made{program}{when}."
    if found.model:
        digest = f" (SHA-256 of its file: {found.model_sha256})" if found.model_sha256 else ""
        what = "The model was" if found.model_sha256 else "It was used:"
        yield f"{what} {found.model}{digest}."
    if found.source_types:
        yield f"It is {'; '.join(map(_meant, found.source_types))}."
    for one in found.ingredients:
        yield from _made_from(one)


def _made_from(one: Ingredient) -> Iterator[str]:
    name = one.title or "a file whose name is not told"
    digest = f" (SHA-256 {one.sha256})" if one.sha256 else ""
    if one.faults:
        yield f"Made from {name}{digest}, whose own credentials were NOT VALID: {'; '.join(one.faults)}."
    elif one.credentials is None:
        yield f"Made from {name}{digest}, which had no credentials."
    else:
        yield f"Made from {name}{digest}, which had credentials of its own, signed by {one.credentials.signer}:"
    if one.credentials is not None:
        yield from (f"  {line}" for line in _said(one.credentials))


def _meant(source_type: str) -> str:
    known = SOURCE_TYPES.get(source_type)
    return f"{known} ({source_type})" if known else source_type
