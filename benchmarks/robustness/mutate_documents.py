"""Damage to JSON and YAML documents: values, types, sizes and structure."""

from __future__ import annotations

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

from mutate_bytes import damaged

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    0.5,
    -0.0,
    1e-320,
    1e-9,
    1e9,
    1e18,
    1e308,
    -1e308,
    math.nan,
    math.inf,
    -math.inf,
    2**31,
    2**31 - 1,
    2**32,
    2**53 + 1,
    2**63,
    2**64,
    -(2**63),
    10**40,
    10**400,
    "",
    " ",
    "\x00",
    "nan",
    "inf",
    "-1",
    "1e999",
    "../../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "~",
    "a/../../b",
    "file:///etc/passwd",
    "é" * 50,
    "x" * 10_000,
    "\ud800",
    "{}",
    "[]",
    "<script>",
    "%s%n",
    [],
    {},
    [[]],
    [None],
    {"": None},
    [0] * 1000,
    [1e308, 1e308],
    [-1, -1],
    [0, 0, 0],
    ["a", "b"],
    {"type": "scale", "scale": [math.nan]},
)
FACTORS = (-1, 0, 0.5, 2, 3, 1e-12, 1e3, 1e6, 1e12, 1e300)
DEEP = 3000

Where = tuple[Any, Any]
"""A container and a key of it."""


def damaged_document(rng: random.Random, document: Any) -> tuple[Any, str]:
    """A copy with one to four changes, and what was done."""
    holder = {"root": copy.deepcopy(document)}
    said = []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        container, key = rng.choice(_places(holder))
        said.append(_change(rng, container, key, holder))
    return holder["root"], "; ".join(said)


def _places(holder: dict[str, Any]) -> list[Where]:
    found: list[Where] = []
    waiting: list[Any] = [holder]
    while waiting and len(found) < 5000:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def _change(rng: random.Random, container: Any, key: Any, holder: dict[str, Any]) -> str:
    value = container[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    kind = rng.choice(("hostile", "hostile", "hostile", "scaled" if number else "hostile", "removed", "structure"))
    if kind == "hostile":
        container[key] = copy.deepcopy(rng.choice(HOSTILE))
    elif kind == "scaled":
        try:
            container[key] = type(value)(value * rng.choice(FACTORS))
        except (OverflowError, ValueError):
            container[key] = math.inf
    elif kind == "removed":
        if isinstance(container, dict) and container is not holder:
            del container[key]
        elif isinstance(container, list):
            container.pop(key)
    else:
        kind = _restructure(rng, container, key)
    return f"{kind} {str(key)[:40]}"


def _restructure(rng: random.Random, container: Any, key: Any) -> str:
    value = container[key]
    kind = rng.choice(("wrapped", "unwrapped", "renamed", "added", "repeated", "as text", "deep", "as keys"))
    if kind == "wrapped":
        container[key] = [value]
    elif kind == "unwrapped":
        inside = list(value.values()) if isinstance(value, dict) else value
        container[key] = inside[0] if isinstance(inside, list) and inside else value
    elif kind == "renamed" and isinstance(container, dict) and key != "root":
        container[f"{key}_"] = container.pop(key)
    elif kind == "added" and isinstance(value, dict):
        value[rng.choice(("extra", "", "__class__", "../x", "0"))] = rng.choice(HOSTILE)
    elif kind == "repeated" and isinstance(value, list):
        container[key] = (value * 50)[:2000]
    elif kind == "as text":
        container[key] = json.dumps(value, default=str)[:2000]
    elif kind == "deep":
        for _ in range(rng.choice((5, DEEP))):
            value = [value]
        container[key] = value
    elif kind == "as keys" and isinstance(value, list):
        container[key] = {str(index): each for index, each in enumerate(value)}
    return kind


def as_json_text(document: Any) -> str:
    """JSON with the constants that JSON has not (NaN, Infinity), however deeply nested."""
    try:
        return json.dumps(document)
    except (RecursionError, ValueError):
        return "[" * DEEP + "]" * DEEP


def damage_json(rng: random.Random, path: Path) -> str:
    """Damage a JSON file in place: mostly its values, sometimes its bytes."""
    if rng.random() < 0.25:
        data, said = damaged(rng, path.read_bytes())
        path.write_bytes(data)
        return f"{path.name}: {said}"
    document, said = damaged_document(rng, json.loads(path.read_text(encoding="utf-8")))
    path.write_text(as_json_text(document), encoding="utf-8", errors="surrogatepass")
    return f"{path.name}: {said}"
