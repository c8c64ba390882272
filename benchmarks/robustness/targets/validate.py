"""`infbrush validate` of damaged images: whatever is wrong is a finding or one error."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from image_headers import tag_changed
from mutate_bytes import damage_file
from mutate_stores import damage_folder

from targets.images import write_images

IMAGES = ("five.ome.zarr", "four.ome.zarr", "map.ome.zarr", "raster.tif", "slide.dzi", "slide.dicom")


def prepare(folder: Path) -> None:
    """Write the images and validate each once."""
    write_images(folder)
    for name in IMAGES:
        run({"file": name, "decode": True}, folder, folder)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One damaged image."""
    name, decode = rng.choice(IMAGES), rng.random() < 0.5
    if name.endswith((".zarr", ".dicom")):
        shutil.copytree(seeds / name, case / name)
        said: Any = damage_folder(rng, case / name)
    elif name.endswith(".dzi"):
        shutil.copyfile(seeds / name, case / name)
        shutil.copytree(seeds / "slide_files", case / "slide_files")
        at = rng.random()
        said = damage_folder(rng, case / "slide_files", metadata=0.2) if at < 0.5 else _described(rng, case / name)
    else:
        data, said = tag_changed(rng, (seeds / name).read_bytes())
        (case / name).write_bytes(data)
        if rng.random() < 0.4:
            shutil.copyfile(seeds / name, case / name)
            said = damage_file(rng, case / name)
    return {"file": name, "decode": decode, "mutations": said}


def _described(rng: random.Random, path: Path) -> str:
    """Another .dzi: other numbers, entities that grow, entities of other files."""
    if rng.random() < 0.3:
        return damage_file(rng, path)
    text = path.read_text()
    old, new = rng.choice(
        (
            (b'TileSize="', None),
            (b'Overlap="', None),
            (b'Width="', None),
            (b'Height="', None),
            (b"<?xml", _ENTITIES),
            (b"<Image", b"<Other"),
            (b'Format="', b'Format="../../../x/'),
        )
    )
    value = new or old + rng.choice((b"0", b"-1", b"1e9", b"99999999999", b"nan", b"1000000000", b"7", b"")) + b'" x="'
    path.write_bytes(text.encode().replace(old, value, 1))
    return f"{old.decode()} → {value[:30].decode()}"


_ENTITIES = (
    b"""<!DOCTYPE x [<!ENTITY a "xxxxxxxxxx">"""
    + b"".join(b'<!ENTITY %c "%s">' % (98 + k, b"&%c;" % (97 + k) * 10) for k in range(9))
    + b"""<!ENTITY f SYSTEM "file:///etc/passwd">]><?xml"""
)


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Validate it, and print what was found."""
    from infbrush_wsi.validation import validate_image

    found = validate_image(case / plan["file"], windows=4, decode=plan["decode"])
    json.dumps(found.to_dict())
