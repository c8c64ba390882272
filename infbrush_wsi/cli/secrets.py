"""Addresses without what only their owner should know."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/\s@'\"]+@")
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?'\"]+)\?[^\s'\"]*", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A message in which addresses have no user name, password or query, where keys and signatures are.

    Example:
        >>> without_secrets("no such store: https://jane:pass@host/a.zarr?sig=abc")
        'no such store: https://…@host/a.zarr?…'
    """
    return _QUERY.sub(r"\1?…", _USER.sub("…@", text))
