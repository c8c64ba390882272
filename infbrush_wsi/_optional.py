"""Optional libraries are imported on use, and their absence is told with the extra that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from infbrush_wsi.errors import MissingExtraError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say how to install it.

    Args:
        module: dotted name, e.g. ``"openslide"``.
        extra: the extra of this package that installs it, e.g. ``"wsi"``.
        purpose: what it is needed for, as it reads after "is needed to".

    Raises:
        MissingExtraError: if the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"'{module}' is needed to {purpose}: pip install 'infbrush-wsi[{extra}]' ({error})"
        ) from error
