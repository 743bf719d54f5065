"""Who signs: a private key, and the chain of certificates that says whose it is.

The user's own, from PEM files; or one of this machine, made at first use: a certificate authority that signs one
certificate; its private key is then discarded, so that nothing else can ever be signed in its name. The names in
it are made up: they tell neither the user nor the machine.
"""

import datetime
import os
import re
import secrets
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate.errors import ConfigError, require
from translate.files import PROCESS, data_folder

if TYPE_CHECKING:
    from cryptography import x509

ON, OFF = "on", "off"
"""Values of `--credentials` that are no path: sign with the certificate of this machine, or not at all."""

ORGANISATION = "translate"
"""Organisation in the certificates of machines."""

_YEARS = 10
_MOST_BYTES = 1 << 20
_CLAIM_SIGNING = "1.3.6.1.4.1.62558.2.1"
"""Purpose of a certificate that signs content credentials (C2PA specification 2.2, 14.5.1); older readers know only
that for e-mail."""
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Identity:
    """What is needed to sign."""

    algorithm: str
    """As C2PA calls it, e.g. `es256`."""
    chain: bytes
    """Certificates as PEM, each signed by the next; the first is that of the key."""
    key: bytes
    """The private key as PEM (PKCS 8), not encrypted."""


def local_path() -> Path:
    """The file with key and certificates of this machine; made by `identity_of` at first use."""
    return data_folder() / "credentials" / "identity.pem"


def identity_of(credentials: str) -> Identity:
    """The identity for `on`, made if it is missing, or from a file or folder of this name.

    Raises:
        MissingExtra: the extra `credentials` is not installed.
        ConfigError: see `read_identity`; or the folder for that of this machine cannot be written to.
    """
    require("credentials", "c2pa", "cryptography")
    if credentials != ON:
        return _cached(Path(credentials), *_version(Path(credentials)))
    path = local_path()
    if not path.is_file():
        _make_local(path)
    return _cached(path, *_version(path))


def anchors() -> str:
    """The certificate authorities of this machine as PEM; empty if there is none yet."""
    try:
        blocks = _blocks(local_path())
    except ConfigError:
        return ""
    # Only the authority's certificate from the chain: the signer's own is not an anchor of trust.
    return "\n".join(block.decode() for kind, block in blocks[2:] if kind == "CERTIFICATE")


def read_identity(path: Path) -> Identity:
    """Read a PEM file, or all PEM files of a folder, with a private key and its certificates in any order.

    Raises:
        ConfigError: it cannot be read, lacks the key or its certificate, the key is encrypted or of a kind that C2PA
            does not know, or the certificate has expired; one line.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    blocks = _blocks(path)
    keys = [block for kind, block in blocks if kind.endswith("PRIVATE KEY")]
    if len(keys) != 1:
        found = f"{len(keys)} private keys" if keys else "no private key"
        raise ConfigError(f"{path}: holds {found}; give a PEM file or a folder with one, and its certificates")
    try:
        key = serialization.load_pem_private_key(keys[0], None)
        certificates = [x509.load_pem_x509_certificate(block) for kind, block in blocks if kind == "CERTIFICATE"]
    except TypeError:
        raise ConfigError(f"{path}: its private key is encrypted; decrypt it with `openssl pkey` first") from None
    except Exception as error:  # cryptography raises many kinds
        raise ConfigError(f"{path}: damaged ({' '.join(str(error).split()) or type(error).__name__})") from None
    chain = _chain(key.public_key(), certificates, path)
    now, end = datetime.datetime.now(datetime.UTC), chain[0].not_valid_after_utc
    if not chain[0].not_valid_before_utc <= now <= end:
        state = f"expired on {end:%Y-%m-%d}" if now > end else f"is not valid before {chain[0].not_valid_before_utc}"
        advice = "move it away, and another is made" if path == local_path() else "use a new one"
        raise ConfigError(f"{path}: its certificate {state}; {advice}")
    pem = serialization.Encoding.PEM
    return Identity(
        _algorithm(key, path),
        b"".join(one.public_bytes(pem) for one in chain),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


@lru_cache(maxsize=8)
def _cached(path: Path, *version: int) -> Identity:
    return read_identity(path)


def _version(path: Path) -> tuple[int, ...]:
    """What changes when the file does; of a folder, when a file comes or goes."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _blocks(path: Path) -> list[tuple[str, bytes]]:
    """Kind and text of the PEM blocks in a file, or in the files of a folder."""
    try:
        paths = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        texts = [one.read_bytes() for one in paths if one.stat().st_size <= _MOST_BYTES]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{path}: cannot be read ({reason}); give on, off, or a PEM file with certificates and private key"
        ) from None
    return [(found[1].decode(), found[0]) for text in texts for found in _BLOCK.finditer(text)]


def _chain(public_key: Any, certificates: "list[x509.Certificate]", path: Path) -> "list[x509.Certificate]":
    """The certificates in order, beginning with that of the key; those of others are left out."""
    left = list(certificates)
    chain = [one for one in left if one.public_key() == public_key][:1]
    if not chain:
        found = f"{len(left)} certificates, none" if left else "no certificate"
        raise ConfigError(f"{path}: holds {found} of its private key; add the certificate, and those that signed it")
    left.remove(chain[0])
    while above := [one for one in left if one.subject == chain[-1].issuer and one not in chain]:
        chain.append(above[0])
    return chain


def _algorithm(key: Any, path: Path) -> str:
    kind = type(key).__name__
    curve = getattr(getattr(key, "curve", None), "name", "")
    found = "ed25519" if "Ed25519" in kind else "ps256" if "RSA" in kind else _CURVES.get(curve)
    if found is None:
        raise ConfigError(f"{path}: its key cannot sign content credentials; use ECDSA (P-256), Ed25519 or RSA")
    return found


def _make_local(path: Path) -> None:
    """Make the file; another process may do so at the same time, and the first one wins.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{PROCESS}{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_made())
                file.flush()
                os.fsync(file.fileno())
            if sys.platform == "win32":
                temporary.rename(path)  # refuses to replace
            else:
                os.link(temporary, path)  # the same
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path}: the certificate cannot be stored ({error.strerror}); make the folder writable, or give "
            "--credentials off"
        ) from None


def _made() -> bytes:
    """A new key, its certificate, and the authority's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)  # clocks differ
    end = start + datetime.timedelta(days=365 * _YEARS)
    unique = secrets.token_hex(4)

    def name(what: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION)
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, f"{what} {unique}")])

    def certificate(subject: x509.Name, public_key: Any) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            name("local authority"), subject, public_key, x509.random_serial_number(), start, end
        ).add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)

    authority = (
        certificate(name("local authority"), authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(x509, sign=False), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    purposes = [ExtendedKeyUsageOID.EMAIL_PROTECTION, x509.ObjectIdentifier(_CLAIM_SIGNING)]
    leaf = (
        certificate(name("local signer"), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(x509, sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret + leaf.public_bytes(pem) + authority.public_bytes(pem)


def _usage(x509: Any, *, sign: bool) -> Any:
    """What a key may do: sign content, or certificates."""
    no = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    return x509.KeyUsage(digital_signature=sign, key_cert_sign=not sign, crl_sign=not sign, **no)
