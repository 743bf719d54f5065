"""No request reads what is not offered to this user: files of the server, of other users, of other jobs.

The routes of batches, runs and samples with the cookie of another browser: `tests/page/test_ui_batch.py`,
`tests/page/test_ui_runs.py`, `tests/page/test_ui_routes.py`. Here it is paths, written in every way there is.
"""

from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import BUILDS_PAGES, INVERT, save_model
from made_files import saved
from PIL import Image
from starlette.testclient import TestClient

from translate.conversion.manifest import FILE_NAME, ManifestEntry, format_line
from translate.conversion.worker import Conversion
from translate.errors import ImageError
from translate.inference.engine import Engine
from ui import actions, files
from ui.batch import uploads
from ui.batch.jobs import JobStore, Options, owner_of
from ui.batch.routes import COOKIE
from ui.command import UiOptions, application
from ui.model import models_of
from ui.site import Site

pytestmark = [*BUILDS_PAGES, pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated")]

PICTURE = saved(Image.new("RGB", (8, 8), (200, 10, 10)), "PNG")
SECRET = b"the secret of somebody else"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's cache, jobs and models, and around them files that nobody may read."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "cache").mkdir()
    for name in ("accounts.txt", "private.png", "cache.png"):
        (folder / name).write_bytes(SECRET)
    return folder


@pytest.fixture(scope="module")
def site(place: Path) -> Generator[Site]:
    store = JobStore(place / "jobs")
    engine = Engine(save_model(place / "invert.onnx", INVERT), threads=1)
    yield Site(models_of([(engine, place / "samples")]), place / "cache", jobs=store)
    store.close()


@pytest.fixture(scope="module")
def web(place: Path, site: Site) -> Generator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(place / "cache"))
        with TestClient(application(UiOptions(), site, None).guard, raise_server_exceptions=False) as client:
            yield client


def written(path: Path, cache: Path) -> list[str]:
    """Ways to write a path in an address, some of them from inside the cache."""
    out = f"{cache}/../{path.relative_to(cache.parent)}" if path.is_relative_to(cache.parent) else str(path)
    backed = "/".join([*[".."] * 12, *path.parts[1:]])
    ways = [str(path), f"/{path}", f"{cache}/{path}", out, f"{cache}/{backed}", backed, f"./{backed}", f"file://{path}"]
    encoded = [quote(way, safe="") for way in ways]
    twice = [quote(way, safe="") for way in encoded]
    dots = [way.replace("..", "%2e%2e") for way in ways] + [way.replace("..", ".%2e") for way in ways]
    back = [way.replace("/", "%5c") for way in ways] + [way.replace("/", "\\") for way in ways]
    wide = [way.replace("..", "%c0%ae%c0%ae").replace("/", "%c0%af") for way in ways]
    return [*ways, *encoded, *twice, *dots, *back, *wide, f"{path}%00.png", f"{path}#", f"{path};.png", f"{path}/"]


def test_no_address_leads_out_of_the_cache(web: TestClient, site: Site, place: Path) -> None:
    assert site.jobs is not None
    targets = [place / "private.png", site.jobs.folder / "jobs.sqlite", Path(__file__)]
    others = ["/file=", "/static/", "/assets/", "/svelte/", "/gradio_api/stream/", "/sketch/sample/0/", "/"]
    for number, target in enumerate(targets):
        content = target.read_bytes()
        for way in written(target, place / "cache"):
            for route in ("/gradio_api/file=", *(others if number == 0 else ())):
                answer = web.get(f"{route}{way}")
                assert content not in answer.content or not content, (route, way)
                assert answer.status_code != 200 or b"<!doctype html" in answer.content[:200].lower(), (route, way)


def test_a_link_in_the_cache_does_not_lead_out(web: TestClient, place: Path) -> None:
    """Nobody can make one; if somebody could, it would be of no use."""
    folder = files.new_folder(place / "cache")
    (folder / "link.png").symlink_to(place / "private.png")
    (folder / "folder").symlink_to(place)
    for name in ("link.png", "folder/private.png", "folder"):
        assert SECRET not in web.get(f"/gradio_api/file={folder}/{name}").content
        with pytest.raises(ImageError, match="not an uploaded file"):
            actions.uploaded_file({"path": str(folder / name), "orig_name": "a.png"}, place / "cache")


@pytest.mark.parametrize("name", ["private.png", "../private.png", "cache.png", "cache/../private.png"])
def test_a_request_does_not_name_files_of_the_server(name: str, place: Path) -> None:
    for path in (place / name, f"{place}/cache/../{name}", f"{place}//{name}", f"file://{place}/{name}"):
        with pytest.raises(ImageError, match="not an uploaded file"):
            actions.uploaded_file({"path": str(path), "orig_name": "a.png"}, place / "cache")


def test_functions_for_programs_do_not_either(web: TestClient, place: Path) -> None:
    for path in (place / "private.png", f"{place}/cache/../private.png", "/etc/passwd"):
        value = {"path": str(path), "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
        asked = web.post("/gradio_api/call/sketch", json={"data": [value]})
        told = web.get(f"/gradio_api/call/sketch/{asked.json().get('event_id')}") if asked.status_code == 200 else asked
        assert SECRET not in told.content
        assert b"complete" not in told.content


def job_of(site: Site, token: str) -> Any:
    assert site.jobs is not None
    options = Options(model=site.models[0].engine.path, command="invert", how=Conversion())
    job = site.jobs.add(owner_of(token), "mine", options)
    job.output.mkdir()
    (job.output / "a.png").write_bytes(PICTURE)
    return job


def test_results_are_those_of_the_job_alone(web: TestClient, site: Site, place: Path) -> None:
    mine, other = job_of(site, "mine"), job_of(site, "other")
    (other.output / "b.png").write_bytes(SECRET)
    (mine.output / "link.png").symlink_to(place / "private.png")
    (mine.output / "folder").symlink_to(other.output)
    cookies = {"Cookie": f"{COOKIE}=mine"}
    assert web.get(f"/batch/jobs/{mine.id}/result?name=a.png", headers=cookies).content == PICTURE
    names = [f"../../{other.id}/output/b.png", "folder/b.png", "link.png", "../input", ".", "", "a.png/../../b.png"]
    for target in (other.output / "b.png", place / "private.png", place / "jobs" / "jobs.sqlite"):
        names += written(target, mine.output)
    for name in names:
        for way in (name, quote(name, safe="")):
            for route in ("result", "thumbnail"):
                answer = web.get(f"/batch/jobs/{mine.id}/{route}?name={way}", headers=cookies)
                assert answer.status_code in (404, 422), (route, way)
    for job in (other.id, f"{mine.id}/../{other.id}", f"{mine.id}%2f..%2f{other.id}", "..", "%2e%2e"):
        for route in ("result?name=b.png", "zip", "results"):
            answer = web.get(f"/batch/jobs/{job}/{route}", headers=cookies)
            assert answer.status_code == 404, (job, route)


def test_links_are_not_followed_into_the_archive(site: Site, place: Path) -> None:
    """Results are files that a conversion wrote; a link among them is none, whatever the record says."""
    job = job_of(site, "mine")
    (job.output / "link.png").symlink_to(place / "private.png")
    names = ("a.png", "link.png", "../../jobs.sqlite", "/etc/passwd")
    lines = [
        format_line(asdict(ManifestEntry(source=name, size=1, modified_ns=1, input="x", made_by="y", target=name)))
        for name in names
    ]
    (job.output / FILE_NAME).write_bytes(b"".join(lines))
    assert [entry.name for entry in uploads.archive_entries(job)] == [FILE_NAME, "a.png"]
