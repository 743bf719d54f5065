"""The files that make a container of the page: no engine is at hand, so what can be read in them is checked."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import yaml

from translate.options import parse_options
from ui.command import UiOptions
from ui.serving.server import STOP_SECONDS

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """The lines of the Dockerfile, as instruction and arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line]


def only(name: str) -> str:
    (found,) = [rest for instruction, rest in instructions() if instruction == name]
    return found


def service() -> dict[str, object]:
    found = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    assert set(found) == {"services", "secrets", "volumes"}
    (only_one,) = found["services"].values()
    return only_one


def test_every_instruction_is_known_and_what_is_copied_is_there() -> None:
    known = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "VOLUME", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
    assert {name for name, _ in instructions()} == known | {"ENTRYPOINT"}
    assert instructions()[0][0] == "FROM"
    copied = {source for name, rest in instructions() if name == "COPY" for source in rest.split()[:-1]}
    sent = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    assert copied == sent
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert copied >= {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], project["project"]["readme"]}
    assert all((ROOT / name).exists() for name in copied)
    extras = only("ARG").partition("=")[2].split(",")
    assert set(extras) <= set(project["project"]["optional-dependencies"])


def test_the_image_has_no_rights_and_looks_after_itself() -> None:
    names = [name for name, _ in instructions()]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only("USER"))  # a number, which Kubernetes can tell from root
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    compile(command[2], "healthcheck", "exec")
    assert f":{only('EXPOSE')}/healthz" in command[2]
    for name, rest in instructions():
        if name == "RUN":
            shlex.split(rest)  # quotation marks are closed


def test_the_service_starts_with_a_password() -> None:
    found = service()
    program, verb, *arguments = json.loads(only("ENTRYPOINT"))
    assert (program, verb) == ("translate", "ui")
    options = parse_options(UiOptions, [*arguments, *found["command"]], "translate ui")
    assert not options.open
    (secret,) = found["secrets"]
    assert options.auth_file == Path("/run/secrets") / secret
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    folders = [volume.split(":")[1] for volume in found["volumes"]]
    temporary = dict(pair.split("=") for name, rest in instructions() if name == "ENV" for pair in rest.split())
    assert {only("VOLUME"), temporary["TMPDIR"], "/models"} == set(folders)
    (port,) = found["ports"]
    assert port == f"127.0.0.1:{options.port}:{options.port}"
    assert int(found["stop_grace_period"].rstrip("s")) > STOP_SECONDS
