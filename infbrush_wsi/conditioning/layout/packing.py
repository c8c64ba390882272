"""Arrays as compact text, for the JSON of a layout."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import zlib
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.errors import ConditionError

MAX_BYTES = 1 << 31

Pack = Callable[[NDArray[Any]], dict[str, Any]]
"""How an array goes into JSON: `pack` or `digest`."""


def digest(array: NDArray[Any]) -> dict[str, Any]:
    """Type, shape and the SHA-256 of the little-endian bytes: equal for equal arrays, wherever they are."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {"dtype": array.dtype.name, "shape": list(array.shape), "sha256": hashlib.sha256(plain.data).hexdigest()}


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """Type, shape and the little-endian bytes, deflated and in base 64."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    deflated = base64.b64encode(zlib.compress(plain.data, 1)).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "deflated": deflated}


def unpack(record: Any, dtypes: Collection[str], dimensions: int) -> NDArray[Any]:
    """The array that `pack` was given.

    Raises:
        ConditionError: if it is damaged, or of another type or number of dimensions than is allowed.
    """
    try:
        dtype, shape = str(record["dtype"]), tuple(int(side) for side in record["shape"])
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if dtype not in dtypes or len(shape) != dimensions or min(shape) < 1 or size > MAX_BYTES:
            raise ValueError(f"an array of {dtype} and shape {shape}")
        inflater = zlib.decompressobj()
        # One byte more than it may have, so that text which inflates without end is not inflated.
        plain = inflater.decompress(base64.b64decode(record["deflated"], validate=True), size + 1)
        if len(plain) != size or not inflater.eof:
            raise ValueError(f"{len(plain)} bytes where {size} are due")
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error, binascii.Error) as error:
        raise ConditionError(f"an array of a stored layout is damaged ({error}); make the layout again") from error
    return np.frombuffer(plain, np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(shape)
