"""Who signs: the certificate of this machine, and certificates of the user."""

import datetime
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from translate.credentials import identity
from translate.credentials.identity import anchors, identity_of, read_identity
from translate.credentials.sign import check_credentials
from translate.errors import ConfigError, TranslateError

PEM = serialization.Encoding.PEM
NOW = datetime.datetime.now(datetime.UTC)
YEAR = datetime.timedelta(days=365)


@pytest.fixture(autouse=True)
def local_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the certificate of this machine is, once there is one."""
    monkeypatch.setattr(identity, "data_folder", lambda: tmp_path / "user")
    return identity.local_path()


def pem_of(key: Any, secret: serialization.KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, secret or serialization.NoEncryption())


def certified(
    key: Any, *, end: datetime.datetime = NOW + YEAR, purpose: Any = ExtendedKeyUsageOID.EMAIL_PROTECTION
) -> tuple[bytes, bytes]:
    """Certificates of a key and of the authority."""

    def name(text: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, text), x509.NameAttribute(NameOID.COMMON_NAME, text)]
        )

    def usage(sign: bool) -> x509.KeyUsage:
        return x509.KeyUsage(sign, False, False, False, False, not sign, not sign, False, False)

    root_key, issuer, start = ec.generate_private_key(ec.SECP256R1()), name("Authority"), NOW - 3 * YEAR
    root, leaf = (
        x509.CertificateBuilder(issuer, subject, one.public_key(), x509.random_serial_number(), start, until)
        .add_extension(x509.BasicConstraints(ca=not sign, path_length=None), critical=True)
        .add_extension(usage(sign), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(one.public_key()), critical=False)
        for subject, one, sign, until in (
            (issuer, root_key, False, NOW + YEAR),
            (name("Ada"), key, True, end),
        )
    )
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    leaf = leaf.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    return leaf.sign(root_key, hashes.SHA256()).public_bytes(PEM), root.sign(root_key, hashes.SHA256()).public_bytes(
        PEM
    )


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_made_at_first_use_and_kept(local_identity: Path) -> None:
    assert anchors() == ""
    first = identity_of("on")
    assert identity_of("on") == first
    assert first.algorithm == "es256"
    assert first.chain.count(b"BEGIN CERTIFICATE") == 2
    assert anchors().count("BEGIN CERTIFICATE") == 1
    assert anchors().encode() in first.chain
    assert [path.name for path in local_identity.parent.iterdir()] == ["identity.pem"]
    # The key of the authority is nowhere: it cannot sign anything else.
    assert local_identity.read_bytes().count(b"PRIVATE KEY") == 2  # one block


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_the_user_can_read_the_key(local_identity: Path) -> None:
    identity_of("on")
    assert stat.S_IMODE(local_identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(local_identity.parent.stat().st_mode) == 0o700


def test_the_names_tell_nobody(local_identity: Path) -> None:
    identity_of("on")
    certificate = x509.load_pem_x509_certificate(identity_of("on").chain)
    names = sorted(attribute.value for attribute in certificate.subject)
    assert names[1] == "translate"
    assert str(names[0]).startswith("local signer ")


def test_two_processes_make_one(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from translate.credentials import identity\n"
        "identity.data_folder = lambda: Path(sys.argv[1])\n"
        "sys.stdin.readline(); print(identity.identity_of('on').chain.hex())"
    )
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "shared")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for program in programs:
        assert program.stdin is not None
        program.stdin.write("go\n")
        program.stdin.flush()
    said = {program.communicate()[0] for program in programs}
    assert [program.returncode for program in programs] == [0, 0, 0]
    assert len(said) == 1
    assert [path.name for path in (tmp_path / "shared" / "credentials").iterdir()] == ["identity.pem"]


def test_the_loser_of_a_race_takes_what_is_there(local_identity: Path) -> None:
    first = identity_of("on")
    identity._make_local(local_identity)
    assert read_identity(local_identity) == first


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP256R1()), "es256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ed25519.Ed25519PrivateKey.generate, "ed25519"),
        (lambda: rsa.generate_private_key(65537, 2048), "ps256"),
    ],
    ids=["P-256", "P-384", "Ed25519", "RSA"],
)
def test_kinds_of_keys(make: Callable[[], Any], algorithm: str, tmp_path: Path) -> None:
    key = make()
    leaf, root = certified(key)
    path = tmp_path / "mine.pem"
    path.write_bytes(root + pem_of(key) + leaf)  # in any order
    found = read_identity(path)
    assert found.algorithm == algorithm
    assert found.chain == leaf + root
    check_credentials(str(path))


def test_a_folder(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    leaf, root = certified(key)
    for name, data in (("chain.pem", leaf + root), ("private.key", pem_of(key)), ("other.crt", certified(key)[1])):
        (tmp_path / "mine" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(data)
    assert read_identity(tmp_path / "mine").chain.startswith(leaf)


def bad_files(key: ec.EllipticCurvePrivateKey) -> dict[str, tuple[bytes | None, str]]:
    """What is wrong: the file, and what is said."""
    leaf, root = certified(key)
    secret = pem_of(key)
    encrypted = pem_of(key, serialization.BestAvailableEncryption(b"secret"))
    other, odd = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256K1())
    return {
        "missing": (None, "cannot be read"),
        "empty": (b"", "no private key"),
        "no key": (leaf + root, "no private key"),
        "two keys": (leaf + root + secret + pem_of(other), "2 private keys"),
        "encrypted": (leaf + root + encrypted, "encrypted"),
        "no certificate": (secret, "no certificate of its private key"),
        "another's": (certified(other)[0] + secret, "none of its private key"),
        "damaged": (leaf + root + secret.replace(b"M", b"!", 3), "damaged"),
        "expired": (b"".join(certified(key, end=NOW - YEAR)) + secret, "expired on "),
        "for servers": (certified(key, purpose=ExtendedKeyUsageOID.SERVER_AUTH)[0] + secret, "cannot sign content"),
        "another curve": (pem_of(odd) + b"".join(certified(odd)), "its key cannot sign"),
    }


@pytest.mark.parametrize("what", sorted(bad_files(ec.generate_private_key(ec.SECP256R1()))))
def test_bad_files(what: str, tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    data, said = bad_files(key)[what]
    path = tmp_path / "mine.pem"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError) as error:
        check_credentials(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(identity, "data_folder", lambda: tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be stored"):
        identity_of("on")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.errors.find_spec", lambda name: None if name == "c2pa" else object())
    with pytest.raises(TranslateError, match=r"c2pa not installed; .* pip install '\.\[credentials\]'"):
        check_credentials("on")
    check_credentials("off")
