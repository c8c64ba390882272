"""Every tutorial runs from a folder of its own, in its small version, and its own assertions hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from infbrush_wsi.models.shipped import shipped_models
from tutorials.run import HERE, execute, notebooks

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")
NEEDS = {
    "augment_a_classifier": ("torchvision", "sklearn"),
    "cluster": ("distributed",),
    "from_slide_to_slide": ("openslide", "tifffile"),
    "gis": ("rasterio", "rioxarray"),
}
QUICK = ("gis", "reader_plugin")
CASES = [pytest.param(path.stem, marks=() if path.stem in QUICK else pytest.mark.slow) for path in notebooks()]


@pytest.mark.parametrize("name", CASES)
def test_a_tutorial_runs(name: str, tmp_path: Path) -> None:
    for library in NEEDS.get(name, ()):
        pytest.importorskip(library)
    source = (HERE / f"{name}.ipynb").read_text()
    for model in ("hne-tiny", "aerial-tiny"):
        if model in source and model not in shipped_models():
            pytest.skip(f"the model {model} is not in this copy of the package")
    notebook = execute(HERE / f"{name}.ipynb", tmp_path, fast=True)
    assert [path.name.split("_")[0] for path in tmp_path.iterdir()] == ["tutorial"]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) >= 2
