"""What a reader of the how-tos has: slides, a raster, annotations, and a (very small) trained model of each kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SMALL = {
    "width": 8, "blocks": 1, "grid_side": 16, "grid_width": 8, "grid_multipliers": [1, 2], "embedding_width": 16,
}  # fmt: skip


def _train(out: Path, model: dict[str, object] | None = None, **data: object) -> None:
    from infbrush_wsi.training.config import RunConfig
    from infbrush_wsi.training.run import train

    values = {
        "data": {"window": 64, "points": 256, "workers": 0} | data,
        "model": model or {"overrides": SMALL},
        "optim": {"steps": 2, "batch": 2},
    }
    train(RunConfig.parse(values), out)


def _square(x: float, y: float, side: float, label: str) -> dict[str, object]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": label}},
    }


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the pages name."""
    for library in ("openslide", "rasterio", "tifffile"):
        pytest.importorskip(library)
    from infbrush_wsi.phantom import write_phantom_raster, write_phantom_slide

    folder = tmp_path_factory.mktemp("docs")
    write_phantom_slide(folder / "slide.svs", "Invasive", size=(512, 384), mpp=0.5)
    for number, label in enumerate(("Benign", "Benign", "Invasive", "Invasive")):
        path = folder / "slides" / label / f"patient{number}_a.tif"
        write_phantom_slide(path, label, size=(300, 256), mpp=1.0, seed=number)
    write_phantom_raster(folder / "naip.tif", size=(192, 160), resolution=1.0)
    areas = [_square(40, 40, 160, "Tumor"), _square(240, 40, 100, "Benign")]
    (folder / "regions.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": areas}))
    _train(folder / "model", sources=[str(folder / "slides")], labels="folder", mpp=[1.0])
    _train(folder / "aerial", sources=[str(folder / "naip.tif")], resolution=[1.0])
    infdiff = {"system": "infdiff", "overrides": SMALL | {"latent_dim": 6}}
    _train(folder / "autoencoder", infdiff, sources=[str(folder / "slides")], mpp=[1.0])
    return folder
