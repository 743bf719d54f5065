"""A store on this machine, spoken to as a real one: moto's S3 over HTTP, and fsspec's memory."""

import os
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager

import fsspec
import pytest
import s3fs
from moto.server import ThreadedMotoServer

BUCKET = "bucket"


@contextmanager
def served() -> Generator[None]:
    """An empty S3 with one bucket; the environment leads there, also in processes that are started."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()  # all servers of a process are one
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        s3fs.S3FileSystem.clear_instance_cache()
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def names(url: str) -> set[str]:
    """Of all results below an address."""
    fs, path = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {name.removeprefix(f"{path}/") for name in fs.find(path) if "/.translate" not in name}


def contents(url: str) -> dict[str, bytes]:
    """All results below an address."""
    fs, path = fsspec.core.url_to_fs(url)
    return {name: fs.cat_file(f"{path}/{name}") for name in names(url)}
