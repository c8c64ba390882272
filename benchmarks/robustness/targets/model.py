"""Model directories: the record, the configuration and the weights, opened, described and rendered from."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

from mutate_bytes import damaged
from mutate_documents import as_json_text, damaged_document
from mutate_stores import damage_folder

from targets.networks import render, write_model

WEIGHTS = "denoiser/diffusion_pytorch_model.safetensors"


def prepare(folder: Path) -> None:
    """Write the model and render once."""
    run({"file": write_model(folder).name}, folder, folder)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged directory; half of the damaged weights come with the hash that they then have."""
    root = case / "model"
    shutil.copytree(seeds / "model", root)
    if rng.random() < 0.5:
        return {"file": "model", "mutations": damage_folder(rng, root, metadata=0.75)}
    data, said = (headed if rng.random() < 0.7 else damaged)(rng, (root / WEIGHTS).read_bytes())
    (root / WEIGHTS).write_bytes(data)
    record = json.loads((root / "infbrush.json").read_text())
    record["weights_sha256"] = hashlib.sha256(data).hexdigest()
    (root / "infbrush.json").write_text(json.dumps(record))
    return {"file": "model", "mutations": f"weights: {said}, with their hash"}


def headed(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """A safetensors file with another header: types, shapes, offsets, names."""
    size = int.from_bytes(data[:8], "little")
    header, said = damaged_document(rng, json.loads(data[8 : 8 + size]))
    text = as_json_text(header).encode("utf-8", "surrogatepass")
    told = len(text) if rng.random() < 0.9 else rng.choice((0, 1, 2**40, 2**63, len(text) * 2))
    return told.to_bytes(8, "little") + text + data[8 + size :], said


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Describe it, open it, and render a window."""
    from infbrush_wsi.cli.describe import describe

    describe(str(case / plan["file"]))
    render(case / plan["file"]).read_region((0, 0), 0, (16, 16))
