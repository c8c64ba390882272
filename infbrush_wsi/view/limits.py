"""How much a browser may ask of the page: nobody who reaches it can exhaust the machine."""

from __future__ import annotations

import threading
from typing import Any

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from werkzeug.exceptions import RequestEntityTooLarge, RequestURITooLarge, TooManyRequests
from werkzeug.serving import ThreadedWSGIServer
from werkzeug.wrappers import Request

LONGEST_ADDRESS = 512
REQUESTS, SECONDS = 1000, 5
"""Of one address. Panning fast over tiles that are kept asks for some hundred in a second."""
CONNECTIONS = 64
"""Open at once; browsers open six."""
IDLE_SECONDS = 30.0
"""A connection on which nothing comes for so long is closed."""


class RequestLimits:
    """Checks each request before anything is done for it.

    Args:
        requests: that an address may make in `seconds`.
        seconds: length of that window.
    """

    def __init__(self, requests: int = REQUESTS, seconds: int = SECONDS) -> None:
        self._allowed = RateLimitItemPerSecond(requests, seconds)
        self._seconds = seconds
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def check(self, request: Request) -> None:
        """Refuse long addresses, bodies, and more requests than are allowed.

        Raises:
            HTTPException: 414, 413 or 429.
        """
        if len(request.environ.get("REQUEST_URI", request.full_path)) > LONGEST_ADDRESS:
            raise RequestURITooLarge("no address of this page is that long")
        if request.content_length or request.environ.get("HTTP_TRANSFER_ENCODING"):
            raise RequestEntityTooLarge("this page takes nothing that is sent to it")
        if not self._limiter.hit(self._allowed, request.remote_addr or ""):
            raise TooManyRequests("too many requests at once; wait a moment", retry_after=self._seconds)


class LimitedServer(ThreadedWSGIServer):
    """A server that closes connections beyond so many that are open at once."""

    def __init__(self, *args: Any, connections: int = CONNECTIONS, **options: Any) -> None:
        super().__init__(*args, **options)
        self._free = threading.BoundedSemaphore(connections)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for a connection, or close it."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()
