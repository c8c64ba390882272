"""Serving the page: on this machine only, unless somebody asks for more."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from infbrush_wsi._optional import require
from infbrush_wsi.canvas.canvas import Canvas
from infbrush_wsi.errors import ConfigError, OutputError
from infbrush_wsi.sources.base import Source
from infbrush_wsi.view.image import Shown, shown
from infbrush_wsi.view.tiles import MIMETYPES

require("werkzeug", extra="view", purpose="serve a page")
require("limits", extra="view", purpose="serve a page")

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler  # noqa: E402 (its absence is told above)

from infbrush_wsi.view.app import ViewApp  # noqa: E402
from infbrush_wsi.view.limits import IDLE_SECONDS, LimitedServer  # noqa: E402

LOCAL = "127.0.0.1"
LOCAL_NAMES = ("localhost", LOCAL, "::1")
FIRST_PORT = 8642
PORTS_TRIED = 20
BACKLOG = 64
POLL_SECONDS = 0.1
log = logging.getLogger(__name__)


class ViewServer:
    """A page that is being served; use it as a context manager, or call `close`.

    Args:
        images: in the order of the page.
        host: address to listen at.
        port: 0: any that is free; None: the first free one of a few.
        kind: of the tiles: 'png' (exact) or 'jpg' (less to send).
        allow_remote: whether `host` may be one that other machines reach.
        at_once: tiles that are made side by side; None: one for each core.

    Raises:
        ConfigError: for no images, an unknown kind of tile, or an address that others reach without `allow_remote`.
        OutputError: if it is not possible to listen there.
    """

    def __init__(
        self,
        images: Sequence[Shown],
        *,
        host: str = LOCAL,
        port: int | None = None,
        kind: str = "png",
        allow_remote: bool = False,
        at_once: int | None = None,
    ) -> None:
        if not images:
            raise ConfigError("there is nothing to show: give at least one image or canvas")
        if kind not in MIMETYPES:
            raise ConfigError(f"tiles are {' or '.join(MIMETYPES)}, not {kind!r}")
        address, self.local = _address(host)
        if not (self.local or allow_remote):
            raise ConfigError(
                f"at {host} other machines could see these images, and nobody would be asked for a password: keep "
                f"{LOCAL} and forward a port (ssh -L), or allow it with --allow-remote (allow_remote=True)"
            )
        hosts = (*LOCAL_NAMES, address, host.lower()) if self.local else None
        self.app = ViewApp(images, kind=kind, hosts=hosts, at_once=at_once)
        with _listening(address, port) as listening:
            self._server: BaseWSGIServer = LimitedServer(address, 0, self.app, _Handler, fd=listening.fileno())
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self._server.socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def serve(self) -> None:
        """Serve until Ctrl-C or `close`."""
        with suppress(KeyboardInterrupt):
            self._server.serve_forever(POLL_SECONDS)

    def start(self) -> Self:
        """Serve in a thread of its own, for notebooks and programs."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def close(self) -> bool:
        """Stop serving; closing twice is harmless.

        Returns:
            Whether nothing is computed any more. A tile that has begun is waited for, but not for long.
        """
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        return self.app.tiles.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def show(things: Sequence[Source | Canvas | Shown] | Source | Canvas | Shown, **options: Any) -> ViewServer:
    """Serve a page with images from a thread of this process.

    Args:
        things: what to show: sources, canvases, or what `shown` has made of them.
        options: of `ViewServer`.

    Returns:
        The server; its `url` is the page's address. It ends with `close()` or with the process.

    Raises:
        MissingExtraError: without werkzeug.
        ConfigError, OutputError: see `ViewServer`.

    Example:
        >>> page = show([open_source("slide.svs"), pipe("invasive", size=(100_000, 100_000), seed=7)])
        >>> page.url
        'http://127.0.0.1:8642/'
    """
    listed = [things] if isinstance(things, Source | Canvas | Shown) else list(things)
    return ViewServer([one if isinstance(one, Shown) else shown(one) for one in listed], **options).start()


class _Handler(WSGIRequestHandler):
    """Requests are no news; what goes wrong is."""

    timeout = IDLE_SECONDS

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        log.debug("%s %s", self.requestline, code)


def _address(host: str) -> tuple[str, bool]:
    """The numeric address of a host, and whether only this machine reaches it."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)  # noqa: S104 (told to be remote)
        address = str(sorted(found)[0][4][0])
        return address, ipaddress.ip_address(address).is_loopback
    except (OSError, UnicodeError, ValueError) as error:
        raise ConfigError(f"--host must be an address of this machine, for example {LOCAL}, not {host!r}") from error


def _listening(address: str, port: int | None) -> socket.socket:
    """A socket that listens at a port, or at the first free one of a few."""
    if port is not None and not 0 <= port <= 65535:
        raise ConfigError(f"--port must be 0 (any) to 65535, not {port}")
    first, last = (FIRST_PORT, FIRST_PORT + PORTS_TRIED - 1) if port is None else (port, port)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for number in range(first, last + 1):
        try:
            return socket.create_server((address, number), family=family, backlog=BACKLOG)
        except OSError as error:
            if number == last:
                raise OutputError(
                    f"cannot listen at {address}, port {first if first == last else f'{first} to {last}'}: "
                    f"{error.strerror or error}; choose another --port (0 takes any that is free)"
                ) from error
    raise AssertionError("unreachable")
