"""The web application: the page, its images and their tiles, and nothing else of this machine."""

from __future__ import annotations

import json
import logging
import secrets
import select
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from werkzeug.exceptions import (
    BadRequest,
    ClientDisconnected,
    HTTPException,
    InternalServerError,
    NotFound,
)
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from infbrush_wsi.errors import InfbrushError, RegionError
from infbrush_wsi.view.image import Shown
from infbrush_wsi.view.limits import RequestLimits
from infbrush_wsi.view.page import MIMETYPES as FILES
from infbrush_wsi.view.page import described, static_file
from infbrush_wsi.view.tiles import MIMETYPES, TileStore

HEADERS = {
    # Nothing from elsewhere may be loaded by the page, and no other page may show what is on it. OpenSeadragon writes
    # styles into its elements.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
log = logging.getLogger(__name__)


class ViewApp:
    """A WSGI application that shows images.

    Args:
        images: in the order of the page.
        kind: of the tiles that the page asks for: 'png' or 'jpg'.
        hosts: names under which a browser may ask; a page of another name that points to this machine is refused.
            None: any.
        at_once: tiles that are made side by side; None: one for each core.
        limits: of requests.
    """

    def __init__(
        self,
        images: Sequence[Shown],
        *,
        kind: str = "png",
        hosts: Sequence[str] | None = None,
        at_once: int | None = None,
        limits: RequestLimits | None = None,
    ) -> None:
        self.limits = limits or RequestLimits()
        # A new key in each run: what a browser has kept of another run's image is never shown for this one's.
        self.keys = [secrets.token_urlsafe(9) for _ in images]
        self.tiles = TileStore(dict(zip(self.keys, images, strict=True)), at_once=at_once)
        self.kind, self.hosts = kind, None if hosts is None else tuple(hosts)
        methods = ["GET"]
        rules = Map(
            [
                Rule("/", endpoint="index", methods=methods),
                Rule("/images.json", endpoint="images", methods=methods),
                Rule("/static/<string:name>", endpoint="static", methods=methods),
                Rule(
                    "/tiles/<string:key>/<int:level>/<int:column>_<int:row>.<any(png, jpg):kind>",
                    endpoint="tile",
                    methods=methods,
                ),
            ],
            merge_slashes=False,
        )
        self._rules = rules.bind("page")

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        try:
            response = self._answer(request)
        except HTTPException as error:
            response = _plain(error)
        response.headers.extend(HEADERS)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        self._check(request)
        endpoint, values = self._rules.match(request.path, request.method)
        if endpoint == "tile":
            return self._tile(request, **values)
        if endpoint == "images":
            shown = [described(key, self.tiles.images[key], self.kind) for key in self.keys]
            return _fresh(json.dumps(shown), "application/json")
        name = "index.html" if endpoint == "index" else values["name"]
        try:
            return _fresh(static_file(name), FILES[name])
        except KeyError as error:
            raise NotFound("there is no such file on this page") from error

    def _check(self, request: Request) -> None:
        self.limits.check(request)
        name = _host_name(request.headers.get("Host", ""))
        if self.hosts is not None and name not in self.hosts:
            raise BadRequest(f"this page answers as {', '.join(dict.fromkeys(self.hosts))} only, not as {name!r}")

    def _tile(self, request: Request, key: str, level: int, column: int, row: int, kind: str) -> Response:
        if key not in self.tiles.images:
            raise NotFound("there is no such image on this page; load the page again")
        try:
            data = self.tiles.get(key, level, column, row, kind, lambda: not _gone(request))
        except RegionError as error:
            raise NotFound(str(error)) from error
        except InfbrushError as error:
            # The message may name a path, which is the business of who started the server only.
            log.error("level %d, column %d, row %d: %s", level, column, row, error)  # noqa: TRY400
            title = self.tiles.images[key].title
            raise InternalServerError(
                f"a tile of {title} cannot be read; the terminal of infbrush view says why"
            ) from error
        if data is None:
            raise ClientDisconnected
        return Response(data, mimetype=MIMETYPES[kind], headers={"Cache-Control": "private, max-age=86400, immutable"})


def _host_name(header: str) -> str:
    """The name in a Host header without its port; '' if there is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _fresh(data: str | bytes, content_type: str) -> Response:
    return Response(data, content_type=content_type, headers={"Cache-Control": "no-store"})


def _plain(error: HTTPException) -> Response:
    """The error as one line of text."""
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    text = error.description if isinstance(error.description, str) else error.name
    return Response(f"{text}\n", error.code, headers, content_type="text/plain; charset=utf-8")


def _gone(request: Request) -> bool:
    """Whether the browser has closed the connection meanwhile, as it does when one pans on."""
    connection = request.environ.get("werkzeug.socket")
    if not isinstance(connection, socket.socket):
        return False
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
