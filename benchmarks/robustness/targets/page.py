"""Requests to the local page: addresses, hosts and methods that a browser does not send."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from mutate_documents import HOSTILE

PATHS = ("/", "/images.json", "/static/index.html", "/static/viewer.js", "/tiles/KEY/0/0_0.png", "/tiles/KEY/1/0_0.jpg")
PARTS = (
    "..",
    "%2e%2e",
    "%00",
    "//",
    "\\",
    "KEY",
    "0",
    "-1",
    "99999999999999999999",
    "1e5",
    "é",
    "etc/passwd",
    "?x=y",
    "#",
)
HOSTS = ("127.0.0.1", "localhost", "evil.example", "", "[::1]", "127.0.0.1:99999999", "[", "a" * 5000, "localhost.")
METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "", "G" * 1000)


@lru_cache(maxsize=1)
def app() -> Any:
    """The application with a picture."""
    import numpy as np

    from infbrush_wsi.sources import ArraySource
    from infbrush_wsi.view.app import ViewApp
    from infbrush_wsi.view.image import shown

    pixels = np.arange(3 * 700 * 600, dtype=np.uint8).reshape(700, 600, 3)
    return ViewApp([shown(ArraySource(pixels, mpp=0.5))], hosts=("localhost", "127.0.0.1", "::1"))


def prepare(folder: Path) -> None:
    """Make the application."""
    run({"path": "/", "host": "localhost", "method": "GET", "query": ""}, folder, folder)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One request."""
    path = rng.choice(PATHS)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        parts = path.split("/")
        at = rng.randrange(len(parts))
        parts[at] = rng.choice(PARTS) if rng.random() < 0.7 else str(rng.choice(HOSTILE))[:600]
        path = "/".join(parts)
    plan = {
        "path": path,
        "host": rng.choice(HOSTS),
        "method": rng.choice(METHODS),
        "query": rng.choice(("", "a=%ff&&")),
    }
    return plan | {"mutations": f"{plan['method'][:9]} {path[:80]}"}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Answer it: never with an error of the server's own."""
    from urllib.parse import unquote_to_bytes

    page = app()
    path = unquote_to_bytes(plan["path"].replace("KEY", page.keys[0]).encode("utf-8", "surrogatepass")).decode(
        "latin-1"
    )
    environ = {
        "REQUEST_METHOD": plan["method"], "PATH_INFO": path, "QUERY_STRING": plan["query"], "SCRIPT_NAME": "",
        "HTTP_HOST": plan["host"], "SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip
    answered: list[str] = []
    body = b"".join(page(environ, lambda status, headers, info=None: answered.append(status)))
    assert answered, "no answer"
    assert not answered[0].startswith("5"), f"{answered[0]}: {body[:200]!r}"
    assert b"root:" not in body, "a file of the machine was served"
